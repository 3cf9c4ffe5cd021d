//! Accounts of the installation and their keys, as an operator makes and removes them.
//!
//! An account is a record at `account/{id}` and whatever its keys have made. The account of the admin
//! key is there from the start and stays; another goes once nothing is in it any more. None of this is
//! part of an AWS API: `trellis account` and `trellis key` ask it over the local socket.

use serde::{Deserialize, Serialize};
use trellis_model::AccountId;
use trellis_model::moment::Moment;
use trellis_model::resource::iam;
use trellis_store::{Read, StoreError, TransactError, Transaction};

use crate::Frame;
use crate::access_key::{self, AccessKey, Rights, SealedSecret, SecretAccessKey, Status};
use crate::key;
use crate::random::{BASE_32, BASE_64, Random};
use crate::record::{all, get, put, scan_all};
use crate::refusal::Refusal;
use crate::service::Services;

/// What the keys of all accounts begin with.
pub const PREFIX: &str = "account/";

/// Accounts of one installation.
const MAX_ACCOUNTS: usize = 1000;

/// Keys of one account that are an operator's, and of no user that IAM made.
const MAX_KEYS: usize = 20;

/// Numbers below 10^12.
const ACCOUNT_NUMBERS: u64 = 1_000_000_000_000;

/// An account of the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    /// 1 to 63 letters, digits, hyphens, underscores and dots, beginning with a letter; no other
    /// account has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub created_at: Moment,
}

/// A key as it may be shown: without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDescription {
    pub access_key_id: String,
    pub account: AccountId,
    /// Name of the IAM user the key speaks for.
    pub user: String,
    pub created_at: Moment,
    /// The one `trellis up` was started with; it cannot be deleted.
    pub is_admin: bool,
}

/// A key with its secret, for whoever may read the local socket.
#[derive(Debug, Clone)]
pub struct Key {
    pub access_key_id: String,
    pub secret_access_key: SecretAccessKey,
    pub account: AccountId,
}

/// Why nothing was made, shown or removed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("account {id} exists already")]
    IdTaken { id: AccountId },
    #[error("account {id} is called {name} already")]
    NameTaken { name: String, id: AccountId },
    #[error(
        "an account name begins with a letter and has at most 63 letters, digits, hyphens, underscores and dots, \
         not {name:?}"
    )]
    NameMalformed { name: String },
    #[error("there are {MAX_ACCOUNTS} accounts, as many as there may be")]
    TooManyAccounts,
    #[error("no account is called {name}: see `trellis account list`")]
    NoAccount { name: String },
    #[error("account {id} is the admin key's and stays")]
    AdminAccount { id: AccountId },
    #[error("account {id} still has resources, {example} among them: delete them first")]
    NotEmpty { id: AccountId, example: String },
    #[error("account {id} has {MAX_KEYS} keys, as many as there may be: delete one first")]
    TooManyKeys { id: AccountId },
    #[error("account {id} has no key: make one with `trellis key create --account {id}`")]
    NoKeyOf { id: AccountId },
    #[error("there is no key {access_key_id}: see `trellis key list`")]
    NoKey { access_key_id: String },
    #[error(
        "{access_key_id} is the admin key: set TRELLIS_ADMIN_ACCESS_KEY_ID and \
         TRELLIS_ADMIN_SECRET_ACCESS_KEY at the next start to replace it"
    )]
    AdminKey { access_key_id: String },
    #[error("{0}")]
    State(String),
}

impl From<Refusal> for AccountError {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_ours() {
            tracing::error!(?refusal, "an operator's call failed");
        }
        Self::State(refusal.to_string())
    }
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<TransactError<AccountError>> for AccountError {
    fn from(error: TransactError<AccountError>) -> Self {
        match error {
            TransactError::Caller(error) => error,
            TransactError::Store(error) => error.into(),
        }
    }
}

fn key_of(id: &AccountId) -> String {
    format!("{PREFIX}{id}")
}

/// Whether the installation has the account.
pub fn exists(state: &mut impl Read, id: &AccountId) -> Result<bool, Refusal> {
    Ok(state.get(&key_of(id))?.is_some())
}

/// The account with that id.
pub fn by_id(state: &mut impl Read, id: &AccountId) -> Result<Option<Account>, Refusal> {
    get(state, &key_of(id))
}

/// Every account, in the order of their ids.
pub fn every(state: &mut impl Read) -> Result<Vec<Account>, Refusal> {
    all(state, PREFIX)
}

/// Makes sure that the admin key's account is there.
pub fn bootstrap(tx: &mut Transaction<'_>, id: &AccountId, now: Moment) -> Result<(), Refusal> {
    if !exists(tx, id)? {
        put(tx, &key_of(id), &Account { id: id.clone(), name: None, created_at: now });
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = name.len() <= 63
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.bytes().all(allowed);
    if fits { Ok(()) } else { Err(AccountError::NameMalformed { name: name.chars().take(80).collect() }) }
}

/// The account that has this id or this name.
fn find(state: &mut impl Read, id_or_name: &str) -> Result<Account, AccountError> {
    let found = match id_or_name.parse::<AccountId>() {
        Ok(id) => by_id(state, &id)?,
        Err(_) => every(state)?.into_iter().find(|account| account.name.as_deref() == Some(id_or_name)),
    };
    found.ok_or_else(|| AccountError::NoAccount { name: id_or_name.chars().take(80).collect() })
}

/// Takes away what an empty account leaves: what only remembers something that is gone, and tags.
///
/// # Errors
/// [`AccountError::NotEmpty`] for an account that has anything else.
fn clear(tx: &mut Transaction<'_>, services: &Services, id: &AccountId) -> Result<(), AccountError> {
    for accounts in services.all().map(|service| service.accounts) {
        for prefix in accounts.records {
            for entry in scan_all(tx, &format!("{prefix}{id}/"))? {
                if !(accounts.is_remnant)(tx, &entry)? {
                    let example = key::last_part(&entry.key).to_owned();
                    return Err(AccountError::NotEmpty { id: id.clone(), example });
                }
                tx.delete(&entry.key);
            }
        }
    }
    for entry in scan_all(tx, &key::tags_of(id))? {
        tx.delete(&entry.key);
    }
    Ok(())
}

/// Twenty characters: `AKIA` and sixteen of base 32.
pub fn new_access_key_id(random: &Random) -> String {
    format!("AKIA{}", random.text(16, BASE_32))
}

/// Forty characters of 64, which is 240 random bits.
pub fn new_secret(random: &Random) -> SecretAccessKey {
    random.text(40, BASE_64).into()
}

/// What an operator asks on the machine itself.
impl Frame {
    /// Makes an account: the one of `id`, or of a number drawn at random.
    ///
    /// # Errors
    /// An id or a name that is taken or cannot be; nothing has changed then.
    pub async fn create_account(
        &self,
        id: Option<AccountId>,
        name: Option<String>,
    ) -> Result<Account, AccountError> {
        name.as_deref().map_or(Ok(()), check_name)?;
        let surroundings = &self.surroundings;
        let drawn = || format!("{:012}", surroundings.random.draw() % ACCOUNT_NUMBERS);
        let id = id.unwrap_or_else(|| drawn().parse().expect("twelve digits"));
        let account = Account { id, name, created_at: surroundings.clock.now().into() };
        let transaction = surroundings.store.transact(move |tx| {
            let others = every(tx)?;
            if others.len() >= MAX_ACCOUNTS {
                return Err(AccountError::TooManyAccounts);
            }
            for other in others {
                if other.id == account.id {
                    return Err(AccountError::IdTaken { id: other.id });
                }
                if let Some(name) = other.name.filter(|name| account.name.as_ref() == Some(name)) {
                    return Err(AccountError::NameTaken { name, id: other.id });
                }
            }
            put(tx, &key_of(&account.id), &account);
            Ok(account.clone())
        });
        Ok(transaction.await?)
    }

    /// Every account, in the order of their ids.
    ///
    /// # Errors
    /// The state could not be read.
    pub fn accounts(&self) -> Result<Vec<Account>, AccountError> {
        Ok(every(&mut self.surroundings.store.read()?)?)
    }

    /// Removes an account with its keys and what is remembered of it.
    ///
    /// # Errors
    /// The admin key's account, and one that still has resources, stay.
    pub async fn delete_account(&self, id_or_name: &str) -> Result<Account, AccountError> {
        let name = id_or_name.to_owned();
        let surroundings = self.surroundings.clone();
        let transaction = self.surroundings.store.transact(move |tx| {
            let account = find(tx, &name)?;
            let keys = access_key::list(tx, Some(&account.id))?;
            if keys.iter().any(|(_, key)| key.rights == Rights::Admin) {
                return Err(AccountError::AdminAccount { id: account.id });
            }
            let services = &surroundings.services;
            clear(tx, services, &account.id)?;
            services.all().try_for_each(|service| (service.accounts.forget)(tx, &account.id))?;
            for (access_key_id, _) in keys {
                access_key::delete(tx, &access_key_id);
            }
            tx.delete(&key_of(&account.id));
            Ok(account)
        });
        Ok(transaction.await?)
    }

    /// Makes a key with every right in the account. Its secret is shown here and by [`Frame::key`].
    ///
    /// # Errors
    /// No such account, or one with [`MAX_KEYS`] keys.
    pub async fn create_key(&self, account: &str) -> Result<Key, AccountError> {
        let surroundings = &self.surroundings;
        let access_key_id = new_access_key_id(&surroundings.random);
        let secret = new_secret(&surroundings.random);
        let sealed_secret = SealedSecret::seal(&secret, &access_key_id, &surroundings.vault.sealing_key())
            .map_err(Refusal::from)?;
        let created_at = surroundings.clock.now().into();
        let name = account.to_owned();
        let transaction = surroundings.store.transact(move |tx| {
            let account = find(tx, &name)?.id;
            let keys = access_key::list(tx, Some(&account))?;
            if keys.iter().filter(|(_, key)| key.is_operators()).count() >= MAX_KEYS {
                return Err(AccountError::TooManyKeys { id: account });
            }
            let key = AccessKey {
                account: account.clone(),
                user: iam::OPERATOR.into(),
                sealed_secret: sealed_secret.clone(),
                rights: Rights::Account,
                status: Status::Active,
                created_at,
            };
            access_key::insert(tx, &access_key_id, &key);
            Ok(Key { access_key_id: access_key_id.clone(), secret_access_key: secret.clone(), account })
        });
        Ok(transaction.await?)
    }

    /// Keys of one account, or of all, in the order of their ids; without secrets.
    ///
    /// # Errors
    /// No such account.
    pub fn keys(&self, account: Option<&str>) -> Result<Vec<KeyDescription>, AccountError> {
        let state = &mut self.surroundings.store.read()?;
        let account = account.map(|name| find(state, name)).transpose()?.map(|account| account.id);
        let describe = |(access_key_id, key): (String, AccessKey)| KeyDescription {
            access_key_id,
            account: key.account,
            user: key.user,
            created_at: key.created_at,
            is_admin: key.rights == Rights::Admin,
        };
        Ok(access_key::list(state, account.as_ref())?.into_iter().map(describe).collect())
    }

    /// The newest key of an account, with its secret.
    ///
    /// # Errors
    /// No such account, or one without a key.
    pub fn key(&self, account: &str) -> Result<Key, AccountError> {
        let surroundings = &self.surroundings;
        let state = &mut surroundings.store.read()?;
        let account = find(state, account)?.id;
        let keys = access_key::list(state, Some(&account))?;
        let newest =
            keys.into_iter().filter(|(_, key)| key.is_operators()).max_by_key(|(_, key)| key.created_at);
        let (access_key_id, key) = newest.ok_or_else(|| AccountError::NoKeyOf { id: account.clone() })?;
        let secret = key.sealed_secret.open(&access_key_id, &surroundings.vault.sealing_key());
        Ok(Key { secret_access_key: secret.map_err(Refusal::from)?, access_key_id, account })
    }

    /// Removes a key: requests signed with it are refused from now on.
    ///
    /// # Errors
    /// No such key, or the admin key.
    pub async fn delete_key(&self, access_key_id: &str) -> Result<(), AccountError> {
        let access_key_id = access_key_id.to_owned();
        let transaction = self.surroundings.store.transact(move |tx| {
            let shown = || access_key_id.chars().take(128).collect();
            match access_key::find(tx, &access_key_id)? {
                None => Err(AccountError::NoKey { access_key_id: shown() }),
                Some(key) if key.rights == Rights::Admin => {
                    Err(AccountError::AdminKey { access_key_id: shown() })
                }
                Some(_) => {
                    access_key::delete(tx, &access_key_id);
                    Ok(())
                }
            }
        });
        Ok(transaction.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_keys_have_the_shape_clients_check() {
        let random = Random::system();
        let id = new_access_key_id(&random);
        assert!(id.len() == 20 && id.starts_with("AKIA") && id.parse::<trellis_auth::AccessKeyId>().is_ok());
        assert!(new_secret(&random).to_key().is_ok());
        assert_ne!(new_secret(&random), new_secret(&random));
    }

    #[test]
    fn a_name_cannot_be_taken_for_an_account_number() {
        for (name, fits) in [
            ("team-b", true),
            ("Team_B.2", true),
            ("", false),
            ("111122223333", false),
            ("1team", false),
            ("a b", false),
            (&"x".repeat(64), false),
        ] {
            assert_eq!(check_name(name).is_ok(), fits, "{name}");
        }
    }
}
