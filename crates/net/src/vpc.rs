//! One VPC: a thread that made a network namespace, stays in it for good, and keeps it as planned.
//!
//! Everything that concerns the VPC happens on this thread, so a VPC in trouble troubles no other,
//! and a process killed at any moment leaves nothing: the namespace goes with its thread.

mod hosts;
pub(crate) mod mailbox;
pub(crate) mod network;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use trellis_model::id::VpcId;

use crate::cgroup::Cgroups;
use crate::fabric::converger::Inbox;
use crate::fabric::events::Events;
use crate::fabric::{FabricEvent, FabricOptions};
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::process::{poll_timeout, wait_readable};
use crate::sockets::{Endpoint, Sockets, bind_udp_here, listen_here};
use hosts::{Hosts, Place};
use mailbox::{Mailbox, SocketRequest, Versioned};
use network::{Network, RESOLVER, RESOLVER_IPV6};

/// Enough for this thread's shallow calls, small enough for hundreds of VPCs.
const STACK: usize = 512 * 1024;

/// How long the hosts of a VPC that is removed may take to end.
const PARTING: Duration = Duration::from_secs(10);

/// A pause after the `failures`-th failure in a row: 1 s, 2 s, 4 s ... 60 s.
pub(crate) fn backoff(failures: u32) -> Duration {
    Duration::from_secs((1_u64 << failures.saturating_sub(1).min(6)).min(60))
}

/// The end of the name of each VPC's resolv.conf.
const RESOLV_CONF: &str = ".resolv.conf";

/// Removes what VPCs of an earlier process left in `run_dir` when it was killed.
pub(crate) fn forget_former(run_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(run_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(RESOLV_CONF));
        if id.is_some_and(|id| id.parse::<VpcId>().is_ok()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What every VPC of a fabric shares.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) options: Arc<FabricOptions>,
    pub(crate) cgroups: Arc<Cgroups>,
    pub(crate) nft: Arc<Path>,
    pub(crate) events: Events,
    pub(crate) sockets: Sockets,
    pub(crate) inbox: Arc<Inbox>,
}

/// Starts the VPC's thread; all else is said through the mailbox it returns.
pub(crate) fn start(id: VpcId, shared: Shared, first: Versioned) -> io::Result<Arc<Mailbox>> {
    let mailbox = Arc::new(Mailbox::new()?);
    let suffix = id.suffix();
    let name = format!("vpc-{}", &suffix[suffix.len().saturating_sub(11)..]);
    let guard = Ended { id, shared, mailbox: mailbox.clone() };
    thread::Builder::new().name(name).stack_size(STACK).spawn(move || run(&guard, first))?;
    Ok(mailbox)
}

/// Tells the fabric that the thread has ended, however that came.
struct Ended {
    id: VpcId,
    shared: Shared,
    mailbox: Arc<Mailbox>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.shared.sockets.remove(&self.id);
        self.mailbox.close();
        let event = if thread::panicking() {
            FabricEvent::VpcFailed { vpc: self.id.clone(), reason: "a bug in its thread; see the log".into() }
        } else {
            FabricEvent::VpcGone { vpc: self.id.clone() }
        };
        self.shared.events.push(event);
        self.shared.inbox.ended(self.id.clone());
    }
}

/// The thread's whole life.
fn run(context: &Ended, first: Versioned) {
    let mut plan = first;
    let mut failures = 0;
    let (namespace, netlink) = loop {
        let made = Namespace::make_and_enter().and_then(|namespace| Ok((namespace, Netlink::open()?)));
        match made {
            Ok(made) => break made,
            Err(error) => {
                failures += 1;
                let reason = format!("make a network namespace: {error}");
                context.shared.events.push(FabricEvent::VpcFailed { vpc: context.id.clone(), reason });
                context.shared.inbox.settled(context.id.clone(), plan.revision);
                // Woken early by whatever comes; then the attempt is worth another try, too.
                let _ = wait_readable(context.mailbox.as_fd(), backoff(failures));
                context.mailbox.silence();
                if context.mailbox.is_stopped() {
                    return;
                }
                plan = context.mailbox.take_plan().unwrap_or(plan);
            }
        }
    };
    if let Err(error) = network::pass_rules_once() {
        // /proc/sys is read-only in some containers. All else works.
        tracing::warn!(vpc = %context.id, %error, "hosts cannot reach resources: set bridge-nf-call-iptables to 0");
    }
    let mut vpc = Vpc {
        context,
        namespace: Arc::new(namespace),
        netlink,
        network: Network::default(),
        hosts: Hosts::default(),
        resolv_conf: context.shared.options.run_dir.join(format!("{}{RESOLV_CONF}", context.id)),
        plan,
        state: NetworkState::Due,
        failures: 0,
        published: false,
        settled: None,
    };
    vpc.live();
    vpc.end();
}

/// How far the network is from its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NetworkState {
    Due,
    InForce,
    Failed { again: Instant },
}

struct Vpc<'a> {
    context: &'a Ended,
    namespace: Arc<Namespace>,
    netlink: Netlink,
    network: Network,
    hosts: Hosts,
    resolv_conf: PathBuf,
    plan: Versioned,
    state: NetworkState,
    failures: u32,
    /// Others can have sockets here.
    published: bool,
    /// The last revision that was reported as settled.
    settled: Option<u64>,
}

impl Vpc<'_> {
    fn live(&mut self) {
        let mailbox = self.context.mailbox.clone();
        loop {
            mailbox.silence();
            while let Some(request) = mailbox.take_request() {
                serve(request);
            }
            if mailbox.is_stopped() {
                return;
            }
            if let Some(plan) = mailbox.take_plan() {
                self.plan = plan;
                self.failures = 0;
                self.state = NetworkState::Due;
            }
            let now = Instant::now();
            match self.state {
                NetworkState::Failed { again } if again > now => {}
                NetworkState::InForce => {}
                NetworkState::Due | NetworkState::Failed { .. } => self.converge(),
            }
            if self.state == NetworkState::InForce {
                let (hosts, mut place) = self.hosts();
                hosts.advance(&mut place, now);
            }
            let blocked = self.state != NetworkState::InForce;
            if self.settled != Some(self.plan.revision) && self.hosts.are_settled(blocked) {
                self.settled = Some(self.plan.revision);
                self.context.shared.inbox.settled(self.context.id.clone(), self.plan.revision);
            }
            let retry = match self.state {
                NetworkState::Failed { again } => Some(again),
                _ => self.hosts.next_deadline(),
            };
            self.wait(retry);
        }
    }

    /// Brings the router to its plan, then tells the hosts of theirs.
    fn converge(&mut self) {
        let shared = &self.context.shared;
        let vpc = self.context.id.clone();
        let made = self
            .network
            .converge(&mut self.netlink, &shared.nft, &self.plan.plan)
            .map_err(|error| error.to_string());
        let made = made.and_then(|made| {
            self.write_resolv_conf()
                .map_err(|error| format!("write {}: {error}", self.resolv_conf.display()))?;
            Ok(made)
        });
        match made {
            Ok(made) => {
                self.failures = 0;
                self.state = NetworkState::InForce;
                if !self.published {
                    self.published = true;
                    let endpoint = Endpoint {
                        namespace: self.namespace.clone(),
                        mailbox: self.context.mailbox.clone(),
                        thread: nix::unistd::gettid().as_raw() as u32,
                    };
                    shared.sockets.add(vpc.clone(), endpoint);
                }
                shared.events.push(FabricEvent::VpcReady { vpc, revision: self.plan.revision });
                self.plan_hosts(&made);
            }
            Err(reason) => {
                self.failures += 1;
                self.state = NetworkState::Failed { again: Instant::now() + backoff(self.failures) };
                shared.events.push(FabricEvent::VpcFailed { vpc, reason });
                // Hosts that should go must go all the same.
                self.plan_hosts(&BTreeSet::new());
            }
        }
    }

    fn plan_hosts(&mut self, remade: &BTreeSet<String>) {
        let (hosts, mut place) = self.hosts();
        hosts.plan(&mut place, remade);
    }

    fn hosts(&mut self) -> (&mut Hosts, Place<'_>) {
        let place = Place {
            netlink: &mut self.netlink,
            namespace: &self.namespace,
            plan: &self.plan.plan,
            options: &self.context.shared.options,
            cgroups: &self.context.shared.cgroups,
            resolv_conf: &self.resolv_conf,
            events: &self.context.shared.events,
        };
        (&mut self.hosts, place)
    }

    /// Waits until something happens, but not beyond `until`, and lets hosts know what happened to them.
    fn wait(&mut self, until: Option<Instant>) {
        let longest = Duration::from_secs(60);
        let patience =
            until.map_or(longest, |until| until.saturating_duration_since(Instant::now()).min(longest));
        let ready: Vec<_> = {
            let (ids, mut descriptors): (Vec<_>, Vec<_>) = self
                .hosts
                .watched()
                .map(|(id, descriptor)| (id, PollFd::new(descriptor, PollFlags::POLLIN)))
                .unzip();
            descriptors.push(PollFd::new(self.context.mailbox.as_fd(), PollFlags::POLLIN));
            match poll(&mut descriptors, poll_timeout(patience)) {
                Ok(_) => {}
                Err(Errno::EINTR) => return,
                Err(error) => {
                    // Out of kernel memory, at worst; a pause keeps us from spinning.
                    tracing::warn!(vpc = %self.context.id, %error, "poll failed");
                    thread::sleep(Duration::from_millis(100));
                    return;
                }
            }
            let ready = |poll: &PollFd<'_>| poll.any().unwrap_or(false);
            ids.into_iter()
                .zip(&descriptors)
                .filter(|(_, poll)| ready(poll))
                .map(|(id, _)| id.clone())
                .collect()
        };
        for id in ready {
            let (hosts, mut place) = self.hosts();
            hosts.moved(&id, &mut place);
        }
    }

    /// The resolvers of this VPC's hosts, in a file that is put over their /etc/resolv.conf.
    fn write_resolv_conf(&self) -> io::Result<()> {
        let mut text = format!("nameserver {RESOLVER}\n");
        if let Some(resolver) = self.plan.plan.resolver() {
            text.push_str(&format!("nameserver {resolver}\n"));
        }
        if self.plan.plan.ipv6_cidr.is_some() {
            text.push_str(&format!("nameserver {RESOLVER_IPV6}\n"));
        }
        text.push_str("options timeout:2 attempts:2\n");
        // A host may have it mounted: it is rewritten in place, and only when it says something else.
        if fs::read(&self.resolv_conf).is_ok_and(|present| present == text.as_bytes()) {
            return Ok(());
        }
        fs::write(&self.resolv_conf, text)?;
        // Whoever is somebody else outside reads it, too.
        fs::set_permissions(&self.resolv_conf, fs::Permissions::from_mode(0o644))
    }

    /// Ends the hosts, then the router. The namespace goes with this thread.
    fn end(mut self) {
        self.context.shared.sockets.remove(&self.context.id);
        self.context.mailbox.close();
        let deadline = Instant::now() + PARTING;
        let (hosts, mut place) = self.hosts();
        hosts.remove_all(&mut place);
        while !self.hosts.is_empty() && Instant::now() < deadline {
            // Rung or not, the mailbox is of no interest any more.
            self.context.mailbox.silence();
            self.wait(Some(deadline));
        }
        if !self.hosts.is_empty() {
            tracing::warn!(vpc = %self.context.id, "hosts did not end in time; the kernel goes on with it");
        }
        if let Err(error) = Network::dismantle(&mut self.netlink) {
            tracing::warn!(vpc = %self.context.id, %error, "could not take a router apart");
        }
        // Never written when the VPC never came to be.
        let _ = fs::remove_file(&self.resolv_conf);
    }
}

/// Makes a socket here. Whoever asked may have stopped waiting; then it is closed again.
fn serve(request: SocketRequest) {
    match request {
        SocketRequest::Listen { addr, how, reply } => drop(reply.try_send(listen_here(addr, how))),
        SocketRequest::BindUdp { addr, reply } => drop(reply.try_send(bind_udp_here(addr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute() {
        let pauses: Vec<u64> = (0..10).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
