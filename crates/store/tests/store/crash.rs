//! Durability: a process is killed with SIGKILL while it writes; whatever it acknowledged is there.
//!
//! The test runs its own binary again as the process to be killed; an environment variable tells
//! the two apart.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use trellis_store::{Read as _, Store};

use crate::contract::{done, put};
use crate::embedded::Directory;

const CHILD: &str = "TRELLIS_STORE_CRASH_TEST_DIRECTORY";
const WRITERS: usize = 8;

#[test]
fn acknowledged_writes_survive_kill_9() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return write_until_killed(&Store::open(dir.as_ref()).unwrap());
    }
    let directory = Directory::new();
    let mut acknowledged = BTreeSet::new();
    // Killed during the very first commit, early, and after growth; each on what the last left.
    for (round, kill_after) in [0, 1, 3, 40, 150, 400].into_iter().enumerate() {
        acknowledged.extend(run_and_kill(&directory, kill_after));
        let store = Store::open(directory.path()).unwrap();
        let mut reader = store.read().unwrap();
        let entries = reader.scan("", None, usize::MAX).unwrap();
        let present: BTreeSet<_> = entries.iter().map(|entry| entry.key.clone()).collect();
        let lost: Vec<_> = acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "round {round}: acknowledged and gone: {lost:?}");
        for pair in entries.chunk_by(|a, b| a.modified == b.modified) {
            assert_eq!(pair.len(), 2, "half a transaction: {}", pair[0].key);
        }
        assert_eq!(reader.revision(), entries.iter().map(|entry| entry.modified).max().unwrap_or(0));
    }
    assert!(acknowledged.len() > 500);
}

/// Lets the child acknowledge `kill_after` keys, kills it, and gives all it acknowledged.
fn run_and_kill(directory: &Directory, kill_after: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::acknowledged_writes_survive_kill_9", "--nocapture"])
        .env(CHILD, directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut killed = false;
    let mut line = String::new();
    loop {
        if !killed && acknowledged.len() >= kill_after {
            child.kill().unwrap();
            killed = true;
        }
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            break;
        }
        // A line cut short by the kill has no end and no claim.
        if let Some(key) = line.strip_prefix("acknowledged ").and_then(|rest| rest.strip_suffix('\n')) {
            acknowledged.push(key.to_owned());
        }
    }
    child.wait().unwrap();
    assert!(killed, "the writing process ended by itself");
    acknowledged
}

/// Each transaction writes a pair of keys, next to each other, so that a torn one shows.
fn write_until_killed(store: &Store) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let first = store.read().unwrap().revision();
    runtime.block_on(async {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for index in 0..100_000 {
                        let key = format!("{first:08}/{writer}/{index:06}");
                        done(store.transact({
                            let key = key.clone();
                            move |t| {
                                t.put(&format!("{key}/a"), vec![b'x'; 300]);
                                t.put(&format!("{key}/b"), vec![b'y'; 300]);
                                Ok(())
                            }
                        }))
                        .await;
                        let mut out = std::io::stdout().lock();
                        out.write_all(format!("acknowledged {key}/a\nacknowledged {key}/b\n").as_bytes())
                            .unwrap();
                        out.flush().unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_lock_of_a_killed_process_does_not_remain() {
    let directory = Directory::new();
    run_and_kill(&directory, 1);
    let store = Store::open(directory.path()).unwrap();
    put(&store, "a", "1").await;
}
