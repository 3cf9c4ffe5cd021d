//! Something that is looked for again and again, and may be missing: credentials, whom to trust.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long a request waits for the first look to end.
const FIRST_LOOK: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) enum Supply<T> {
    /// The first look has not ended.
    Looking,
    Ready(Arc<T>),
    /// Why, for people.
    Missing(Arc<str>),
}

impl<T> Supply<T> {
    /// `None` while the first look goes on.
    fn outcome(&self) -> Option<Result<Arc<T>, Arc<str>>> {
        match self {
            Self::Looking => None,
            Self::Ready(found) => Some(Ok(found.clone())),
            Self::Missing(reason) => Some(Err(reason.clone())),
        }
    }
}

/// Whether it is there now, and why not: without a reason while the first look goes on.
pub(crate) fn state<T>(supply: &watch::Receiver<Supply<T>>) -> Result<(), Option<Arc<str>>> {
    match supply.borrow().outcome() {
        Some(outcome) => outcome.map(drop).map_err(Some),
        None => Err(None),
    }
}

/// What is there; waits for the first look to end.
pub(crate) async fn found<T>(supply: &watch::Receiver<Supply<T>>) -> Result<Arc<T>, Arc<str>> {
    let now = supply.borrow().outcome();
    if let Some(outcome) = now {
        return outcome;
    }
    let mut later = supply.clone();
    let ended = later.wait_for(|supply| !matches!(supply, Supply::Looking));
    let outcome = match tokio::time::timeout(FIRST_LOOK, ended).await {
        Ok(Ok(supply)) => supply.outcome(),
        Ok(Err(_)) | Err(_) => None,
    };
    outcome.unwrap_or_else(|| Err("the search for it has not ended yet; try again".into()))
}
