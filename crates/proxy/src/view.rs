//! One Snapshot as one worker sees it: what is looked up or written the same way for every request
//! is worked out at the first and kept until the next Snapshot.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use trellis_model::health::ProtocolVersion;
use trellis_model::snapshot::{Ingress, Listener, ListenerProtocol, Service, Snapshot, TargetGroup};
use trellis_model::{ServiceId, TargetGroupId, VpcId};

use crate::metrics::{GroupCells, ServiceCells, WorkerCells};
use crate::multiplexed::Pool;
use crate::record::write_member;
use crate::upstream::Idle;
use crate::worker::Entrance;

/// A Snapshot and what has been derived from it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    /// By entrance id and the address of the listener, which stands still while the Snapshot lives.
    sites: RefCell<FxHashMap<(u64, usize), Rc<Site>>>,
    /// By entrance id.
    doors: RefCell<FxHashMap<u64, Door>>,
    /// By the address of the target group.
    groups: RefCell<FxHashMap<usize, Rc<GroupView>>>,
}

/// What clients may speak at an entrance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Door {
    /// Some service listens with plain HTTP.
    pub(crate) http: bool,
    /// Some service listens with TLS, which ends here or is passed through.
    pub(crate) tls: bool,
}

/// A service's listener as reached through one entrance.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) service: Arc<ServiceCells>,
    /// The service's idle timeout: for data from either side, and for idle connections.
    pub(crate) idle_timeout: Duration,
    /// Header lines every target of this site gets.
    header: Box<[u8]>,
    /// The members of a log line that are the same for every request of this site.
    pub(crate) log: Box<[u8]>,
    service_arn: Arc<str>,
    network_arn: Arc<str>,
    routes: RefCell<FxHashMap<usize, Rc<Route>>>,
    /// Names clients have asked for, all of them the service's.
    names: RefCell<Vec<Rc<str>>>,
}

/// A field for targets that are spoken to over HTTP/2.
pub(crate) type NamedValue = (Box<[u8]>, Box<[u8]>);

/// A site's way to one target group.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) group: Rc<GroupView>,
    /// Header lines every target of this route gets.
    pub(crate) header: Box<[u8]>,
    /// The same lines as fields, for targets that are spoken to over HTTP/2; empty for others.
    pub(crate) fields: Box<[NamedValue]>,
    /// The members of a log line that are the same for every request of this route.
    pub(crate) log: Box<[u8]>,
}

/// A target group of one Snapshot.
#[derive(Debug)]
pub(crate) struct GroupView {
    pub(crate) group: Arc<TargetGroup>,
    pub(crate) state: Rc<GroupState>,
    /// Parallel to `group.targets`.
    pub(crate) targets: Box<[Rc<TargetState>]>,
    /// For large groups: which targets were usable, and at which tick that was looked up.
    usable: RefCell<Option<(u32, Vec<usize>)>>,
}

/// A group larger than this is not looked through for every request.
const LARGE_GROUP: usize = 32;

impl GroupView {
    /// The index of the next target: round robin over the usable ones, all of them if none is. In
    /// a large group a change of health may be noticed one tick late.
    pub(crate) fn next_target(&self, tick: u32) -> Option<usize> {
        let turn = self.state.next_turn();
        if self.targets.len() <= LARGE_GROUP {
            return self.group.pick_index(turn);
        }
        let mut usable = self.usable.borrow_mut();
        let (_, indices) = match &mut *usable {
            Some(known) if known.0 == tick => known,
            stale => stale.insert((tick, self.group.usable_indices())),
        };
        // Never empty: the group is not.
        indices.get(turn % indices.len().max(1)).copied()
    }
}

/// What a worker keeps of a target group from Snapshot to Snapshot.
#[derive(Debug)]
pub(crate) struct GroupState {
    pub(crate) vpc: VpcId,
    pub(crate) cells: Arc<GroupCells>,
    /// Counts requests, for round robin.
    turn: Cell<usize>,
    /// Connects under way.
    pub(crate) connecting: Cell<usize>,
    targets: RefCell<FxHashMap<SocketAddr, Rc<TargetState>>>,
}

/// What a worker keeps of one target.
#[derive(Debug)]
pub(crate) struct TargetState {
    pub(crate) address: SocketAddr,
    /// `address`, as the access log has it.
    pub(crate) text: Box<str>,
    /// Connections nobody uses, the oldest first.
    pub(crate) idle: RefCell<VecDeque<Idle>>,
    /// HTTP/2 connections, used by many requests at once.
    pub(crate) multiplexed: Pool,
    /// Still a target of its group: connections to it are worth keeping.
    pub(crate) current: Cell<bool>,
}

impl GroupState {
    fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    /// Drops idle connections that have expired or that the target has closed.
    fn expire(&self, now: u64) {
        for target in self.targets.borrow().values() {
            target.idle.borrow_mut().retain_mut(|idle| idle.is_worth_keeping(now));
            target.multiplexed.expire(now);
        }
    }
}

/// Everything a worker keeps from Snapshot to Snapshot, by id.
#[derive(Debug)]
pub(crate) struct States {
    groups: RefCell<FxHashMap<TargetGroupId, Rc<GroupState>>>,
    cells: Arc<WorkerCells>,
}

impl States {
    pub(crate) fn new(cells: Arc<WorkerCells>) -> Self {
        Self { groups: RefCell::default(), cells }
    }

    fn group(&self, group: &TargetGroup) -> Rc<GroupState> {
        let mut groups = self.groups.borrow_mut();
        let state = groups.entry(group.id.clone()).or_insert_with(|| {
            Rc::new(GroupState {
                vpc: group.vpc.clone(),
                cells: self.cells.group(&group.id),
                turn: Cell::new(0),
                connecting: Cell::new(0),
                targets: RefCell::default(),
            })
        });
        state.clone()
    }

    fn target(state: &GroupState, address: SocketAddr) -> Rc<TargetState> {
        let mut targets = state.targets.borrow_mut();
        let target = targets.entry(address).or_insert_with(|| {
            Rc::new(TargetState {
                address,
                text: address.to_string().into(),
                idle: RefCell::default(),
                multiplexed: Pool::default(),
                current: Cell::new(true),
            })
        });
        target.current.set(true);
        target.clone()
    }

    /// Forgets groups, targets and services the Snapshot no longer has, and closes idle
    /// connections to them.
    pub(crate) fn retain(&self, snapshot: &Snapshot) {
        let retire = |target: &TargetState| {
            target.current.set(false);
            target.idle.borrow_mut().clear();
            target.multiplexed.clear();
        };
        self.groups.borrow_mut().retain(|id, state| {
            let group = snapshot.target_groups.get(id);
            let wanted: rustc_hash::FxHashSet<SocketAddr> =
                group.iter().flat_map(|group| group.targets.iter().map(|target| target.address)).collect();
            state.targets.borrow_mut().retain(|address, target| {
                let keep = wanted.contains(address);
                if !keep {
                    retire(target);
                }
                keep
            });
            group.is_some()
        });
        let services: rustc_hash::FxHashSet<&ServiceId> = snapshot
            .ingresses
            .values()
            .flat_map(|ingress| ingress.network.hosts.values().map(|service| &service.id))
            .collect();
        self.cells.retain(|id| services.contains(id), |id| snapshot.target_groups.contains_key(id));
        let resources: rustc_hash::FxHashSet<_> = snapshot
            .ingresses
            .values()
            .flat_map(|ingress| ingress.resources.iter().map(|resource| &resource.id))
            .collect();
        self.cells.retain_resources(|id| resources.contains(id));
    }

    /// Drops idle upstream connections that are of no use any more.
    pub(crate) fn expire(&self, now: u64) {
        for state in self.groups.borrow().values() {
            state.expire(now);
        }
    }
}

impl View {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, sites: RefCell::default(), doors: RefCell::default(), groups: RefCell::default() }
    }

    /// What may be spoken at `entrance`. Services of one network may share a port, whatever they
    /// speak on it.
    pub(crate) fn door(&self, entrance: &Entrance) -> Door {
        *self.doors.borrow_mut().entry(entrance.id).or_insert_with(|| {
            let mut door = Door { http: false, tls: false };
            let ingress = self.snapshot.ingresses.get(&entrance.vpc);
            let services = ingress.iter().flat_map(|ingress| ingress.network.hosts.values());
            for listener in services.filter_map(|service| service.listener(entrance.port)) {
                match listener.protocol {
                    ListenerProtocol::Http => door.http = true,
                    ListenerProtocol::Https | ListenerProtocol::TlsPassthrough => door.tls = true,
                }
            }
            door
        })
    }

    /// The site of `listener`, which is `service`'s, for clients that come through `entrance`.
    pub(crate) fn site(
        &self,
        states: &States,
        entrance: &Entrance,
        ingress: &Ingress,
        service: &Service,
        listener: &Arc<Listener>,
    ) -> Rc<Site> {
        let key = (entrance.id, Arc::as_ptr(listener).addr());
        if let Some(site) = self.sites.borrow().get(&key) {
            return site.clone();
        }
        let site = Rc::new(Site::new(states, ingress, service, listener));
        self.sites.borrow_mut().insert(key, site.clone());
        site
    }

    /// The way from `site` to `group`.
    pub(crate) fn route(&self, states: &States, site: &Site, group: &Arc<TargetGroup>) -> Rc<Route> {
        let key = Arc::as_ptr(group).addr();
        if let Some(route) = site.routes.borrow().get(&key) {
            return route.clone();
        }
        let shared = self.groups.borrow().get(&key).cloned();
        let shared = shared.unwrap_or_else(|| {
            let state = states.group(group);
            let targets = group.targets.iter().map(|target| States::target(&state, target.address)).collect();
            let made =
                Rc::new(GroupView { group: group.clone(), state, targets, usable: RefCell::new(None) });
            self.groups.borrow_mut().insert(key, made.clone());
            made
        });
        let route = Rc::new(Route::new(site, shared));
        site.routes.borrow_mut().insert(key, route.clone());
        route
    }
}

impl Site {
    fn new(states: &States, ingress: &Ingress, service: &Service, listener: &Listener) -> Self {
        let (kind, scheme) = match listener.protocol {
            ListenerProtocol::Http => ("HTTP", "http"),
            ListenerProtocol::Https => ("HTTPS", "https"),
            ListenerProtocol::TlsPassthrough => ("TLS_PASSTHROUGH", "https"),
        };
        let header = format!(
            "x-forwarded-port: {port}\r\nx-forwarded-proto: {scheme}\r\n\
             x-amzn-lattice-network: SourceVpcArn={vpc_arn}\r\nx-amzn-source-vpc: {vpc}\r\n",
            port = listener.port,
            vpc_arn = ingress.vpc_arn,
            vpc = ingress.vpc,
        );
        let mut log = Vec::new();
        for (name, value) in [
            ("sourceVpcId", ingress.vpc.as_str()),
            ("sourceVpcArn", &*ingress.vpc_arn),
            ("serviceNetworkArn", &*ingress.network.arn),
            ("serviceArn", &*service.arn),
            ("listenerType", kind),
            ("listenerId", listener.id.as_str()),
        ] {
            write_member(&mut log, name, value);
        }
        Self {
            service: states.cells.service(&service.id),
            idle_timeout: service.idle_timeout,
            header: header.into_bytes().into(),
            log: log.into(),
            service_arn: service.arn.clone(),
            network_arn: ingress.network.arn.clone(),
            routes: RefCell::default(),
            names: RefCell::default(),
        }
    }

    /// `name`, which is one of the service's, to be held on to.
    pub(crate) fn name(&self, name: &str) -> Rc<str> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.iter().find(|known| ***known == *name) {
            return known.clone();
        }
        let kept: Rc<str> = name.into();
        names.push(kept.clone());
        kept
    }
}

impl Route {
    fn new(site: &Site, shared: Rc<GroupView>) -> Self {
        let group = &shared.group;
        let mut header = site.header.to_vec();
        header.extend_from_slice(
            format!(
                "x-amzn-lattice-target: ServiceArn={}; ServiceNetworkArn={}; TargetGroupArn={}\r\n",
                site.service_arn, site.network_arn, group.arn
            )
            .as_bytes(),
        );
        let mut log = Vec::new();
        write_member(&mut log, "destinationVpcId", group.vpc.as_str());
        write_member(&mut log, "targetGroupArn", &group.arn);
        let fields = if group.version == ProtocolVersion::Http1 { Box::default() } else { fields(&header) };
        Self { group: shared, header: header.into(), fields, log: log.into() }
    }
}

/// Header lines, `name: value` and CRLF, taken apart.
pub(crate) fn fields(lines: &[u8]) -> Box<[NamedValue]> {
    let lines = lines.split(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
    lines
        .filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((line[..colon].into(), line[colon + 1..].trim_ascii().into()))
        })
        .collect()
}
