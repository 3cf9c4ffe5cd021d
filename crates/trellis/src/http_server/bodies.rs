//! What request bodies may hold in memory: so many bytes in all, a half of them for one client.
//!
//! Small bodies are not counted: how many there can be is bounded by the connections there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connections::Client;

/// Bodies up to here are read whoever sends them.
pub(crate) const SMALL_BODY: usize = 64 << 10;
/// Bytes of larger bodies in flight.
const MOST: usize = 64 << 20;
const MOST_PER_CLIENT: usize = MOST / 2;

/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Bodies {
    all: Arc<Semaphore>,
    clients: Mutex<HashMap<Client, Weak<Semaphore>>>,
    patience: Duration,
}

/// Room for one body, given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _of_all: Option<OwnedSemaphorePermit>,
    /// Keeps the client's share alive as well.
    _of_client: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST)), clients: Mutex::default(), patience: PATIENCE }
    }

    /// Room for `bytes` of a client's; `None`: there is none for now.
    pub(crate) async fn room(&self, client: Client, bytes: usize) -> Option<Room> {
        if bytes <= SMALL_BODY {
            return Some(Room { _of_all: None, _of_client: None });
        }
        let bytes = u32::try_from(bytes).ok()?;
        let share = self.share(client);
        let acquired = timeout(self.patience, async {
            let of_client = share.acquire_many_owned(bytes).await.ok()?;
            let of_all = Arc::clone(&self.all).acquire_many_owned(bytes).await.ok()?;
            Some(Room { _of_all: Some(of_all), _of_client: Some(of_client) })
        });
        acquired.await.ok().flatten()
    }

    fn share(&self, client: Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = clients.get(&client).and_then(Weak::upgrade) {
            return share;
        }
        clients.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(MOST_PER_CLIENT));
        clients.insert(client, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_cannot_have_it_all_and_what_is_let_go_is_there_again() {
        let bodies = Bodies { patience: Duration::ZERO, ..Bodies::new() };
        let client = |last: u8| Client::of([192, 0, 2, last].into());
        let mut held = Vec::new();
        for _ in 0..MOST_PER_CLIENT / (4 << 20) {
            held.push(bodies.room(client(1), 4 << 20).await.unwrap());
        }
        assert!(bodies.room(client(1), 4 << 20).await.is_none());
        assert!(bodies.room(client(1), SMALL_BODY).await.is_some(), "small ones are not counted");
        assert!(bodies.room(client(2), 4 << 20).await.is_some());
        held.pop();
        assert!(bodies.room(client(1), 4 << 20).await.is_some());
        drop(held);
        assert!(bodies.room(client(3), 4 << 20).await.is_some());
        assert_eq!(bodies.clients.lock().unwrap().len(), 1, "of those who hold nothing, nothing is kept");
    }
}
