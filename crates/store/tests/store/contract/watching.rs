//! Watching: the state, then everything that happens to it, or the state again.

use std::collections::BTreeMap;
use std::time::Duration;

use trellis_store::{Event, Revision, Store, StoreError, Watch};

use super::{Numbers, Place, all, delete, done, put};

/// What a watcher knows, from its events alone.
#[derive(Default)]
struct Follower {
    known: BTreeMap<String, Vec<u8>>,
    revision: Revision,
    resyncs: usize,
}

impl Follower {
    async fn follow(&mut self, watch: &mut Watch, until: Revision) {
        while self.revision < until {
            self.take(watch.next().await.unwrap());
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Resync { revision, entries } => {
                assert!(revision >= self.revision, "{revision} after {}", self.revision);
                self.known = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
                self.revision = revision;
                self.resyncs += 1;
            }
            Event::Changes { revision, changes } => {
                assert!(revision > self.revision, "{revision} after {}", self.revision);
                assert!(!changes.is_empty());
                for change in changes {
                    assert_eq!(change.revision, revision);
                    match change.value {
                        Some(value) => self.known.insert(change.key, value.to_vec()),
                        None => self.known.remove(&change.key),
                    };
                }
                self.revision = revision;
            }
        }
    }

    fn assert_knows(&self, store: &Store, prefix: &str) {
        let state = all(store).into_iter().filter(|entry| entry.key.starts_with(prefix));
        assert_eq!(self.known, state.map(|entry| (entry.key, entry.value)).collect());
    }
}

pub(crate) async fn a_watch_begins_with_the_full_state(place: &impl Place) {
    let store = place.open().await;
    let mut empty = store.watch("a/").unwrap();
    assert_eq!(empty.next().await.unwrap(), Event::Resync { revision: 0, entries: Vec::new() });
    put(&store, "a/1", "x").await;
    put(&store, "b/1", "x").await;
    let Event::Resync { revision: 2, entries } = store.watch("a/").unwrap().next().await.unwrap() else {
        panic!("not the full state at revision 2");
    };
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].key.as_str(), entries[0].modified), ("a/1", 1));
}

pub(crate) async fn a_watch_reports_whole_commits_under_its_prefix_only(place: &impl Place) {
    let store = place.open().await;
    let mut watch = store.watch("a/").unwrap();
    watch.next().await.unwrap();
    put(&store, "b/1", "x").await;
    done(store.transact(|t| {
        t.put("a/2", b"2".to_vec());
        t.put("a/1", b"1".to_vec());
        t.put("b/2", b"2".to_vec());
        Ok(())
    }))
    .await;
    delete(&store, "a/1").await;
    let Event::Changes { revision: 2, changes } = watch.next().await.unwrap() else {
        panic!("not revision 2")
    };
    let told: Vec<_> = changes.iter().map(|change| (change.key.as_str(), change.value.as_deref())).collect();
    assert_eq!(told, [("a/1", Some(&b"1"[..])), ("a/2", Some(b"2"))]);
    let Event::Changes { revision: 3, changes } = watch.next().await.unwrap() else {
        panic!("not revision 3")
    };
    assert_eq!((changes[0].key.as_str(), &changes[0].value), ("a/1", &None));
}

pub(crate) async fn one_watch_of_several_prefixes_is_equally_far_under_all_of_them(place: &impl Place) {
    let store = place.open().await;
    put(&store, "a/1", "1").await;
    put(&store, "b/1", "1").await;
    put(&store, "c/1", "1").await;
    let mut watch = store.watch_each(&["a/", "c/"]).unwrap();
    let Event::Resync { revision: 3, entries } = watch.next().await.unwrap() else {
        panic!("not the full state at revision 3");
    };
    assert_eq!(entries.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["a/1", "c/1"]);
    put(&store, "c/1", "2").await;
    put(&store, "b/1", "2").await;
    done(store.transact(|t| {
        t.put("a/1", b"3".to_vec());
        t.put("b/1", b"3".to_vec());
        t.put("c/2", b"3".to_vec());
        Ok(())
    }))
    .await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let Event::Changes { revision, changes } = watch.next().await.unwrap() else { panic!("not changes") };
        told.push((revision, changes.into_iter().map(|change| change.key).collect::<Vec<_>>()));
    }
    assert_eq!(told, [(4, vec!["c/1".to_owned()]), (6, vec!["a/1".to_owned(), "c/2".to_owned()])]);
}

pub(crate) async fn watchers_that_come_while_others_write_miss_nothing(place: &impl Place) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 60;
    let store = place.open().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut numbers = Numbers(writer);
                for round in 0..EACH {
                    // Writes of its own only, so each of them is a change and takes a revision.
                    put(&store, &format!("k/{writer}/{}", numbers.below(5)), &round.to_string()).await;
                }
            })
        })
        .collect();
    let followers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut watch = store.watch("k/").unwrap();
                let mut follower = Follower::default();
                follower.follow(&mut watch, WRITERS * EACH).await;
                follower
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for follower in followers {
        follower.await.unwrap().assert_knows(&store, "k/");
    }
}

pub(crate) async fn a_watcher_that_falls_behind_starts_over_with_the_full_state(place: &impl Place) {
    let store = place.open().await;
    let mut watch = store.watch("").unwrap();
    let mut follower = Follower::default();
    follower.take(watch.next().await.unwrap());
    for _ in 0..10 {
        done(store.transact(|t| {
            let revision = t.revision().to_string();
            for index in 0..1000 {
                t.put(&format!("{index}"), revision.clone().into_bytes());
            }
            Ok(())
        }))
        .await;
    }
    follower.follow(&mut watch, 10).await;
    assert_eq!(follower.resyncs, 2);
    put(&store, "later", "x").await;
    follower.follow(&mut watch, 11).await;
    assert_eq!(follower.resyncs, 2, "a change after the full state is told as a change");
    follower.assert_knows(&store, "");
}

pub(crate) async fn a_cancelled_next_loses_nothing(place: &impl Place) {
    let store = place.open().await;
    let mut watch = store.watch("").unwrap();
    let mut follower = Follower::default();
    for index in 0..50 {
        // Polled once and dropped, whatever it was about to do.
        if let Ok(event) = tokio::time::timeout(Duration::ZERO, watch.next()).await {
            follower.take(event.unwrap());
        }
        put(&store, &format!("k{}", index % 7), &index.to_string()).await;
    }
    follower.follow(&mut watch, 50).await;
    follower.assert_knows(&store, "");
}

pub(crate) async fn a_watch_ends_with_its_store(place: &impl Place) {
    let store = place.open().await;
    let mut watch = store.watch("").unwrap();
    watch.next().await.unwrap();
    let waiting = tokio::spawn(async move { watch.next().await });
    drop(store);
    assert!(matches!(waiting.await.unwrap(), Err(StoreError::Closed)));
}
