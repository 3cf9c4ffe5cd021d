//! The organisation that the accounts of an installation form: its units, who is in which, and the service control
//! policies that bound what its accounts may do.
//!
//! One record says that it is there (`organization/self`); units, policies and accounts that were moved or have policies
//! of their own are beside it. An account without a record is at the root and has what every new one has.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trellis_policy::Organization as Membership;

use crate::AccountId;
use crate::moment::Moment;

/// What the keys of all records begin with.
pub const PREFIX: &str = "organization/";

/// AWS's own policy, which every node has at first: it allows everything.
pub const FULL_ACCESS: &str = "p-FullAWSAccess";
pub const FULL_ACCESS_CONTENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// Levels of units below the root.
pub const DEEPEST: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// `o-...`
    pub id: String,
    /// `r-...`
    pub root: String,
    /// The account of the admin key. No policy bounds it.
    pub management: AccountId,
    pub created_at: Moment,
    /// Whether service control policies are on.
    #[serde(default)]
    pub is_bounding: bool,
    /// Ids of policies that the root has.
    pub policies: BTreeSet<String>,
    /// Services that may act in the organisation, by principal, and since when.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trusted: BTreeMap<String, Moment>,
}

/// An organisational unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `ou-...`
    pub id: String,
    pub name: String,
    /// The root or another unit.
    pub parent: String,
    pub policies: BTreeSet<String>,
}

/// Where an account is, and the policies it has by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub account: AccountId,
    pub parent: String,
    pub policies: BTreeSet<String>,
}

/// A service control policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPolicy {
    /// `p-...`
    pub id: String,
    pub name: String,
    pub description: String,
    pub content: String,
}

/// What a new node has.
pub fn first_policies() -> BTreeSet<String> {
    [FULL_ACCESS.to_owned()].into()
}

/// One record, by its key.
#[derive(Debug, Clone)]
pub enum Record {
    Organization(Organization),
    Unit(Unit),
    Member(Member),
    Policy(ControlPolicy),
}

impl Record {
    pub fn key(&self) -> String {
        match self {
            Self::Organization(_) => format!("{PREFIX}self"),
            Self::Unit(unit) => format!("{PREFIX}unit/{}", unit.id),
            Self::Member(member) => format!("{PREFIX}account/{}", member.account),
            Self::Policy(policy) => format!("{PREFIX}policy/{}", policy.id),
        }
    }
}

/// The organisation with all that is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    pub organization: Option<Organization>,
    pub units: BTreeMap<String, Unit>,
    pub members: BTreeMap<AccountId, Member>,
    pub policies: BTreeMap<String, ControlPolicy>,
}

impl Tree {
    pub fn add(&mut self, record: Record) {
        match record {
            Record::Organization(record) => self.organization = Some(record),
            Record::Unit(record) => drop(self.units.insert(record.id.clone(), record)),
            Record::Member(record) => drop(self.members.insert(record.account.clone(), record)),
            Record::Policy(record) => drop(self.policies.insert(record.id.clone(), record)),
        }
    }

    /// Takes out the record of a key.
    pub fn remove(&mut self, key: &str) {
        let Some((kind, id)) =
            key.strip_prefix(PREFIX).map(|rest| rest.split_once('/').unwrap_or((rest, "")))
        else {
            return;
        };
        match kind {
            "self" => self.organization = None,
            "unit" => drop(self.units.remove(id)),
            "account" => self.members.retain(|account, _| account.as_str() != id),
            "policy" => drop(self.policies.remove(id)),
            _ => {}
        }
    }

    /// What an account is, whether there is a record of it or not; `None` where there is no organisation.
    pub fn member(&self, account: &AccountId) -> Option<Member> {
        let organization = self.organization.as_ref()?;
        let known = self.members.get(account).cloned();
        Some(known.unwrap_or_else(|| Member {
            account: account.clone(),
            parent: organization.root.clone(),
            policies: first_policies(),
        }))
    }

    /// The units above `parent` and itself, from the root down, the root left out. Of a tree that is none, as far as
    /// it goes.
    pub fn units_to<'a>(&'a self, parent: &'a str) -> Vec<&'a Unit> {
        let mut path = Vec::new();
        let mut next = self.units.get(parent);
        while let Some(unit) = next.filter(|_| path.len() < DEEPEST) {
            path.push(unit);
            next = self.units.get(&unit.parent);
        }
        path.reverse();
        path
    }

    /// `o-.../r-.../ou-.../`, ending with `parent`.
    pub fn path(&self, parent: &str) -> Option<String> {
        let organization = self.organization.as_ref()?;
        let mut path = format!("{}/{}/", organization.id, organization.root);
        for unit in self.units_to(parent) {
            path.push_str(&unit.id);
            path.push('/');
        }
        Some(path)
    }

    /// What conditions see of the organisation of an account.
    pub fn membership(&self, account: &AccountId) -> Option<Membership> {
        let id = self.organization.as_ref()?.id.clone();
        let path = self.path(&self.member(account)?.parent)?;
        Some(Membership { id, paths: vec![path] })
    }

    /// For each level above the account, and for itself, the contents of its service control policies: each level must
    /// allow. None at all where nothing bounds it.
    pub fn bounds(&self, account: &AccountId) -> Vec<Vec<&str>> {
        let Some(organization) = &self.organization else { return Vec::new() };
        if !organization.is_bounding || organization.management == *account {
            return Vec::new();
        }
        let member = self.members.get(account);
        let contents =
            |policies: &BTreeSet<String>| policies.iter().filter_map(|id| self.content(id)).collect();
        let parent = member.map_or(organization.root.as_str(), |member| &member.parent);
        let mut levels: Vec<Vec<&str>> = vec![contents(&organization.policies)];
        levels.extend(self.units_to(parent).into_iter().map(|unit| contents(&unit.policies)));
        levels.push(member.map_or_else(|| vec![FULL_ACCESS_CONTENT], |member| contents(&member.policies)));
        levels
    }

    /// What a policy says.
    pub fn content(&self, id: &str) -> Option<&str> {
        match id {
            FULL_ACCESS => Some(FULL_ACCESS_CONTENT),
            id => self.policies.get(id).map(|policy| policy.content.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let moment = Moment::from(jiff::Timestamp::UNIX_EPOCH);
        let unit = |id: &str, parent: &str, policies: &[&str]| {
            let policies = policies.iter().map(|id| (*id).to_owned()).collect();
            Record::Unit(Unit { id: id.into(), name: id.into(), parent: parent.into(), policies })
        };
        for record in [
            Record::Organization(Organization {
                id: "o-1".into(),
                root: "r-1".into(),
                management: account("111122223333"),
                created_at: moment,
                is_bounding: true,
                policies: first_policies(),
                trusted: BTreeMap::new(),
            }),
            unit("ou-a", "r-1", &[FULL_ACCESS, "p-1"]),
            unit("ou-b", "ou-a", &["p-1"]),
            Record::Member(Member {
                account: account("222233334444"),
                parent: "ou-b".into(),
                policies: first_policies(),
            }),
            Record::Policy(ControlPolicy {
                id: "p-1".into(),
                name: "one".into(),
                description: String::new(),
                content: "{}".into(),
            }),
        ] {
            tree.add(record);
        }
        tree
    }

    #[test]
    fn an_account_is_where_it_was_moved_and_else_at_the_root() {
        let tree = tree();
        let path = |id: &str| tree.membership(&account(id)).unwrap().paths.remove(0);
        assert_eq!(path("222233334444"), "o-1/r-1/ou-a/ou-b/");
        assert_eq!(path("333344445555"), "o-1/r-1/");
        assert_eq!(Tree::default().membership(&account("333344445555")), None);
    }

    #[test]
    fn every_level_bounds_an_account_and_none_the_management_account() {
        let mut tree = tree();
        let full = FULL_ACCESS_CONTENT;
        let bounds = |tree: &Tree, id: &str| -> Vec<Vec<String>> {
            let bounds = tree.bounds(&account(id));
            bounds.into_iter().map(|level| level.into_iter().map(str::to_owned).collect()).collect()
        };
        // The policies of a level in the order of their ids: p-1, p-FullAWSAccess.
        assert_eq!(bounds(&tree, "222233334444"), [vec![full], vec!["{}", full], vec!["{}"], vec![full]]);
        assert_eq!(bounds(&tree, "333344445555"), [[full], [full]]);
        assert!(bounds(&tree, "111122223333").is_empty());
        tree.remove("organization/unit/ou-b");
        assert_eq!(bounds(&tree, "222233334444").len(), 2, "a unit that is gone is no level");
        tree.organization.as_mut().unwrap().is_bounding = false;
        assert!(bounds(&tree, "222233334444").is_empty());
    }

    #[test]
    fn a_tree_that_is_none_ends() {
        let mut tree = tree();
        tree.units.get_mut("ou-a").unwrap().parent = "ou-b".into();
        assert_eq!(tree.units_to("ou-b").len(), DEEPEST);
    }
}
