//! Whose a domain name is: of all zones that have it, private ones among them, the oldest says so. Who was first with
//! `example.com` speaks for it and for everything below, and no other account gets a proof for it.
//!
//! ```text
//! route53-name/{name} {created at} {zone id}   the account
//! ```

use trellis_frame::zone::Zones;
use trellis_frame::{Refusal, Surroundings, account, key};
use trellis_model::AccountId;
use trellis_model::snapshot::names::upwards;
use trellis_store::{Read, Transaction};

use crate::hosted_zone::{HostedZone, ZONES};
use crate::name::DomainName;
use crate::record_set;
use crate::wire::RRType;

/// Zones of one name that are looked at: the oldest come first.
const MOST: usize = 64;

fn key_of(zone: &HostedZone) -> String {
    // As long as each other, so that they sort.
    let made = jiff::Timestamp::from(zone.created_at).as_millisecond();
    format!("route53-name/{} {made:014} {}", zone.name, zone.id)
}

pub(crate) fn add(tx: &mut Transaction<'_>, zone: &HostedZone) {
    tx.put(&key_of(zone), zone.account.to_string().into_bytes());
}

pub(crate) fn remove(tx: &mut Transaction<'_>, zone: &HostedZone) {
    tx.delete(&key_of(zone));
}

/// Adds the zones that were there before this was kept.
///
/// # Errors
/// A state that cannot be read or written.
pub(crate) async fn adopt(surroundings: &Surroundings) -> Result<(), Refusal> {
    let accounts = account::every(&mut surroundings.store.read()?)?;
    for account in accounts {
        let known = surroundings.store.transact(move |tx| {
            for zone in ZONES.all(tx, &key::global(&account.id))? {
                if tx.get(&key_of(&zone))?.is_none() {
                    add(tx, &zone);
                }
            }
            Ok::<_, Refusal>(())
        });
        known.await?;
    }
    Ok(())
}

/// Zones for who wants a proof.
#[derive(Debug)]
pub(crate) struct Proofs;

impl Zones for Proofs {
    fn cname(
        &self,
        mut state: &mut dyn Read,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<String>, Refusal> {
        let Ok(name) = DomainName::parse(name) else { return Ok(None) };
        let (mut oldest, mut own): (Option<(String, String)>, Vec<String>) = (None, Vec::new());
        for zone in upwards(name.as_str()) {
            let prefix = format!("route53-name/{zone} ");
            for entry in state.scan(&prefix, None, MOST)? {
                let mut place = entry.key[prefix.len()..].splitn(2, ' ');
                let (Some(created), Some(id)) = (place.next(), place.next()) else { continue };
                let owner = String::from_utf8_lossy(&entry.value).into_owned();
                if owner == account.as_str() {
                    own.push(id.to_owned());
                }
                let candidate = (created.to_owned(), owner);
                if oldest.as_ref().is_none_or(|known| candidate.0 < known.0) {
                    oldest = Some(candidate);
                }
            }
        }
        if oldest.is_none_or(|(_, owner)| owner != account.as_str()) {
            return Ok(None);
        }
        for id in own {
            let Some(zone) = ZONES.get(&mut state, &key::global(account), &id)? else { continue };
            let sets = record_set::at(&mut state, &zone, &name)?;
            let set = sets.into_iter().find(|set| set.r#type == RRType::Cname);
            let value = set.and_then(|set| set.resource_records?.into_iter().next());
            if let Some(Ok(target)) = value.map(|value| DomainName::parse(&value.value)) {
                return Ok(Some(target.as_str().to_owned()));
            }
        }
        Ok(None)
    }
}
