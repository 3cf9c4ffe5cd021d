//! Reading: consistent, bounded by the prefix, page by page, and the same after a restart.

use trellis_store::{Read as _, TransactError};

use super::{Place, all, done, put, words};

pub(crate) async fn a_reader_goes_on_seeing_the_state_it_began_with(place: &impl Place) {
    let store = place.open().await;
    put(&store, "a", "1").await;
    let mut reader = store.read().unwrap();
    put(&store, "a", "2").await;
    put(&store, "b", "2").await;
    assert_eq!(words(&reader.scan("", None, 10).unwrap()), "a=1");
    assert_eq!(reader.get("b").unwrap(), None);
    assert_eq!(reader.revision(), 1);
    assert_eq!(words(&all(&store)), "a=2 b=2");
}

pub(crate) async fn a_scan_stays_within_its_prefix(place: &impl Place) {
    let store = place.open().await;
    done(store.transact(|t| {
        for key in ["a", "a/", "a/1", "a/1/x", "a/2", "a0", "b", "é/1", "\u{10ffff}"] {
            t.put(key, Vec::new());
        }
        Ok(())
    }))
    .await;
    let mut reader = store.read().unwrap();
    let mut keys = |prefix: &str, after, limit| {
        let entries = reader.scan(prefix, after, limit).unwrap();
        entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("a/", None, 10), ["a/", "a/1", "a/1/x", "a/2"]);
    assert_eq!(keys("a/1", None, 10), ["a/1", "a/1/x"]);
    assert_eq!(keys("a/", Some("a/1"), 10), ["a/1/x", "a/2"]);
    assert_eq!(keys("a/", Some("a/1+"), 1), ["a/1/x"]);
    assert_eq!(keys("a/", Some("A"), 1), ["a/"], "an `after` before the prefix leaves nothing out");
    assert_eq!(keys("a/", Some("a0"), 10), [""; 0]);
    assert_eq!(keys("é", None, 10), ["é/1"]);
    assert_eq!(keys("\u{10ffff}", None, 10), ["\u{10ffff}"]);
    assert_eq!(keys("a/", None, 0), [""; 0]);
    assert_eq!(keys("c", None, 10), [""; 0]);
    assert_eq!(keys("", None, usize::MAX).len(), 9);
}

pub(crate) async fn pages_follow_each_other_without_gap_or_overlap(place: &impl Place) {
    let store = place.open().await;
    done(store.transact(|t| {
        for index in 0..25 {
            t.put(&format!("p/{index:02}"), Vec::new());
            t.put(&format!("q/{index:02}"), Vec::new());
        }
        Ok(())
    }))
    .await;
    let mut reader = store.read().unwrap();
    let (mut seen, mut last, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = reader.scan("p/", last.as_deref(), 7).unwrap();
        if page.is_empty() {
            break;
        }
        pages += 1;
        seen.extend(page.into_iter().map(|entry| entry.key));
        last = seen.last().cloned();
    }
    assert_eq!(seen, (0..25).map(|index| format!("p/{index:02}")).collect::<Vec<_>>());
    assert_eq!(pages, 4);
}

pub(crate) async fn a_store_opened_again_is_as_it_was(place: &impl Place) {
    let store = place.open().await;
    put(&store, "a", "1").await;
    put(&store, "b", "2").await;
    put(&store, "a", "3").await;
    let before = all(&store);
    let refused = store.transact(|t| {
        t.put("c", Vec::new());
        Err::<(), _>(())
    });
    assert!(matches!(refused.await, Err(TransactError::Caller(()))));
    drop(store);

    let store = place.open().await;
    assert_eq!(all(&store), before);
    assert_eq!(store.read().unwrap().revision(), 3);
    put(&store, "c", "4").await;
    assert_eq!(store.read().unwrap().get("c").unwrap().unwrap().created, 4);
}
