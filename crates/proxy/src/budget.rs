//! Who holds how much of what a worker has: open files, and memory for what has been begun and is not
//! finished.
//!
//! Hosts are strangers to each other, so nothing one of them holds may be paid for by another. A fixed
//! share for each would be too small for whoever is alone and too large for many. Here everybody may hold
//! as much as is still free: a VPC less than what is free of the whole, a client less than what is then
//! free for its VPC. So a client that takes all it can gets a third, all the clients of a VPC together
//! get half, and whoever comes next always finds a part of what remains. At its budget a client is
//! refused, and told so; nobody waits for it.
//!
//! Each worker has its own part, which nothing else touches: the kernel spreads connections over workers.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use trellis_model::VpcId;

use crate::config::Limits;

/// Files of a connection that brings requests: its own, and one to a target while a request runs.
pub(crate) const FILES_FOR_REQUESTS: u64 = 2;
/// Files of a connection that is relayed as it is: both sides, and a pipe each way.
pub(crate) const FILES_FOR_RELAYING: u64 = 6;

/// Memory of a connection while its handshake goes on: the hello, which waits in a buffer, then the session with a
/// message of it, which may be 64 KiB and need not be whole.
pub(crate) const MEMORY_FOR_HANDSHAKE: u64 = 96 * 1024;
/// Memory of a TLS session: its keys, and two records that are not whole.
pub(crate) const MEMORY_FOR_SESSION: u64 = 32 * 1024;
/// Memory of a connection that is relayed as it is; what waits in its pipes beyond it counts while it does.
pub(crate) const MEMORY_FOR_RELAYING: u64 = 16 * 1024;

/// What one worker has.
#[derive(Debug)]
pub(crate) struct Budget {
    /// For connections of clients, with what they need towards targets.
    pub(crate) files: Ledger,
    /// Bytes of memory.
    pub(crate) memory: Ledger,
    /// Connections to targets that nobody uses.
    pub(crate) idle: Idle,
}

/// How many connections to targets are kept, over all of them.
#[derive(Debug, Clone)]
pub(crate) struct Idle {
    kept: Rc<Cell<usize>>,
    most: usize,
}

impl Idle {
    /// Counts one more for a target that has `has`, unless too many are kept: a target may have as many as
    /// there is still room for, so that those of a few do not crowd out everybody else's.
    pub(crate) fn keep(&self, has: usize) -> Option<Kept> {
        let kept = self.kept.get();
        if has >= self.most.saturating_sub(kept) {
            return None;
        }
        self.kept.set(kept + 1);
        Some(Kept(self.kept.clone()))
    }
}

/// One connection that is kept, until dropped.
#[derive(Debug)]
pub(crate) struct Kept(Rc<Cell<usize>>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Budget {
    /// The part of one of `workers`.
    pub(crate) fn new(limits: &Limits, workers: usize) -> Self {
        let workers = workers.max(1) as u64;
        // A quarter stays for the control plane, probes, resolvers, logs and connections that are kept.
        let files = match limits.open_files {
            0 => u64::MAX,
            files => (files / 4 * 3 / workers).max(FILES_FOR_RELAYING),
        };
        let connections = limits.connections_per_worker as u64 * FILES_FOR_REQUESTS;
        // Half of that quarter.
        let idle = match limits.open_files {
            0 => usize::MAX,
            files => usize::try_from(files / 8 / workers).unwrap_or(usize::MAX),
        };
        Self {
            idle: Idle { kept: Rc::default(), most: idle },
            files: Ledger::new(files.min(connections)),
            memory: Ledger::new(limits.client_memory / workers),
        }
    }
}

/// Of one thing, how much there is and who holds it.
#[derive(Debug, Clone)]
pub(crate) struct Ledger(Rc<RefCell<Entries>>);

#[derive(Debug)]
struct Entries {
    free: u64,
    vpcs: FxHashMap<VpcId, Vpc>,
}

#[derive(Debug, Default)]
struct Vpc {
    held: u64,
    clients: FxHashMap<IpAddr, u64>,
}

impl Ledger {
    fn new(all: u64) -> Self {
        Self(Rc::new(RefCell::new(Entries { free: all, vpcs: FxHashMap::default() })))
    }

    /// Has the client at `address` in `vpc` hold `amount` more, until what is returned is dropped. `None`:
    /// it is at its budget.
    pub(crate) fn take(&self, vpc: &VpcId, address: IpAddr, amount: u64) -> Option<Held> {
        self.take_if(vpc, address, amount, |room, by_client| by_client < room)
    }

    /// `may` is told what the client may have in all, and what it has.
    fn take_if(
        &self,
        vpc: &VpcId,
        address: IpAddr,
        amount: u64,
        may: impl Fn(u64, u64) -> bool,
    ) -> Option<Held> {
        let address = address.to_canonical();
        let mut entries = self.0.borrow_mut();
        let free = entries.free;
        let known = entries.vpcs.get(vpc);
        let by_vpc = known.map_or(0, |vpc| vpc.held);
        let by_client = known.and_then(|vpc| vpc.clients.get(&address)).map_or(0, |held| *held);
        if amount > free || !may(free.saturating_sub(by_vpc), by_client) {
            return None;
        }
        entries.free -= amount;
        let entry = entries.vpcs.entry(vpc.clone()).or_default();
        entry.held += amount;
        *entry.clients.entry(address).or_default() += amount;
        drop(entries);
        Some(Held { ledger: self.clone(), vpc: vpc.clone(), address, amount })
    }
}

/// A part of a [`Ledger`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    ledger: Ledger,
    vpc: VpcId,
    address: IpAddr,
    amount: u64,
}

impl Held {
    /// Holds so much in all from now on, if there is room for it. Whether there was.
    pub(crate) fn grow_to(&mut self, amount: u64) -> bool {
        self.grow(amount, |_| |room, by_client| by_client < room)
    }

    /// As [`Held::grow_to`], for what could be done without: only while its client has less than half of what it may.
    pub(crate) fn grow_if_ample(&mut self, amount: u64) -> bool {
        self.grow(amount, |more| move |room, by_client| by_client + more <= room / 2)
    }

    /// `may` is told how much more is wanted, and says of room and what the client has whether it may have it.
    fn grow<M: Fn(u64, u64) -> bool>(&mut self, amount: u64, may: impl Fn(u64) -> M) -> bool {
        let Some(more) = amount.checked_sub(self.amount).filter(|more| *more > 0) else { return true };
        let Some(mut taken) = self.ledger.take_if(&self.vpc, self.address, more, may(more)) else {
            return false;
        };
        self.amount += std::mem::take(&mut taken.amount);
        true
    }

    /// Gives back what it holds beyond `amount`.
    pub(crate) fn shrink_to(&mut self, amount: u64) {
        if let Some(less) = self.amount.checked_sub(amount).filter(|less| *less > 0) {
            self.give_back(less);
            self.amount = amount;
        }
    }

    pub(crate) fn amount(&self) -> u64 {
        self.amount
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    fn give_back(&self, amount: u64) {
        let mut entries = self.ledger.0.borrow_mut();
        entries.free += amount;
        let Some(vpc) = entries.vpcs.get_mut(&self.vpc) else { return };
        vpc.held -= amount;
        if let Some(held) = vpc.clients.get_mut(&self.address) {
            *held -= amount;
            if *held == 0 {
                vpc.clients.remove(&self.address);
            }
        }
        if vpc.held == 0 {
            entries.vpcs.remove(&self.vpc);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn vpc(n: u64) -> VpcId {
        VpcId::from_random(n)
    }

    fn address(n: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, n).into()
    }

    /// Takes one at a time until there is no more.
    fn take_all(ledger: &Ledger, vpc: &VpcId, address: IpAddr) -> Vec<Held> {
        std::iter::from_fn(|| ledger.take(vpc, address, 1)).collect()
    }

    #[test]
    fn whoever_takes_all_it_can_leaves_room_for_its_neighbours_and_for_other_vpcs() {
        let ledger = Ledger::new(9000);
        let first = take_all(&ledger, &vpc(1), address(1));
        assert_eq!(first.len(), 3000);
        let neighbours: Vec<_> = (2..100).map(|n| take_all(&ledger, &vpc(1), address(n))).collect();
        assert_eq!(neighbours[0].len(), 1000);
        let of_vpc = first.len() + neighbours.iter().map(Vec::len).sum::<usize>();
        assert!(of_vpc <= 4500, "{of_vpc}");
        let others: Vec<_> = (2..5).map(|n| take_all(&ledger, &vpc(n), address(1))).collect();
        assert_eq!(others[0].len(), 1500, "of another VPC, a third of what was left");
        assert!(others.iter().all(|held| held.len() > 300));
    }

    #[test]
    fn what_was_held_is_free_again_and_leaves_no_trace() {
        let ledger = Ledger::new(100);
        let mut held = ledger.take(&vpc(1), address(1), 10).unwrap();
        assert!(held.grow_to(40) && held.grow_to(5) && !held.grow_to(90));
        assert_eq!(ledger.0.borrow().free, 60);
        held.shrink_to(15);
        held.shrink_to(50);
        assert_eq!((ledger.0.borrow().free, held.amount()), (85, 15));
        drop(held);
        let entries = ledger.0.borrow();
        assert!(entries.free == 100 && entries.vpcs.is_empty());
    }

    #[test]
    fn what_could_be_done_without_leaves_half_of_a_clients_room() {
        let ledger = Ledger::new(9000);
        let mut held = ledger.take(&vpc(1), address(1), 10).unwrap();
        let granted = std::iter::from_fn(|| held.grow_if_ample(held.amount() + 100).then_some(())).count();
        // With 2,110 held a client may have 9,000 less twice that, and 2,210 is less than half of it; 2,310 would not be.
        assert_eq!(granted, 22);
        assert!(held.grow_to(held.amount() + 100) && !held.grow_if_ample(held.amount() + 1));
    }

    #[test]
    fn connections_that_are_kept_for_one_target_leave_room_for_others() {
        let idle = Idle { kept: Rc::default(), most: 100 };
        let keep_all = || {
            let mut kept = Vec::new();
            while let Some(one) = idle.keep(kept.len()) {
                kept.push(one);
            }
            kept
        };
        let first = keep_all();
        let second = keep_all();
        assert_eq!((first.len(), second.len()), (50, 25));
        drop(first);
        assert_eq!(keep_all().len(), 38);
    }

    #[test]
    fn the_last_one_may_be_taken_and_no_more() {
        let ledger = Ledger::new(1);
        let held = ledger.take(&vpc(1), address(1), 1);
        assert!(held.is_some() && ledger.take(&vpc(2), address(1), 1).is_none());
    }
}
