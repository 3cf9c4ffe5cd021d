//! Transactions: whole or not at all, one after the other, within limits.

use std::collections::BTreeMap;

use trellis_store::{
    MAX_KEY_BYTES, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Read as _, StoreError, TransactError,
};

use super::{Numbers, Place, all, delete, done, put, words};

pub(crate) async fn writes_of_one_transaction_share_one_revision(place: &impl Place) {
    let store = place.open().await;
    assert_eq!(store.read().unwrap().revision(), 0);
    let revision = done(store.transact(|t| {
        t.put("a", b"1".to_vec());
        t.put("b", b"2".to_vec());
        Ok(t.revision())
    }))
    .await;
    assert!(all(&store).iter().all(|entry| (entry.created, entry.modified) == (revision, revision)));
    assert_eq!(store.read().unwrap().revision(), revision);
    put(&store, "c", "3").await;
    assert_eq!(store.read().unwrap().revision(), revision + 1);
}

pub(crate) async fn a_refused_transaction_writes_nothing(place: &impl Place) {
    let store = place.open().await;
    let refused = store.transact(|t| {
        t.put("a", b"1".to_vec());
        Err::<(), _>("no")
    });
    assert!(matches!(refused.await, Err(TransactError::Caller("no"))));
    assert_eq!(words(&all(&store)), "");
    assert_eq!(store.read().unwrap().revision(), 0);
}

pub(crate) async fn a_panicking_transaction_writes_nothing_and_the_store_goes_on(place: &impl Place) {
    let store = place.open().await;
    let panicked = store.transact::<(), (), _>(|t| {
        t.put("a", b"1".to_vec());
        // Not `panic!`, whose message would clutter the test's output.
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(matches!(panicked.await, Err(TransactError::Store(StoreError::Panicked))));
    put(&store, "b", "2").await;
    assert_eq!(words(&all(&store)), "b=2");
}

pub(crate) async fn a_transaction_sees_its_own_writes(place: &impl Place) {
    let store = place.open().await;
    for key in ["a", "b", "d"] {
        put(&store, key, "old").await;
    }
    let seen = done(store.transact(|t| {
        t.put("b", b"new".to_vec());
        t.put("c", b"new".to_vec());
        t.delete("d");
        let b = t.get("b")?.unwrap();
        assert!(b.created < b.modified);
        assert_eq!(b.modified, t.revision());
        assert_eq!(t.get("c")?.unwrap().created, t.revision());
        assert_eq!(t.get("d")?, None);
        t.scan("", None, 10)
    }))
    .await;
    assert_eq!(words(&seen), "a=old b=new c=new");
    assert_eq!(seen, all(&store));
}

pub(crate) async fn created_is_kept_over_updates_and_new_after_a_delete(place: &impl Place) {
    let store = place.open().await;
    put(&store, "a", "1").await;
    put(&store, "a", "2").await;
    let updated = store.read().unwrap().get("a").unwrap().unwrap();
    assert_eq!((updated.created, updated.modified), (1, 2));
    delete(&store, "a").await;
    put(&store, "a", "3").await;
    let made_again = store.read().unwrap().get("a").unwrap().unwrap();
    assert_eq!((made_again.created, made_again.modified), (4, 4));
}

pub(crate) async fn a_transaction_that_changes_nothing_takes_no_revision(place: &impl Place) {
    let store = place.open().await;
    put(&store, "a", "1").await;
    delete(&store, "not there").await;
    done(store.transact(|t| t.get("a"))).await;
    done(store.transact(|t| {
        t.put("passing", b"by".to_vec());
        t.delete("passing");
        Ok(())
    }))
    .await;
    assert_eq!(store.read().unwrap().revision(), 1);
}

pub(crate) async fn concurrent_increments_lose_nothing(place: &impl Place) {
    const TASKS: u64 = 16;
    const EACH: u64 = 25;
    let store = place.open().await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    done(store.transact(|t| {
                        let count: u64 = t
                            .get("count")?
                            .map_or(0, |entry| String::from_utf8(entry.value).unwrap().parse().unwrap());
                        t.put("count", (count + 1).to_string().into_bytes());
                        Ok(())
                    }))
                    .await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(words(&all(&store)), format!("count={}", TASKS * EACH));
    assert_eq!(store.read().unwrap().revision(), TASKS * EACH);
}

pub(crate) async fn keys_and_values_outside_the_limits_are_refused(place: &impl Place) {
    let store = place.open().await;
    let attempt = async |key: String, bytes: usize| {
        let put = store.transact::<_, (), _>(move |t| {
            t.put("innocent", Vec::new());
            t.put(&key, vec![7; bytes]);
            Ok(())
        });
        put.await
    };
    let longest = "k".repeat(MAX_KEY_BYTES);
    let refusal = attempt(String::new(), 1).await;
    assert!(matches!(refusal, Err(TransactError::Store(StoreError::EmptyKey))));
    let refusal = attempt(format!("{longest}k"), 1).await;
    assert!(
        matches!(refusal, Err(TransactError::Store(StoreError::KeyTooLong { bytes })) if bytes == MAX_KEY_BYTES + 1)
    );
    let refusal = attempt("k".into(), MAX_VALUE_BYTES + 1).await;
    assert!(
        matches!(refusal, Err(TransactError::Store(StoreError::ValueTooLarge { bytes, .. })) if bytes == MAX_VALUE_BYTES + 1)
    );
    assert_eq!(words(&all(&store)), "", "a refused transaction wrote its other keys");

    attempt(longest.clone(), MAX_VALUE_BYTES).await.unwrap();
    attempt("empty".into(), 0).await.unwrap();
    let mut reader = store.read().unwrap();
    assert_eq!(reader.get(&longest).unwrap().unwrap().value.len(), MAX_VALUE_BYTES);
    assert_eq!(reader.get("empty").unwrap().unwrap().value.len(), 0);
}

pub(crate) async fn a_transaction_beyond_the_size_limit_is_refused(place: &impl Place) {
    let store = place.open().await;
    let refusal = store.transact::<_, (), _>(|t| {
        for index in 0..=(MAX_TRANSACTION_BYTES / MAX_VALUE_BYTES) {
            t.put(&format!("k{index}"), vec![7; MAX_VALUE_BYTES]);
        }
        Ok(())
    });
    assert!(matches!(refusal.await, Err(TransactError::Store(StoreError::TransactionTooLarge))));
    assert_eq!(store.read().unwrap().revision(), 0);
}

pub(crate) async fn random_transactions_do_what_a_sorted_map_does(place: &impl Place) {
    let store = place.open().await;
    let mut numbers = Numbers(1);
    let mut expected = BTreeMap::new();
    for round in 0..60 {
        let writes: Vec<(String, Option<String>)> = (0..numbers.below(8))
            .map(|_| {
                let key = format!("{}/{}", ["a", "ab", "b"][numbers.below(3) as usize], numbers.below(12));
                (key, (numbers.below(3) > 0).then(|| round.to_string()))
            })
            .collect();
        let refuse = numbers.below(5) == 0;
        let (prefix, after) =
            (["", "a", "a/", "ab/", "b/1", "zz"][numbers.below(6) as usize], numbers.below(12));
        let after = (after > 3).then(|| format!("a/{after}"));
        let limit = numbers.below(9) as usize;

        let mut after_writes = expected.clone();
        for (key, value) in &writes {
            match value {
                Some(value) => after_writes.insert(key.clone(), value.clone()),
                None => after_writes.remove(key),
            };
        }
        let shown: Vec<_> = after_writes
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.as_ref().is_none_or(|after| *key > after))
            .take(limit)
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let outcome = store.transact(move |t| {
            for (key, value) in &writes {
                match value {
                    Some(value) => t.put(key, value.clone().into_bytes()),
                    None => t.delete(key),
                }
            }
            let seen = words(&t.scan(prefix, after.as_deref(), limit).unwrap());
            if refuse { Err(seen) } else { Ok(seen) }
        });
        match outcome.await {
            Ok(seen) => {
                assert_eq!(seen, shown.join(" "));
                expected = after_writes;
            }
            Err(TransactError::Caller(seen)) => assert_eq!(seen, shown.join(" ")),
            Err(TransactError::Store(error)) => panic!("{error}"),
        }
        let model: Vec<_> = expected.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(words(&all(&store)), model.join(" "));
    }
}
