//! The hosts of one VPC: each a small state machine that the VPC's thread moves on when something happens.
//!
//! A host is started in steps with waits between (its process, its namespaces, its network, its
//! file system), so that a slow or broken one holds nobody else up.

mod first_process;
mod given;
mod ids;
mod machine;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use trellis_model::fabric::VpcPlan;
use trellis_model::id::InstanceId;

use crate::cgroup::Cgroups;
use crate::fabric::events::Events;
use crate::fabric::{FabricEvent, FabricOptions};
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::vpc::network::bridge_name;
use machine::{Host, Next, State};

/// Hosts of one VPC being started at the same time.
const STARTING: usize = 8;

/// How long a host may take from its process to being ready. It takes some tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What hosts are made with: the VPC's own things, lent for one step.
pub(super) struct Place<'a> {
    pub(super) netlink: &'a mut Netlink,
    pub(super) namespace: &'a Namespace,
    pub(super) plan: &'a VpcPlan,
    pub(super) options: &'a FabricOptions,
    pub(super) cgroups: &'a Cgroups,
    pub(super) resolv_conf: &'a Path,
    pub(super) events: &'a Events,
}

/// The hosts of one VPC.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    hosts: BTreeMap<InstanceId, Host>,
}

impl Hosts {
    /// Takes up what `place.plan` says of hosts: ends those not in it, replaces those that changed or whose bridge is
    /// among the `remade`.
    pub(super) fn plan(&mut self, place: &mut Place<'_>, remade: &BTreeSet<String>) {
        // An address may go from one to another: all let go before any takes.
        for (_, host) in self.hosts.iter_mut().filter(|(id, _)| place.plan.hosts.contains_key(*id)) {
            host.let_go(place);
        }
        for (id, plan) in &place.plan.hosts {
            match self.hosts.get_mut(id) {
                None => {
                    let state = State::Waiting { from: Instant::now() };
                    self.hosts.insert(id.clone(), Host::new(plan.clone(), state));
                }
                Some(host) => {
                    let gone = matches!(host.state, State::Ending { next: Next::Gone, .. });
                    if host.plan != *plan || gone || remade.contains(&bridge_name(&plan.subnet)) {
                        host.unplug(place);
                        host.plan = plan.clone();
                        host.failures = 0;
                        host.end(Next::Again { pause: Duration::ZERO });
                    }
                }
            }
        }
        let gone: Vec<_> =
            self.hosts.keys().filter(|id| !place.plan.hosts.contains_key(*id)).cloned().collect();
        for id in gone {
            self.remove(&id, place);
        }
        for host in self.hosts.values_mut() {
            host.take_up(place);
        }
    }

    /// Ends every host, for good.
    pub(super) fn remove_all(&mut self, place: &mut Place<'_>) {
        for id in self.hosts.keys().cloned().collect::<Vec<_>>() {
            self.remove(&id, place);
        }
    }

    fn remove(&mut self, id: &InstanceId, place: &mut Place<'_>) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        host.unplug(place);
        if matches!(host.state, State::Waiting { .. }) {
            self.hosts.remove(id);
            place.events.push(FabricEvent::HostGone { instance: id.clone() });
        } else {
            host.end(Next::Gone);
        }
    }

    /// Starts hosts whose time has come and gives up on those that take too long.
    pub(super) fn advance(&mut self, place: &mut Place<'_>, now: Instant) {
        let mut starting = 0;
        for host in self.hosts.values_mut() {
            match &mut host.state {
                State::Starting { process, deadline } if *deadline <= now => {
                    if process.init.is_none() {
                        host.abandon();
                    }
                    host.fail(place, format!("not ready after {} seconds", PATIENCE.as_secs()));
                }
                State::Starting { .. } => starting += 1,
                _ => {}
            }
        }
        for host in self.hosts.values_mut() {
            if starting >= STARTING {
                break;
            }
            if matches!(host.state, State::Waiting { from } if from <= now) {
                match host.start(place) {
                    Ok(process) => {
                        host.state = State::Starting { process, deadline: now + PATIENCE };
                        starting += 1;
                    }
                    Err(reason) => host.fail(place, reason),
                }
            }
        }
    }

    /// What to watch: readable means that [`Hosts::moved`] has something to do.
    pub(super) fn watched(&self) -> impl Iterator<Item = (&InstanceId, BorrowedFd<'_>)> {
        self.hosts.iter().filter_map(|(id, host)| match &host.state {
            State::Waiting { .. } => None,
            State::Starting { process, .. } | State::Running { process, .. } => {
                Some((id, process.watched(false)))
            }
            State::Ending { process, .. } => Some((id, process.watched(true))),
        })
    }

    /// Something happened to the host `id`.
    pub(super) fn moved(&mut self, id: &InstanceId, place: &mut Place<'_>) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        match &mut host.state {
            State::Waiting { .. } => {}
            State::Ending { process, next } => {
                match process.has_ended() {
                    Ok(true) => {}
                    Ok(false) => return,
                    // There is no such child any more, or no way to know: it is not waited for in vain.
                    Err(error) => {
                        tracing::warn!(instance = %id, %error, "lost sight of a host that was ended");
                    }
                }
                if let Some(group) = host.cgroup.take() {
                    place.cgroups.remove(group);
                }
                match next {
                    Next::Again { pause } => host.state = State::Waiting { from: Instant::now() + *pause },
                    Next::Gone => {
                        self.hosts.remove(id);
                        place.events.push(FabricEvent::HostGone { instance: id.clone() });
                    }
                }
            }
            State::Starting { process, .. } | State::Running { process, .. } => {
                match process.control.receive_report() {
                    Ok(Some(report)) => host.reported(report, place),
                    Ok(None) => host.fail(place, "its first process ended".into()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => host.fail(place, format!("its first process makes no sense: {error}")),
                }
            }
        }
    }

    /// Every host is there, or was said to have failed; none is on its way to either. Without a network (`blocked`),
    /// those that wait for it are where they can be.
    pub(super) fn are_settled(&self, blocked: bool) -> bool {
        self.hosts.values().all(|host| match host.state {
            State::Running { .. } => true,
            State::Waiting { .. } | State::Ending { next: Next::Again { .. }, .. } => {
                blocked || host.failures > 0
            }
            State::Starting { .. } | State::Ending { .. } => false,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// When [`Hosts::advance`] has something to do again, if nothing happens before.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let starting =
            self.hosts.values().filter(|host| matches!(host.state, State::Starting { .. })).count();
        let deadline = |host: &Host| match host.state {
            State::Waiting { from } if starting < STARTING => Some(from),
            State::Starting { deadline, .. } => Some(deadline),
            _ => None,
        };
        self.hosts.values().filter_map(deadline).min()
    }
}
