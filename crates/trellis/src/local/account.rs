//! `trellis account` and `trellis key`: accounts of the running instance and their keys.
//!
//! What the commands ask for and what they show. A secret is shown once, when its key is made, and by
//! `trellis env --account`; whoever can open the socket can read the data directory as well.

use std::process::ExitCode;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trellis_control::{Account, Control, KeyDescription, SecretAccessKey};
use trellis_model::AccountId;

use super::client::{print, table};
use super::{Answer, Ask, Connection};
use crate::cli::{self, accounts};
use crate::data_dir::Layout;

/// What the two commands and `env` ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum AccountAsk {
    CreateAccount {
        id: Option<AccountId>,
        name: Option<String>,
    },
    ListAccounts,
    /// By id or name, as all below.
    DeleteAccount {
        account: String,
    },
    CreateKey {
        account: String,
    },
    ListKeys {
        account: Option<String>,
    },
    DeleteKey {
        access_key_id: String,
    },
    /// The newest key of the account, with its secret.
    FindKey {
        account: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum AccountAnswer {
    Accounts { accounts: Vec<Account> },
    Keys { keys: Vec<KeyDescription> },
    Key { access_key_id: String, secret_access_key: SecretAccessKey, account: AccountId },
    Done,
}

/// The instance's side.
pub(crate) async fn answer(ask: AccountAsk, control: &Control) -> anyhow::Result<AccountAnswer> {
    let shown = |key: trellis_control::Key| AccountAnswer::Key {
        access_key_id: key.access_key_id,
        secret_access_key: key.secret_access_key,
        account: key.account,
    };
    Ok(match ask {
        AccountAsk::CreateAccount { id, name } => {
            AccountAnswer::Accounts { accounts: vec![control.frame().create_account(id, name).await?] }
        }
        AccountAsk::ListAccounts => AccountAnswer::Accounts { accounts: control.frame().accounts()? },
        AccountAsk::DeleteAccount { account } => {
            AccountAnswer::Accounts { accounts: vec![control.frame().delete_account(&account).await?] }
        }
        AccountAsk::CreateKey { account } => shown(control.frame().create_key(&account).await?),
        AccountAsk::ListKeys { account } => {
            AccountAnswer::Keys { keys: control.frame().keys(account.as_deref())? }
        }
        AccountAsk::DeleteKey { access_key_id } => {
            control.frame().delete_key(&access_key_id).await?;
            AccountAnswer::Done
        }
        AccountAsk::FindKey { account } => shown(control.frame().key(&account)?),
    })
}

/// Asks the instance of `data_dir`.
pub(crate) fn ask(connection: &mut Connection, ask: AccountAsk) -> anyhow::Result<AccountAnswer> {
    match connection.ask(&Ask::Account(ask))? {
        Answer::Account(answer) => Ok(answer),
        _ => bail!("the instance speaks another version of Trellis"),
    }
}

fn connect(data_dir: &cli::DataDir) -> anyhow::Result<Connection> {
    Connection::open(&Layout::at(&data_dir.data_dir)?)
}

pub(crate) fn account(args: accounts::Account) -> anyhow::Result<ExitCode> {
    let mut connection = connect(&args.data_dir)?;
    let (question, json) = match args.command {
        accounts::AccountCommand::Create { id, name, json } => (AccountAsk::CreateAccount { id, name }, json),
        accounts::AccountCommand::List { json } => (AccountAsk::ListAccounts, json),
        accounts::AccountCommand::Delete { account } => (AccountAsk::DeleteAccount { account }, false),
    };
    let is_list = matches!(question, AccountAsk::ListAccounts);
    let AccountAnswer::Accounts { accounts } = ask(&mut connection, question)? else {
        bail!("the instance speaks another version of Trellis")
    };
    match (is_list, accounts.first()) {
        (true, _) if json => print(&format!("{}\n", serde_json::to_string_pretty(&accounts)?)),
        (true, _) => print(&account_table(&accounts)),
        (false, Some(account)) if json => print(&format!("{}\n", serde_json::to_string_pretty(account)?)),
        (false, Some(account)) => print(&format!("{}\n", account.id)),
        (false, None) => bail!("the instance speaks another version of Trellis"),
    }
}

fn account_table(accounts: &[Account]) -> String {
    let rows = accounts.iter().map(|account| {
        [account.id.to_string(), account.name.clone().unwrap_or_default(), account.created_at.to_string()]
    });
    table(["ACCOUNT", "NAME", "CREATED"], rows)
}

pub(crate) fn key(args: accounts::Key) -> anyhow::Result<ExitCode> {
    let mut connection = connect(&args.data_dir)?;
    let (question, json) = match args.command {
        accounts::KeyCommand::Create { account, json } => (AccountAsk::CreateKey { account }, json),
        accounts::KeyCommand::List { account, json } => (AccountAsk::ListKeys { account }, json),
        accounts::KeyCommand::Delete { access_key_id } => (AccountAsk::DeleteKey { access_key_id }, false),
    };
    match ask(&mut connection, question)? {
        AccountAnswer::Key { access_key_id, secret_access_key, account } => {
            let secret = secret_access_key.expose();
            if json {
                let key =
                    json!({"AccessKeyId": access_key_id, "SecretAccessKey": secret, "AccountId": account});
                return print(&format!("{}\n", serde_json::to_string_pretty(&key)?));
            }
            print(&format!(
                "aws_access_key_id = {access_key_id}\naws_secret_access_key = {secret}\naws_account_id = {account}\n"
            ))
        }
        AccountAnswer::Keys { keys } if json => print(&format!("{}\n", serde_json::to_string_pretty(&keys)?)),
        AccountAnswer::Keys { keys } => print(&key_table(&keys)),
        AccountAnswer::Done => Ok(ExitCode::SUCCESS),
        AccountAnswer::Accounts { .. } => bail!("the instance speaks another version of Trellis"),
    }
}

fn key_table(keys: &[KeyDescription]) -> String {
    let rows = keys.iter().map(|key| {
        let kind = if key.is_admin { "admin" } else { "account" };
        [key.access_key_id.clone(), key.account.to_string(), kind.to_owned(), key.created_at.to_string()]
    });
    table(["KEY", "ACCOUNT", "KIND", "CREATED"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_on_its_way_over_the_socket_shows_in_no_debug_output() {
        let answer = AccountAnswer::Key {
            access_key_id: "AKIAEXAMPLE".into(),
            secret_access_key: "hush".into(),
            account: "111122223333".parse().unwrap(),
        };
        assert!(!format!("{answer:?}").contains("hush"));
        let line = serde_json::to_string(&answer).unwrap();
        let AccountAnswer::Key { secret_access_key, .. } = serde_json::from_str(&line).unwrap() else {
            panic!("another answer")
        };
        assert_eq!(secret_access_key.expose(), "hush");
    }
}
