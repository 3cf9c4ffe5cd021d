//! Quotas: what a service declares beside its nouns, and what an operator put in their place.
//!
//! "Where AWS has a limit that is only AWS's, it is a quota with AWS's default that an operator may raise."

use std::collections::BTreeMap;

use crate::refusal::{Kind, Refusal};

/// A limit with the code AWS knows it by.
#[derive(Debug, PartialEq, Eq)]
pub struct Quota {
    service: &'static str,
    code: &'static str,
    default: u64,
    counts: &'static str,
}

impl Quota {
    /// `service` is AWS's service code, `code` its quota code (`L-...`); `counts` says what is counted, for messages:
    /// `services per region`.
    pub const fn new(service: &'static str, code: &'static str, default: u64, counts: &'static str) -> Self {
        Self { service, code, default, counts }
    }

    pub const fn service(&self) -> &'static str {
        self.service
    }

    pub const fn code(&self) -> &'static str {
        self.code
    }

    pub const fn default_limit(&self) -> u64 {
        self.default
    }

    pub const fn counts(&self) -> &'static str {
        self.counts
    }
}

/// The limits in force: AWS's defaults, some of them replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas(BTreeMap<&'static str, u64>);

/// A replacement for a quota that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no quota has the code {code:?}")]
pub struct UnknownQuota {
    pub code: String,
}

impl Quotas {
    /// Replaces limits of `known` quotas by code.
    ///
    /// # Errors
    /// The first code that is no quota's.
    pub fn with_overrides<'a>(
        known: impl Iterator<Item = &'static Quota> + Clone,
        overrides: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Result<Self, UnknownQuota> {
        overrides
            .into_iter()
            .map(|(code, limit)| {
                let quota = known
                    .clone()
                    .find(|quota| quota.code == code)
                    .ok_or_else(|| UnknownQuota { code: code.chars().take(64).collect() })?;
                Ok((quota.code, limit))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The limit in force for `quota`.
    pub fn limit(&self, quota: &Quota) -> u64 {
        self.0.get(quota.code).copied().unwrap_or(quota.default)
    }

    /// Refuses `more` where `have` exist already; `parent` is what they are counted in, where that is not the region.
    ///
    /// # Errors
    /// [`Refusal::Quota`].
    pub fn check(
        &self,
        quota: &'static Quota,
        have: usize,
        more: usize,
        kind: &'static Kind,
        parent: Option<&str>,
    ) -> Result<(), Refusal> {
        let limit = self.limit(quota);
        if (have + more) as u64 <= limit {
            return Ok(());
        }
        Err(Refusal::Quota { quota, limit, kind, parent: parent.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Quota = Quota::new("toys", "L-CF78395E", 10, "rules per listener");
    const LISTENERS: Quota = Quota::new("toys", "L-D64E952E", 2, "listeners per service");

    #[test]
    fn an_operator_replaces_single_limits_and_a_typing_mistake_is_refused() {
        let known = [&RULES, &LISTENERS].into_iter();
        let quotas = Quotas::with_overrides(known.clone(), [("L-CF78395E", 100)]).unwrap();
        assert_eq!((quotas.limit(&RULES), quotas.limit(&LISTENERS)), (100, 2));
        assert!(Quotas::with_overrides(known, [("L-NOPE", 1)]).is_err());
    }
}
