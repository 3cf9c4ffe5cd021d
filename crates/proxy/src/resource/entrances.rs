//! Step 1: where connections to resources come in, one socket for each client VPC, whatever they are to.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use tokio::net::TcpListener;
use trellis_model::snapshot::Snapshot;
use trellis_model::{ResourceAssociationId, VpcId};

use super::{asked, serve};
use crate::worker::{Entrance, Worker, accept};

/// One VPC's socket, and a gate for each resource that somebody is connected to.
#[derive(Debug)]
struct Door {
    entrance: Rc<Entrance>,
    gates: RefCell<FxHashMap<ResourceAssociationId, Rc<Entrance>>>,
}

impl Door {
    /// What closes when the association ends.
    fn gate(&self, association: &ResourceAssociationId) -> Rc<Entrance> {
        let mut gates = self.gates.borrow_mut();
        let gate = gates
            .entry(association.clone())
            .or_insert_with(|| Rc::new(Entrance::new(self.entrance.vpc.clone(), self.entrance.port)));
        gate.clone()
    }

    /// Closes the gates of associations that are gone, and those nobody stands in.
    fn keep(&self, is_there: impl Fn(&ResourceAssociationId) -> bool) {
        self.gates.borrow_mut().retain(|association, gate| {
            let keep = is_there(association);
            if !keep {
                gate.close();
            }
            keep && Rc::strong_count(gate) > 1
        });
    }
}

/// The sockets that are open, and those that should be.
#[derive(Debug, Default)]
pub(crate) struct Entrances {
    open: FxHashMap<VpcId, Rc<Door>>,
    missing: Vec<(VpcId, io::Error)>,
}

impl Entrances {
    /// Makes the open sockets those `snapshot` asks for, and ends connections to resources it no longer has.
    pub(crate) fn apply(&mut self, worker: &Rc<Worker>, snapshot: &Snapshot) {
        let resources = |vpc: &VpcId| {
            let ingress = snapshot.ingresses.get(vpc);
            ingress.map(|ingress| &ingress.resources).filter(|resources| !resources.is_empty())
        };
        self.open.retain(|vpc, door| {
            let resources = resources(vpc);
            let associations: rustc_hash::FxHashSet<&ResourceAssociationId> = resources
                .into_iter()
                .flat_map(|resources| resources.iter().map(|resource| &resource.association))
                .collect();
            door.keep(|association| associations.contains(association));
            if resources.is_none() {
                door.entrance.close();
            }
            resources.is_some()
        });
        worker.watchdog.close(|watched| watched.entrance.is_closed());
        self.missing.clear();
        for vpc in snapshot.ingresses.keys().filter(|vpc| resources(vpc).is_some()) {
            self.open_one(worker, vpc);
        }
    }

    /// Tries again to open what could not be opened.
    pub(crate) fn retry(&mut self, worker: &Rc<Worker>) {
        for (vpc, _) in std::mem::take(&mut self.missing) {
            self.open_one(worker, &vpc);
        }
    }

    fn open_one(&mut self, worker: &Rc<Worker>, vpc: &VpcId) {
        if self.open.contains_key(vpc) {
            return;
        }
        match (worker.resources.listen)(vpc).and_then(TcpListener::from_std) {
            Ok(listener) => {
                let entrance = Rc::new(Entrance::new(vpc.clone(), 0));
                let door = Rc::new(Door { entrance: entrance.clone(), gates: RefCell::default() });
                self.open.insert(vpc.clone(), door.clone());
                let for_serving = worker.clone();
                tokio::task::spawn_local(accept(
                    worker.clone(),
                    listener,
                    entrance,
                    move |(stream, peer)| {
                        match asked(&for_serving, &door.entrance.vpc, &stream) {
                            Some(asked) => {
                                let gate = door.gate(&asked.resource.association);
                                let serving = serve(for_serving.clone(), stream, peer, asked, gate);
                                tokio::task::spawn_local(serving);
                            }
                            None => {
                                for_serving.cells.resource_refusals.add(1);
                                // A reset, as from a closed port.
                                let _ = stream.set_zero_linger();
                            }
                        }
                    },
                ));
            }
            Err(error) => {
                worker.cells.listen_errors.add(1);
                self.missing.push((vpc.clone(), error));
            }
        }
    }

    /// What should be open and is not, and why.
    pub(crate) fn missing(&self) -> &[(VpcId, io::Error)] {
        &self.missing
    }

    /// Accepts nothing more; connections go on.
    pub(crate) fn close_all(&mut self) {
        for (_, door) in self.open.drain() {
            door.entrance.close();
        }
    }
}
