//! What there is in the organisation: the root, units and accounts, by their ids; and who may look at it.

use trellis_frame::account::{self, Account};
use trellis_frame::{Context, Refusal, organization};
use trellis_model::AccountId;
use trellis_model::resource::organization::{FULL_ACCESS, Organization, Record, Tree};
use trellis_store::{Read, Transaction};

use crate::{fault, wire};

/// The organisation as its management account sees it.
pub(crate) struct Managed {
    pub(crate) tree: Tree,
    pub(crate) organization: Organization,
}

impl Managed {
    /// # Errors
    /// `AccessDeniedException` for every account but the management account.
    pub(crate) fn read(state: &mut impl Read, ctx: &Context) -> Result<Self, Refusal> {
        let seen = Self::seen(state)?;
        if seen.organization.management != ctx.caller.account {
            return Err(fault(
                "AccessDeniedException",
                "You don't have permissions to access this resource.",
            ));
        }
        Ok(seen)
    }

    /// As every account may see it.
    ///
    /// # Errors
    /// There is none yet.
    pub(crate) fn seen(state: &mut impl Read) -> Result<Self, Refusal> {
        let tree = organization::read(state)?;
        match tree.organization.clone() {
            Some(organization) => Ok(Self { tree, organization }),
            None => Err(fault(
                "AWSOrganizationsNotInUseException",
                "Your account is not a member of an organization.",
            )),
        }
    }

    /// What the root or a unit is called in answers; `None` for an id of neither.
    pub(crate) fn parent(&self, id: &str) -> Option<wire::ParentType> {
        if id == self.organization.root {
            Some(wire::ParentType::Root)
        } else {
            self.tree.units.contains_key(id).then_some(wire::ParentType::OrganizationalUnit)
        }
    }

    /// `arn:aws:organizations::{management}:{kind}/{organisation}/{id}`.
    pub(crate) fn arn(&self, kind: &str, id: &str) -> String {
        let Organization { management, id: organization, .. } = &self.organization;
        match kind {
            "organization" => format!("arn:aws:organizations::{management}:organization/{organization}"),
            "policy" if id == FULL_ACCESS => {
                format!("arn:aws:organizations::aws:policy/service_control_policy/{id}")
            }
            "policy" => format!(
                "arn:aws:organizations::{management}:policy/{organization}/service_control_policy/{id}"
            ),
            kind => format!("arn:aws:organizations::{management}:{kind}/{organization}/{id}"),
        }
    }

    pub(crate) fn account_arn(&self, account: &AccountId) -> String {
        self.arn("account", account.as_str())
    }

    /// What policies are attached to.
    ///
    /// # Errors
    /// `TargetNotFoundException`.
    pub(crate) fn target(&self, state: &mut impl Read, id: &str) -> Result<Target, Refusal> {
        if id == self.organization.root {
            return Ok(Target::Root);
        }
        if self.tree.units.contains_key(id) {
            return Ok(Target::Unit(id.to_owned()));
        }
        if let Ok(account) = id.parse::<AccountId>()
            && account::exists(state, &account)?
        {
            return Ok(Target::Account(account));
        }
        Err(fault("TargetNotFoundException", "We can't find a root, OU, account, or policy with that id."))
    }

    /// The ids of policies that a target has.
    pub(crate) fn policies(&self, target: &Target) -> std::collections::BTreeSet<String> {
        match target {
            Target::Root => self.organization.policies.clone(),
            Target::Unit(id) => self.tree.units.get(id).map(|unit| unit.policies.clone()).unwrap_or_default(),
            Target::Account(account) => {
                self.tree.member(account).map(|member| member.policies).unwrap_or_default()
            }
        }
    }

    /// Writes what policies a target has from now on.
    pub(crate) fn set_policies(
        &self,
        tx: &mut Transaction<'_>,
        target: &Target,
        policies: std::collections::BTreeSet<String>,
    ) -> Result<(), Refusal> {
        let record = match target {
            Target::Root => Record::Organization(Organization { policies, ..self.organization.clone() }),
            Target::Unit(id) => match self.tree.units.get(id).cloned() {
                Some(mut unit) => {
                    unit.policies = policies;
                    Record::Unit(unit)
                }
                None => return Ok(()),
            },
            Target::Account(account) => match self.tree.member(account) {
                Some(mut member) => {
                    member.policies = policies;
                    Record::Member(member)
                }
                None => return Ok(()),
            },
        };
        organization::put(tx, &record)
    }

    /// Every target there is, with its id, its name and what it is.
    pub(crate) fn targets(&self, accounts: &[Account]) -> Vec<(Target, String, String)> {
        let mut targets = vec![(Target::Root, self.organization.root.clone(), ROOT_NAME.to_owned())];
        let units = self.tree.units.values();
        targets.extend(units.map(|unit| (Target::Unit(unit.id.clone()), unit.id.clone(), unit.name.clone())));
        let shown = |account: &Account| {
            (Target::Account(account.id.clone()), account.id.to_string(), account_name(account))
        };
        targets.extend(accounts.iter().map(shown));
        targets
    }
}

pub(crate) const ROOT_NAME: &str = "Root";

/// One without a name is called by its number.
pub(crate) fn account_name(account: &Account) -> String {
    account.name.clone().unwrap_or_else(|| account.id.to_string())
}

/// What has policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Root,
    Unit(String),
    Account(AccountId),
}

impl Target {
    pub(crate) fn kind(&self) -> wire::TargetType {
        match self {
            Self::Root => wire::TargetType::Root,
            Self::Unit(_) => wire::TargetType::OrganizationalUnit,
            Self::Account(_) => wire::TargetType::Account,
        }
    }

    /// The word of its ARN.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Unit(_) => "ou",
            Self::Account(_) => "account",
        }
    }
}

/// Small letters and digits, as ids here have.
pub(crate) const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
