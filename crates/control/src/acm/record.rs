//! A certificate as it is kept, and who shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trellis_api::Exception;
use trellis_ca::{Facts, Leaf};
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_model::{Arn, ServiceId};
use trellis_store::{Read, Transaction};

use crate::keys::{Scope, last_part};
use crate::record::{all, get, put, scan_all};
use crate::refusal::Refusal;
use crate::vault::{Vault, VaultFault};

const CERTIFICATE: &str = "certificate";
const MATERIAL: &str = "material";
const USE: &str = "use";

/// Everything that is not secret of one imported certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// A UUID; the same for everything that is imported to its ARN.
    pub(crate) id: String,
    pub(crate) home: Home,
    pub(crate) facts: Facts,
    /// The first import.
    pub(crate) created_at: Moment,
    /// The last one.
    pub(crate) imported_at: Moment,
}

fn scope(home: &Home) -> Scope {
    Scope::new("acm", home)
}

impl Certificate {
    pub(crate) fn arn(&self) -> String {
        Arn::new("acm", &self.home.region, &self.home.account, format_args!("certificate/{}", self.id))
            .to_string()
    }

    /// `ISSUED`, or `EXPIRED` once it is over.
    pub(crate) fn status(&self, now: Moment) -> &'static str {
        if now > self.facts.not_after { "EXPIRED" } else { "ISSUED" }
    }

    pub(crate) fn is_valid_at(&self, now: Moment) -> bool {
        self.facts.is_valid_at(Timestamp::from(now))
    }

    /// The certificate that `arn` names, if it is one of `home` and exists.
    pub(crate) fn get(state: &mut impl Read, home: &Home, arn: &Arn) -> Result<Option<Self>, Refusal> {
        let is_here = arn.service == "acm"
            && arn.partition == "aws"
            && arn.region == home.region.as_str()
            && arn.account == home.account.as_str();
        match arn.resource.strip_prefix("certificate/") {
            Some(id) if is_here && !id.is_empty() => get(state, &scope(home).record(CERTIFICATE, id)),
            _ => Ok(None),
        }
    }

    /// The certificate that `text` names.
    ///
    /// # Errors
    /// `InvalidArnException` for what is no certificate's ARN, `ResourceNotFoundException` for one that is not
    /// there, not in this region or not the caller's.
    pub(crate) fn find(state: &mut impl Read, home: &Home, text: &str) -> Result<Self, Refusal> {
        let malformed = || {
            Exception::plain("InvalidArnException", 400, format!("{text} is not the ARN of a certificate"))
        };
        let arn: Arn = text.parse().map_err(|_| malformed())?;
        if !arn.resource.starts_with("certificate/") {
            return Err(malformed().into());
        }
        Self::get(state, home, &arn)?.ok_or_else(|| {
            Exception::plain("ResourceNotFoundException", 400, format!("Could not find certificate {text}."))
                .into()
        })
    }

    /// Every certificate in `home`, by id.
    pub(crate) fn all(state: &mut impl Read, home: &Home) -> Result<Vec<Self>, Refusal> {
        all(state, &scope(home).records(CERTIFICATE))
    }

    /// Writes the record and, sealed, `leaf`, which is what it is of.
    pub(crate) fn put(&self, tx: &mut Transaction<'_>, vault: &Vault, leaf: &Leaf) -> Result<(), VaultFault> {
        let scope = scope(&self.home);
        let key = scope.record(MATERIAL, &self.id);
        tx.put(&key, vault.seal(&key, leaf)?);
        put(tx, &scope.record(CERTIFICATE, &self.id), self);
        Ok(())
    }

    /// Chain and private key.
    pub(crate) fn material(&self, state: &mut impl Read, vault: &Vault) -> Result<Leaf, Refusal> {
        let key = scope(&self.home).record(MATERIAL, &self.id);
        let sealed = state.get(&key)?.map(|entry| entry.value).unwrap_or_default();
        Ok(vault.open_leaf(&key, &sealed)?)
    }

    pub(super) fn delete(&self, tx: &mut Transaction<'_>) {
        let scope = scope(&self.home);
        tx.delete(&scope.record(MATERIAL, &self.id));
        tx.delete(&scope.record(CERTIFICATE, &self.id));
    }

    /// Ids of the services that show it.
    pub(crate) fn users(&self, state: &mut impl Read) -> Result<Vec<ServiceId>, Refusal> {
        let entries = scan_all(state, &scope(&self.home).indexes_of(USE, &self.id))?;
        Ok(entries.iter().filter_map(|entry| last_part(&entry.key).parse().ok()).collect())
    }
}

/// The mark that `service` shows the certificate `arn` names; `None` for what is no ARN.
fn mark(home: &Home, arn: &str, service: &ServiceId) -> Option<String> {
    let arn: Arn = arn.parse().ok()?;
    Some(scope(home).index(USE, format_args!("{}/{service}", arn.resource_id())))
}

/// From now on `service` shows the certificate `arn` names.
pub(crate) fn hold(tx: &mut Transaction<'_>, home: &Home, arn: &str, service: &ServiceId) {
    if let Some(mark) = mark(home, arn, service) {
        tx.put(&mark, Vec::new());
    }
}

/// From now on `service` shows it no longer.
pub(crate) fn release(tx: &mut Transaction<'_>, home: &Home, arn: &str, service: &ServiceId) {
    if let Some(mark) = mark(home, arn, service) {
        tx.delete(&mark);
    }
}
