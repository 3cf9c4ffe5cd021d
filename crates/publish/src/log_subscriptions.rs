//! Keeps what the delivery of access logs acts on equal to the store: every subscription, and which
//! resource configurations are parts of a group.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::watch;
use trellis_model::resource::lattice::{
    AccessLogSubscription, AccessLogSubscriptions, ResourceConfiguration, ResourceConfigurationType, kind,
};
use trellis_store::{Event, Store, StoreError, Watch};

use crate::keys;

/// Between attempts to watch again after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// The subscriptions as they are now, and the task that keeps them current.
///
/// # Errors
/// The state could not be read.
pub(crate) async fn publish(
    store: Store,
) -> Result<
    (watch::Receiver<Arc<AccessLogSubscriptions>>, impl Future<Output = ()> + Send + 'static),
    StoreError,
> {
    let mut changes = store.watch(keys::LATTICE)?;
    let mut known = AccessLogSubscriptions::default();
    follow(&mut known, changes.next().await?);
    let (sender, receiver) = watch::channel(Arc::new(known.clone()));
    let task = async move {
        loop {
            match changes.next().await {
                Ok(event) => {
                    if follow(&mut known, event) {
                        sender.send_replace(Arc::new(known.clone()));
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "the delivery of access logs is not told of changes for now");
                    match again(&store).await {
                        Some(watch) => changes = watch,
                        None => return,
                    }
                }
            }
        }
    };
    Ok((receiver, task))
}

/// Another watch, as soon as there is one to be had; none once the store is closed.
async fn again(store: &Store) -> Option<Watch> {
    loop {
        tokio::time::sleep(RETRY).await;
        match store.watch(keys::LATTICE) {
            Ok(watch) => return Some(watch),
            Err(StoreError::Closed) => return None,
            Err(_) => {}
        }
    }
}

/// Takes in what the store reports; whether it was about access logs.
fn follow(known: &mut AccessLogSubscriptions, event: Event) -> bool {
    match event {
        Event::Resync { entries, .. } => {
            *known = AccessLogSubscriptions::default();
            for entry in entries {
                apply(known, &entry.key, Some(&entry.value));
            }
            true
        }
        Event::Changes { changes, .. } => {
            let mut is_changed = false;
            for change in changes {
                is_changed |= apply(known, &change.key, change.value.as_deref());
            }
            is_changed
        }
    }
}

fn apply(known: &mut AccessLogSubscriptions, key: &str, value: Option<&[u8]>) -> bool {
    // lattice/{account}/{region}/{kind}/{id}
    let mut parts = key.splitn(5, '/').skip(3);
    let (Some(record), Some(id)) = (parts.next(), parts.next()) else { return false };
    match record {
        kind::ACCESS_LOG => {
            let Ok(id) = id.parse() else { return false };
            match value.and_then(|value| read::<AccessLogSubscription>(key, value)) {
                Some(subscription) => {
                    known.by_id.insert(id, Arc::new(subscription));
                    true
                }
                None => known.by_id.remove(&id).is_some(),
            }
        }
        kind::RESOURCE_CONFIGURATION => {
            let Ok(id) = id.parse() else { return false };
            let resource = value.and_then(|value| read::<ResourceConfiguration>(key, value));
            let child = resource.filter(|resource| resource.kind == ResourceConfigurationType::Child);
            match child.and_then(|child| child.group) {
                Some(group) => known.groups.insert(id, group.clone()) != Some(group),
                None => known.groups.remove(&id).is_some(),
            }
        }
        _ => false,
    }
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::error!(key, %error, "a record does not read and is left out"))
        .ok()
}
