//! The embedded engine: the contract on a directory, and directories it must refuse.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redb::{Database, TableDefinition};
use tempfile::TempDir;
use trellis_store::{OpenError, Store};

use crate::contract::{Place, all, put, words};
use crate::contract_tests;

/// A directory of its own, gone afterwards.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Place for Directory {
    async fn open(&self) -> Store {
        Store::open(self.path()).unwrap()
    }
}

contract_tests! { Directory::new();
    transactions:
        writes_of_one_transaction_share_one_revision,
        a_refused_transaction_writes_nothing,
        a_panicking_transaction_writes_nothing_and_the_store_goes_on,
        a_transaction_sees_its_own_writes,
        created_is_kept_over_updates_and_new_after_a_delete,
        a_transaction_that_changes_nothing_takes_no_revision,
        concurrent_increments_lose_nothing,
        keys_and_values_outside_the_limits_are_refused,
        a_transaction_beyond_the_size_limit_is_refused,
        random_transactions_do_what_a_sorted_map_does;
    reading:
        a_reader_goes_on_seeing_the_state_it_began_with,
        a_scan_stays_within_its_prefix,
        pages_follow_each_other_without_gap_or_overlap,
        a_store_opened_again_is_as_it_was;
    watching:
        a_watch_begins_with_the_full_state,
        a_watch_reports_whole_commits_under_its_prefix_only,
        one_watch_of_several_prefixes_is_equally_far_under_all_of_them,
        watchers_that_come_while_others_write_miss_nothing,
        a_watcher_that_falls_behind_starts_over_with_the_full_state,
        a_cancelled_next_loses_nothing,
        a_watch_ends_with_its_store;
}

#[tokio::test]
async fn a_directory_in_use_is_refused_until_it_is_let_go() {
    let directory = Directory::new();
    let store = directory.open().await;
    match Store::open(directory.path()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    put(&store, "a", "1").await;
    drop(store);
    assert_eq!(words(&all(&directory.open().await)), "a=1");
}

#[tokio::test]
async fn directory_and_files_are_for_their_owner_alone() {
    let outer = Directory::new();
    let dir = outer.path().join("made/here");
    let _store = Store::open(&dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("state.redb")), 0o600);
    assert_eq!(mode(&dir.join("lock")), 0o600);
}

/// Makes a state file with something in it, closed cleanly, and gives its bytes.
async fn state_file(directory: &Directory) -> Vec<u8> {
    let store = directory.open().await;
    for index in 0..40 {
        put(&store, &format!("key/{index}"), &"value".repeat(200)).await;
    }
    drop(store);
    fs::read(directory.path().join("state.redb")).unwrap()
}

fn refused_as_damaged(directory: &Directory) -> bool {
    match Store::open(directory.path()) {
        Err(OpenError::Damaged { path, .. }) => path.ends_with("state.redb"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => false,
    }
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let directory = Directory::new();
    let whole = state_file(&directory).await;
    for length in [0, 1, 100, 511, 4096, 8192, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        let part = &whole[..length];
        fs::write(directory.path().join("state.redb"), part).unwrap();
        assert!(refused_as_damaged(&directory), "opened with {length} of {} bytes", whole.len());
        assert_eq!(
            fs::read(directory.path().join("state.redb")).unwrap(),
            part,
            "a damaged file was changed"
        );
    }
}

#[tokio::test]
async fn a_truncated_file_that_was_never_closed_is_refused_and_not_changed_by_one_byte() {
    let source = Directory::new();
    let store = source.open().await;
    for index in 0..40 {
        put(&store, &format!("key/{index}"), &"value".repeat(200)).await;
    }
    // As `kill -9` leaves it.
    let whole = fs::read(source.path().join("state.redb")).unwrap();
    drop(store);
    let directory = Directory::new();
    let path = directory.path().join("state.redb");
    for part in 1..12 {
        let part = &whole[..whole.len() * part / 12 + part];
        fs::write(&path, part).unwrap();
        match Store::open(directory.path()) {
            Err(OpenError::Damaged { .. }) => {}
            other => panic!("{} of {} bytes: {other:?}", part.len(), whole.len()),
        }
        assert!(fs::read(&path).unwrap() == part, "{} of {} bytes were changed", part.len(), whole.len());
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(all(&directory.open().await).len(), 40);
}

#[tokio::test]
async fn a_file_of_garbage_is_refused() {
    let directory = Directory::new();
    let whole = state_file(&directory).await;
    for garbage in [b"not a database\n".to_vec(), vec![0; 65536], vec![0xff; 65536], whole[1..].to_vec()] {
        fs::write(directory.path().join("state.redb"), &garbage).unwrap();
        assert!(refused_as_damaged(&directory));
    }
}

#[tokio::test]
async fn a_changed_byte_in_any_used_page_is_refused_or_harmless() {
    let directory = Directory::new();
    let whole = state_file(&directory).await;
    let before = words(&all(&directory.open().await));
    let mut refused = 0;
    for offset in (9..whole.len()).step_by(whole.len() / 150) {
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x40;
        fs::write(directory.path().join("state.redb"), &bytes).unwrap();
        match Store::open(directory.path()) {
            Err(OpenError::Damaged { .. }) => refused += 1,
            // Free space, or a spare header field.
            Ok(store) => assert_eq!(words(&all(&store)), before, "byte {offset} changed the state unnoticed"),
            Err(other) => panic!("byte {offset}: {other:?}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn another_programs_database_is_refused() {
    let directory = Directory::new();
    let database = Database::create(directory.path().join("state.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("main")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(refused_as_damaged(&directory));
}

#[tokio::test]
async fn a_file_of_a_later_format_is_refused_by_name() {
    let directory = Directory::new();
    state_file(&directory).await;
    let database = Database::open(directory.path().join("state.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", 99).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 99, supported: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("run the release that wrote it"));
}

#[test]
fn a_directory_that_cannot_be_made_says_which() {
    let directory = Directory::new();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("data")).unwrap_err();
    assert!(matches!(&error, OpenError::Io { path, .. } if path.ends_with("file/data")), "{error:?}");
}

#[tokio::test]
async fn a_half_made_state_file_of_a_crashed_first_start_is_replaced() {
    let directory = Directory::new();
    fs::write(directory.path().join("state.redb.partial"), "half").unwrap();
    let store = directory.open().await;
    put(&store, "a", "1").await;
    assert!(!directory.path().join("state.redb.partial").exists());
}
