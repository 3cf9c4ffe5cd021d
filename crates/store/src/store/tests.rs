//! Storage failures, from a backend that fails on demand and forgets what was never synced.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use redb::{Builder, StorageBackend};

use super::*;
use crate::{Event, Read as _};

/// A disk that several openings share.
#[derive(Debug, Default)]
struct Disk {
    durable: Mutex<Vec<u8>>,
    full: AtomicBool,
    syncs: AtomicU64,
}

impl Disk {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// One opening: writes are seen at once, but survive only when synced, as over a power cut.
#[derive(Debug)]
struct Opening {
    disk: Arc<Disk>,
    seen: Mutex<Vec<u8>>,
}

impl StorageBackend for Opening {
    fn len(&self) -> io::Result<u64> {
        Ok(self.seen.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let seen = self.seen.lock().unwrap();
        let range = seen.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(range);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.check()?;
        self.seen.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.check()?;
        self.disk.syncs.fetch_add(1, Ordering::SeqCst);
        self.disk.durable.lock().unwrap().clone_from(&self.seen.lock().unwrap());
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.check()?;
        let start = usize::try_from(offset).unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.get_mut(start..start + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

fn store_on(disk: &Arc<Disk>) -> Store {
    let open = {
        let disk = Arc::clone(disk);
        move || {
            let seen = Mutex::new(disk.durable.lock().unwrap().clone());
            let fresh = seen.lock().unwrap().is_empty();
            let failed = |error: redb::Error| OpenError::Io { path: "disk".into(), source: Box::new(error) };
            let database = Builder::new()
                .create_with_backend(Opening { disk: Arc::clone(&disk), seen })
                .map_err(|error| failed(error.into()))?;
            if fresh {
                file::initialise(&database).map_err(failed)?;
            }
            Ok(database)
        }
    };
    Store::start(Engine::open(open, None).unwrap()).unwrap()
}

async fn put(store: &Store, key: &str) -> Result<(), TransactError<()>> {
    let key = key.to_owned();
    store
        .transact(move |t| {
            t.put(&key, b"x".to_vec());
            Ok(())
        })
        .await
}

fn keys(store: &Store) -> Vec<String> {
    store.read().unwrap().scan("", None, 100).unwrap().into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_loses_none_that_were_acknowledged() {
    let disk = Arc::new(Disk::default());
    let store = store_on(&disk);
    put(&store, "before").await.unwrap();
    let mut watch = store.watch("").unwrap();
    watch.next().await.unwrap();

    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let refused = put(&store, "lost").await;
        assert!(
            matches!(refused, Err(TransactError::Store(StoreError::Storage(_) | StoreError::Unavailable(_)))),
            "{refused:?}"
        );
    }

    disk.full.store(false, Ordering::SeqCst);
    put(&store, "after").await.unwrap();
    assert_eq!(keys(&store), ["after", "before"]);
    // The watcher is told everything again, and nothing that did not happen.
    loop {
        match watch.next().await.unwrap() {
            Event::Resync { entries, revision } => {
                assert!(entries.iter().all(|entry| entry.key != "lost"));
                if revision == 2 {
                    assert_eq!(entries.len(), 2);
                    break;
                }
            }
            Event::Changes { changes, revision } => {
                assert_eq!((changes[0].key.as_str(), revision), ("after", 2));
                break;
            }
        }
    }
}

#[tokio::test]
async fn every_transaction_of_a_failed_batch_is_answered_with_the_failure() {
    let disk = Arc::new(Disk::default());
    let store = store_on(&disk);
    disk.full.store(true, Ordering::SeqCst);
    let attempts: Vec<_> = (0..50)
        .map(|index| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &format!("k{index}")).await })
        })
        .collect();
    for attempt in attempts {
        assert!(attempt.await.unwrap().is_err());
    }
    disk.full.store(false, Ordering::SeqCst);
    assert_eq!(keys(&store), [""; 0]);
}

#[tokio::test]
async fn transactions_that_queue_up_share_a_commit() {
    const TRANSACTIONS: u64 = 100;
    let disk = Arc::new(Disk::default());
    let store = store_on(&disk);
    let before = disk.syncs.load(Ordering::SeqCst);
    // The first, alone in its batch, holds the writer until all others are queued.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begin, begun) = std::sync::mpsc::channel();
    let first = {
        let store = store.clone();
        let wait = Mutex::new(wait);
        tokio::spawn(async move {
            let hold = move |t: &mut Transaction<'_>| {
                t.put("first", Vec::new());
                begin.send(()).map_err(|_| ())?;
                wait.lock().unwrap().recv().map_err(|_| ())
            };
            store.transact(hold).await
        })
    };
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..TRANSACTIONS)
        .map(|index| {
            let store = store.clone();
            tokio::spawn(async move { put(&store, &format!("k{index:03}")).await })
        })
        .collect();
    let queue = store.shared.queue.as_ref().unwrap();
    while queue.max_capacity() - queue.capacity() < usize::try_from(TRANSACTIONS).unwrap() {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(store.read().unwrap().revision(), TRANSACTIONS + 1);
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs < TRANSACTIONS / 4, "{syncs} syncs for {TRANSACTIONS} transactions");
}

#[tokio::test]
async fn a_closure_may_own_the_last_handle() {
    let disk = Arc::new(Disk::default());
    let store = store_on(&disk);
    let inner = store.clone();
    let transaction = store.transact(move |t| {
        let _ = &inner;
        t.put("a", Vec::new());
        Ok::<_, ()>(())
    });
    transaction.await.unwrap();
    drop(store);
}
