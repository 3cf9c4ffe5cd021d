//! Which connections may be open: so many in all, and no client more than its share.
//!
//! A connection on which it is the client's turn, because no request is being worked on, is worth least. Where there is
//! no room for a new one, the one that has waited longest for its client goes: among those of the client that is at its
//! bound, or of the one that has most. So a thousand silent connections of somebody delay nobody.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// Whom a connection counts against: an IPv4 address, or 64 bits of an IPv6 address, which is what one
/// machine is usually given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

impl Client {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
            ipv4 @ IpAddr::V4(_) => Self(ipv4),
        }
    }
}

/// The open connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    most: usize,
    most_per_client: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: HashMap<u64, Open>,
    clients: HashMap<Client, usize>,
}

#[derive(Debug)]
struct Open {
    client: Client,
    /// Since when it is the client's turn; `None` while a request is worked on.
    waits_since: Option<Instant>,
    /// Told when it has to go.
    end: Arc<Notify>,
}

impl Connections {
    /// A client has a half of what there is at most, so that there is always something for the others.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let most = most.max(2);
        Arc::new(Self { most, most_per_client: most / 2, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a connection of `client`. `None`: all that are in its way are being served.
    pub(crate) fn admit(self: &Arc<Self>, client: Client) -> Option<Place> {
        let mut state = self.lock();
        let held = state.clients.get(&client).copied().unwrap_or(0);
        if held >= self.most_per_client {
            state.end_longest_waiting(|open| open.client == client)?;
        } else if state.open.len() >= self.most {
            let busiest = state.clients.iter().max_by_key(|(_, held)| **held).map(|(client, _)| *client)?;
            state.end_longest_waiting(|open| open.client == busiest)?;
        }
        state.last += 1;
        let id = state.last;
        let end = Arc::new(Notify::new());
        state.open.insert(id, Open { client, waits_since: Some(Instant::now()), end: end.clone() });
        *state.clients.entry(client).or_default() += 1;
        drop(state);
        Some(Place { connections: self.clone(), id, client, end })
    }

    /// Gives a descriptor back to a process that has none left.
    pub(crate) fn end_one(&self) {
        self.lock().end_longest_waiting(|_| true);
    }
}

impl State {
    fn end_longest_waiting(&mut self, is_candidate: impl Fn(&Open) -> bool) -> Option<()> {
        let candidates = self.open.iter().filter(|(_, open)| is_candidate(open));
        let (_, id) = candidates.filter_map(|(id, open)| Some((open.waits_since?, *id))).min()?;
        self.remove(id).map(|open| open.end.notify_one())
    }

    fn remove(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        if let Some(held) = self.clients.get_mut(&open.client) {
            *held -= 1;
            if *held == 0 {
                self.clients.remove(&open.client);
            }
        }
        Some(open)
    }
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    pub(crate) client: Client,
    end: Arc<Notify>,
}

impl Place {
    /// Returns when the connection has to go.
    pub(crate) async fn ended(&self) {
        self.end.notified().await;
    }

    /// A request is being worked on until what this returns is dropped.
    pub(crate) fn serving(&self) -> Serving<'_> {
        self.set_waiting(None);
        Serving(self)
    }

    fn set_waiting(&self, since: Option<Instant>) {
        if let Some(open) = self.connections.lock().open.get_mut(&self.id) {
            open.waits_since = since;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(self.id);
    }
}

/// It is not the client's turn.
pub(crate) struct Serving<'a>(&'a Place);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.set_waiting(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::of([192, 0, 2, last].into())
    }

    fn is_ended(place: &Place) -> bool {
        !place.connections.lock().open.contains_key(&place.id)
    }

    #[test]
    fn the_longest_silent_connection_of_the_one_who_has_most_makes_room() {
        let connections = Connections::new(8);
        let greedy: Vec<Place> = (0..4).map(|_| connections.admit(client(1)).unwrap()).collect();
        let fifth = connections.admit(client(1)).unwrap();
        assert!(is_ended(&greedy[0]) && !is_ended(&greedy[1]), "at its own bound, its own oldest");
        let others: Vec<Place> = (2..6).map(|last| connections.admit(client(last)).unwrap()).collect();
        let late = connections.admit(client(9)).unwrap();
        assert!(is_ended(&greedy[1]) && !is_ended(&fifth) && !is_ended(&late));
        assert!(!others.iter().any(is_ended));
        assert_eq!(connections.lock().open.len(), 8);
    }

    #[test]
    fn what_is_being_served_stays_and_a_new_one_is_refused_where_nothing_else_is_open() {
        let connections = Connections::new(4);
        let places: Vec<Place> = (0..2).map(|_| connections.admit(client(1)).unwrap()).collect();
        let serving: Vec<Serving<'_>> = places.iter().map(Place::serving).collect();
        assert!(connections.admit(client(1)).is_none());
        assert!(connections.admit(client(2)).is_some());
        drop(serving);
        assert!(connections.admit(client(1)).is_some());
        drop(places);
        assert!(connections.lock().open.is_empty() && connections.lock().clients.is_empty());
    }

    #[test]
    fn a_64_bit_prefix_of_ipv6_is_one_client() {
        let of = |text: &str| Client::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:3"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
