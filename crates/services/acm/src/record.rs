//! A certificate as it is kept, and who shows it.

use serde::{Deserialize, Serialize};
use trellis_api::Exception;
use trellis_ca::{Facts, KeyAlgorithm, Leaf};
use trellis_frame::certificate::{Certificates, Kept};
use trellis_frame::key::Scope;
use trellis_frame::record::{all, get, put};
use trellis_frame::vault::Vault;
use trellis_frame::{Refusal, Surroundings, counted, reference};
use trellis_model::Arn;
use trellis_model::moment::Moment;
use trellis_model::resource::lattice::Home;
use trellis_store::{Read, Transaction};

use super::request::Requested;

pub(super) const CERTIFICATE: &str = "certificate";
const MATERIAL: &str = "material";

/// The status of one whose domains nobody proved in time; kept where failures are.
pub(super) const TIMED_OUT: &str = "VALIDATION_TIMED_OUT";

/// Everything that is not secret of one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// A UUID; the same for everything that is imported to its ARN, and for its successors.
    pub(crate) id: String,
    pub(crate) home: Home,
    /// None before it is issued.
    pub(crate) facts: Option<Facts>,
    /// The first import, or the request.
    pub(crate) created_at: Moment,
    /// The last import.
    pub(crate) imported_at: Option<Moment>,
    /// Of one that was not imported.
    #[serde(default)]
    pub(crate) requested: Option<Requested>,
}

fn scope(home: &Home) -> Scope {
    Scope::new("acm", home)
}

impl Certificate {
    pub(crate) fn arn(&self) -> String {
        Arn::new("acm", &self.home.region, &self.home.account, format_args!("certificate/{}", self.id))
            .to_string()
    }

    /// The refusal of what needs it to be issued.
    pub(crate) fn in_progress(&self, now: Moment) -> Refusal {
        let message = format!("Certificate {} is {}.", self.arn(), self.status(now));
        Exception::plain("RequestInProgressException", 400, message).into()
    }

    /// `PENDING_VALIDATION` or `FAILED` before it is issued, `EXPIRED` once it is over.
    pub(crate) fn status(&self, now: Moment) -> &'static str {
        let failure = self.requested.as_ref().and_then(|requested| requested.failure.as_deref());
        match &self.facts {
            None if failure == Some(TIMED_OUT) => TIMED_OUT,
            None if failure.is_some() => "FAILED",
            None => "PENDING_VALIDATION",
            Some(facts) if now > facts.not_after => "EXPIRED",
            Some(_) => "ISSUED",
        }
    }

    /// `IMPORTED`, `PRIVATE`, or `AMAZON_ISSUED` by this installation's own authority.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.requested {
            None => "IMPORTED",
            Some(Requested { authority_arn: Some(_), .. }) => "PRIVATE",
            Some(_) => "AMAZON_ISSUED",
        }
    }

    /// Who made its key.
    pub(crate) fn key_pair_origin(&self) -> &'static str {
        if self.requested.is_some() { "AWS_MANAGED" } else { "CUSTOMER_PROVIDED" }
    }

    pub(crate) fn key_algorithm(&self) -> Option<KeyAlgorithm> {
        let requested = self.requested.as_ref().map(|requested| requested.key_algorithm);
        self.facts.as_ref().map(|facts| facts.key_algorithm).or(requested)
    }

    pub(crate) fn domain_name(&self) -> Option<&str> {
        match &self.requested {
            Some(requested) => requested.names.first().map(String::as_str),
            None => self.facts.as_ref().and_then(Facts::domain_name),
        }
    }

    /// Every name it stands for or is to stand for, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        match (&self.facts, &self.requested) {
            (_, Some(requested)) => requested.names.iter().map(String::as_str).collect(),
            (Some(facts), None) => facts.host_names().collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Whether its key may be had: one that was imported stays here.
    pub(crate) fn export_option(&self) -> &str {
        self.requested.as_ref().map_or("DISABLED", |requested| &requested.export)
    }

    /// Whether a workflow renews it: one of ours that somebody uses.
    pub(crate) fn renewal_eligibility(&self, is_in_use: bool) -> &'static str {
        let is_exported = self.requested.as_ref().is_some_and(|requested| requested.is_exported);
        let is_kept = self.requested.is_some() && self.facts.is_some();
        if is_kept && (is_in_use || is_exported) { "ELIGIBLE" } else { "INELIGIBLE" }
    }

    /// The certificate of `id`.
    pub(crate) fn of_id(state: &mut impl Read, home: &Home, id: &str) -> Result<Option<Self>, Refusal> {
        get(state, &scope(home).record(CERTIFICATE, id))
    }

    /// Writes the record, and that the workflow has to do something about it.
    pub(super) fn put_pending(&self, tx: &mut Transaction<'_>) -> Result<(), Refusal> {
        let scope = scope(&self.home);
        tx.put(&scope.pending(CERTIFICATE, &self.id), Vec::new());
        counted::put_record(tx, &scope.record(CERTIFICATE, &self.id), self)
    }

    /// Writes the record alone.
    pub(super) fn put_record(&self, tx: &mut Transaction<'_>) {
        put(tx, &scope(&self.home).record(CERTIFICATE, &self.id), self);
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

    /// How many there are in `home`.
    pub(crate) fn count(state: &mut impl Read, home: &Home) -> Result<usize, Refusal> {
        counted::count(state, &scope(home).records(CERTIFICATE))
    }

    /// Writes the record and, sealed, `leaf`, which is what it is of.
    pub(crate) fn put(&self, tx: &mut Transaction<'_>, vault: &Vault, leaf: &Leaf) -> Result<(), Refusal> {
        let scope = scope(&self.home);
        let key = scope.record(MATERIAL, &self.id);
        tx.put(&key, vault.seal(&key, leaf)?);
        counted::put_record(tx, &scope.record(CERTIFICATE, &self.id), self)
    }

    /// Chain and private key.
    pub(crate) fn material(&self, state: &mut impl Read, vault: &Vault) -> Result<Leaf, Refusal> {
        let key = scope(&self.home).record(MATERIAL, &self.id);
        let sealed = state.get(&key)?.map(|entry| entry.value).unwrap_or_default();
        Ok(vault.open_leaf(&key, &sealed)?)
    }

    pub(super) fn delete(&self, tx: &mut Transaction<'_>) -> Result<(), Refusal> {
        let scope = scope(&self.home);
        tx.delete(&scope.pending(CERTIFICATE, &self.id));
        tx.delete(&scope.record(MATERIAL, &self.id));
        counted::delete(tx, &scope.record(CERTIFICATE, &self.id))
    }

    /// ARNs of those who show it.
    pub(crate) fn users(&self, state: &mut impl Read) -> Result<Vec<String>, Refusal> {
        reference::all_holders(state, &self.arn())
    }
}

/// Certificates for those who show them.
#[derive(Debug)]
pub(super) struct Keeper;

impl Certificates for Keeper {
    fn arn_service(&self) -> &'static str {
        "acm"
    }

    fn find(
        &self,
        mut state: &mut dyn Read,
        surroundings: &Surroundings,
        home: &Home,
        arn: &Arn,
    ) -> Result<Option<Kept>, Refusal> {
        let Some(certificate) = Certificate::get(&mut state, home, arn)? else { return Ok(None) };
        Ok(Some(match certificate.facts {
            Some(_) => Kept::Issued(Box::new(certificate.material(&mut state, &surroundings.vault)?)),
            None => Kept::Unissued(certificate.status(surroundings.clock.now().into())),
        }))
    }
}

// === what older releases left ===

/// `index/acm/{account}/{region}/use/{uuid}/{svc}`: a service of VPC Lattice shows the certificate.
const OLD_INDEX: &str = "index/acm/";

/// Entries moved in one transaction.
const STEP: usize = 32;

/// Moves who shows what from an index of ACM's own, as older releases had it, to the table of references.
///
/// # Errors
/// A state that cannot be read or written.
pub(super) async fn adopt(surroundings: &Surroundings) -> Result<(), Refusal> {
    loop {
        let moved = surroundings.store.transact(|tx| {
            let entries = tx.scan(OLD_INDEX, None, STEP)?;
            for entry in &entries {
                if let Some((of, by)) = read_old(&entry.key) {
                    reference::hold(tx, &of, &by);
                }
                tx.delete(&entry.key);
            }
            Ok::<_, Refusal>(entries.len())
        });
        match moved.await? {
            STEP.. => {}
            moved => {
                if moved > 0 {
                    tracing::info!(
                        "who shows which certificate of ACM has been moved to the table of references"
                    );
                }
                return Ok(());
            }
        }
    }
}

/// The ARNs of a certificate and of the service that shows it.
fn read_old(key: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = key.strip_prefix(OLD_INDEX)?.split('/').collect();
    let &[account, region, "use", certificate, service] = parts.as_slice() else { return None };
    let home = Home { account: account.parse().ok()?, region: region.parse().ok()? };
    let of = Arn::new("acm", &home.region, &home.account, format_args!("certificate/{certificate}"));
    Some((of.to_string(), home.lattice_arn(format_args!("service/{service}"))))
}
