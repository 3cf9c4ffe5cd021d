//! The organisation of the accounts, as whoever decides who may do what reads it.

use serde::de::DeserializeOwned;
use serde_json::{from_slice, to_vec};
use trellis_model::AccountId;
use trellis_model::resource::organization::{
    DEEPEST, FULL_ACCESS, Member, Organization, PREFIX, Record, Tree, Unit,
};
use trellis_store::{Read, Transaction};

use crate::record::{get, scan_all};
use crate::refusal::Refusal;

/// The record at `key`; `None` for a key that is none of the organisation's.
///
/// # Errors
/// It does not read.
pub fn decode(key: &str, value: &[u8]) -> Result<Option<Record>, serde_json::Error> {
    let Some(rest) = key.strip_prefix(PREFIX) else { return Ok(None) };
    Ok(match rest.split('/').next().unwrap_or_default() {
        "self" => Some(Record::Organization(from_slice(value)?)),
        "unit" => Some(Record::Unit(from_slice(value)?)),
        "account" => Some(Record::Member(from_slice(value)?)),
        "policy" => Some(Record::Policy(from_slice(value)?)),
        _ => None,
    })
}

/// The organisation and everything in it; one without anything where there is none.
///
/// # Errors
/// A store that fails; a record that does not read.
pub fn read(state: &mut impl Read) -> Result<Tree, Refusal> {
    let mut tree = Tree::default();
    for entry in scan_all(state, PREFIX)? {
        let record = decode(&entry.key, &entry.value);
        let record = record.map_err(|error| Refusal::Corrupt { key: entry.key.clone(), error })?;
        if let Some(record) = record {
            tree.add(record);
        }
    }
    Ok(tree)
}

/// The organisation without what is in it; `None` where there is none.
///
/// # Errors
/// A store that fails; a record that does not read.
pub fn find(state: &mut impl Read) -> Result<Option<Organization>, Refusal> {
    at(state, "self")
}

fn at<T: DeserializeOwned>(state: &mut impl Read, place: &str) -> Result<Option<T>, Refusal> {
    get(state, &format!("{PREFIX}{place}"))
}

/// The organisation as far as it matters to one account: itself, the units above it, and the policies of all of those
/// where they bound it. Asked with every call, so it looks at nothing else.
///
/// # Errors
/// A store that fails; a record that does not read.
pub fn read_above(state: &mut impl Read, account: &AccountId) -> Result<Tree, Refusal> {
    let mut tree = Tree::default();
    let Some(organization) = find(state)? else { return Ok(tree) };
    let is_bound = organization.is_bounding && organization.management != *account;
    let mut policies = organization.policies.clone();
    let root = organization.root.clone();
    let mut parent = root.clone();
    tree.organization = Some(organization);
    if let Some(member) = at::<Member>(state, &format!("account/{account}"))? {
        policies.extend(member.policies.iter().cloned());
        parent = member.parent.clone();
        tree.add(Record::Member(member));
    }
    while parent != root
        && tree.units.len() < DEEPEST
        && !tree.units.contains_key(&parent)
        && let Some(unit) = at::<Unit>(state, &format!("unit/{parent}"))?
    {
        policies.extend(unit.policies.iter().cloned());
        parent = unit.parent.clone();
        tree.add(Record::Unit(unit));
    }
    for id in policies.iter().filter(|id| is_bound && *id != FULL_ACCESS) {
        if let Some(policy) = at(state, &format!("policy/{id}"))? {
            tree.add(Record::Policy(policy));
        }
    }
    Ok(tree)
}

/// Writes a record, new or in place of the one there is.
///
/// # Errors
/// It cannot be written.
pub fn put(tx: &mut Transaction<'_>, record: &Record) -> Result<(), Refusal> {
    let key = record.key();
    let value = match record {
        Record::Organization(record) => to_vec(record),
        Record::Unit(record) => to_vec(record),
        Record::Member(record) => to_vec(record),
        Record::Policy(record) => to_vec(record),
    };
    let value = value.map_err(|error| Refusal::Corrupt { key: key.clone(), error })?;
    tx.put(&key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use trellis_model::resource::organization::{ControlPolicy, first_policies};
    use trellis_store::{Entry, Reader, Store, StoreError};

    use super::*;

    /// A state that says how many records were asked for, and is asked for no list.
    struct Single<'a>(&'a mut Reader, usize);

    impl Read for Single<'_> {
        fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
            self.1 += 1;
            self.0.get(key)
        }

        fn scan(&mut self, prefix: &str, _: Option<&str>, _: usize) -> Result<Vec<Entry>, StoreError> {
            panic!("{prefix} is scanned");
        }
    }

    fn account(text: &str) -> AccountId {
        text.parse().unwrap()
    }

    /// Ten units below the root, one of them in another, with a policy each.
    fn records(is_bounding: bool) -> Vec<Record> {
        let policies = |id: String| -> BTreeSet<String> { [id, FULL_ACCESS.to_owned()].into() };
        let mut records = vec![
            Record::Organization(Organization {
                id: "o-1".into(),
                root: "r-1".into(),
                management: account("111122223333"),
                created_at: jiff::Timestamp::UNIX_EPOCH.into(),
                is_bounding,
                policies: first_policies(),
                trusted: Default::default(),
            }),
            Record::Member(Member {
                account: account("222233334444"),
                parent: "ou-3".into(),
                policies: policies("p-1".into()),
            }),
        ];
        for number in 0..10 {
            let (id, name) = (format!("ou-{number}"), format!("unit {number}"));
            let parent = if number == 3 { "ou-2" } else { "r-1" }.to_owned();
            let policies = policies(format!("p-{number}"));
            records.push(Record::Unit(Unit { id, name, parent, policies }));
            records.push(Record::Policy(ControlPolicy {
                id: format!("p-{number}"),
                name: format!("policy {number}"),
                description: String::new(),
                content: format!("content {number}"),
            }));
        }
        records
    }

    async fn store(records: Vec<Record>) -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let written = store.transact(move |tx| records.iter().try_for_each(|record| put(tx, record)));
        written.await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn what_is_above_an_account_says_the_same_as_the_whole_and_is_read_alone() {
        for (is_bounding, reads) in [(true, [7, 2, 2]), (false, [4, 2, 2])] {
            let (_dir, store) = store(records(is_bounding)).await;
            let mut state = store.read().unwrap();
            let whole = read(&mut state).unwrap();
            for (id, reads) in ["222233334444", "333344445555", "111122223333"].into_iter().zip(reads) {
                let account = account(id);
                let mut single = Single(&mut state, 0);
                let above = read_above(&mut single, &account).unwrap();
                assert_eq!(single.1, reads, "{id} {is_bounding}");
                assert_eq!(above.membership(&account), whole.membership(&account), "{id}");
                assert_eq!(above.bounds(&account), whole.bounds(&account), "{id}");
            }
        }
    }

    #[tokio::test]
    async fn where_there_is_no_organization_there_is_nothing_above() {
        let (_dir, store) = store(Vec::new()).await;
        let above = read_above(&mut store.read().unwrap(), &account("222233334444")).unwrap();
        assert_eq!(above, Tree::default());
    }

    #[tokio::test]
    async fn units_in_a_circle_end() {
        let mut records = records(true);
        let looped = |record: &mut Record| match record {
            Record::Unit(unit) if unit.id == "ou-2" => unit.parent = "ou-3".into(),
            _ => {}
        };
        records.iter_mut().for_each(looped);
        let (_dir, store) = store(records).await;
        let above = read_above(&mut store.read().unwrap(), &account("222233334444")).unwrap();
        assert_eq!(above.units.len(), 2);
    }
}
