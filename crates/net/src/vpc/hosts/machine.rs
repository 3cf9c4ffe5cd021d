//! One host: how far it is, and its side and ours of its network.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use trellis_model::fabric::{HostPlan, SubnetPlan, VpcPlan};

use super::first_process::Process;
use super::{Place, given, ids};
use crate::cgroup::HostCgroup;
use crate::fabric::FabricEvent;
use crate::host::control::{Control, HostConfig, Report};
use crate::host::output;
use crate::host::{INIT_ARGUMENT, base_environment};
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::netlink::address::Address;
use crate::netlink::link::{Peer, mac_of};
use crate::netlink::route::Route;
use crate::vpc::backoff;
use crate::vpc::network::{bridge_name, ipv6_gateway, port_name};

/// A host that ran this long has earned a quick restart.
const STEADY: Duration = Duration::from_secs(60);

/// The longest host name Linux takes.
const LONGEST_NAME: usize = 64;

/// The interface inside a host.
const INTERFACE: &str = "eth0";

/// Variables of our environment that a command may see. Ours can hold keys.
const ENVIRONMENT: [&str; 5] = ["TERM", "TZ", "LANG", "LC_ALL", "LC_CTYPE"];

/// Those that mean something where the machine's files are.
const OF_THE_MACHINE: [&str; 5] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL"];

#[derive(Debug)]
pub(super) enum State {
    /// To be started, not before this time.
    Waiting {
        from: Instant,
    },
    Starting {
        process: Process,
        deadline: Instant,
    },
    Running {
        process: Process,
        since: Instant,
    },
    /// Killed; waiting for the kernel to be done with it.
    Ending {
        process: Process,
        next: Next,
    },
}

/// What follows when a host's process has ended.
#[derive(Debug)]
pub(super) enum Next {
    Gone,
    /// As its plan now says, after a pause when it failed.
    Again {
        pause: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) plan: HostPlan,
    pub(super) state: State,
    /// How often in a row it could not be made or kept.
    pub(super) failures: u32,
    /// Of the processes there are now.
    pub(super) cgroup: Option<HostCgroup>,
    /// Secondary addresses that lead to it now; none while it is not plugged in.
    secondary: BTreeSet<Ipv4Addr>,
    is_plugged: bool,
}

impl Host {
    pub(super) fn new(plan: HostPlan, state: State) -> Self {
        Self { plan, state, failures: 0, cgroup: None, secondary: BTreeSet::new(), is_plugged: false }
    }

    /// The first step: a process that makes the namespaces.
    pub(super) fn start(&self, place: &Place<'_>) -> Result<Process, String> {
        let because = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| format!("{what}: {error}")
        };
        self.subnet(place.plan)?;
        let name = &self.plan.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('.') || !name.chars().all(plain) {
            return Err(format!(
                "{:?} is not a host name",
                name.chars().take(LONGEST_NAME).collect::<String>()
            ));
        }
        let path = place.options.log_dir.join(format!("{name}.log"));
        let open = because(&format!("open {}", path.display()));
        let output = output::into_file(path).map_err(open)?;
        let (control, theirs) = Control::pair().map_err(because("make a socket pair"))?;
        let mut starter = Command::new(&place.options.init_program);
        let ours = |names: &[&'static str]| -> Vec<(&'static str, OsString)> {
            names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect()
        };
        starter.arg0("trellis").arg(INIT_ARGUMENT).arg(name).env_clear().envs(ours(&ENVIRONMENT));
        if self.plan.sandbox.shares_filesystem {
            starter.envs(ours(&OF_THE_MACHINE));
        } else {
            starter.envs(base_environment());
        }
        starter.envs(place.options.environment.iter().map(|(name, value)| (name, value)));
        let starter = starter
            .stdin(theirs)
            .stdout(output.try_clone().map_err(because("share the log"))?)
            .stderr(output)
            .spawn()
            .map_err(because(&format!("run {}", place.options.init_program.display())))?;
        Ok(Process { control, starter: Some(starter), init: None })
    }

    /// The host's subnet, in which its addresses must be.
    fn subnet<'a>(&self, plan: &'a VpcPlan) -> Result<&'a SubnetPlan, String> {
        let HostPlan { subnet, address, ipv6_address, .. } = &self.plan;
        let subnet = plan.subnets.get(subnet).ok_or_else(|| format!("{subnet} is not in {}", plan.id))?;
        if !subnet.cidr.contains(address) || subnet.gateway() == *address {
            return Err(format!("{address} is not a host's address in {}", subnet.cidr));
        }
        if let Some(address) = ipv6_address {
            let is_inside = subnet.ipv6_cidr.is_some_and(|cidr| cidr.contains(address));
            if !is_inside || subnet.ipv6_gateway() == Some(*address) {
                return Err(format!("{address} is not a host's address in {}", subnet.id));
            }
        }
        Ok(subnet)
    }

    pub(super) fn reported(&mut self, report: Report, place: &mut Place<'_>) {
        let id = self.plan.id.clone();
        match (report, &mut self.state) {
            (Report::Made { pid }, State::Starting { process, .. }) if process.init.is_none() => {
                if let Err(reason) = self.made(pid, place) {
                    self.fail(place, reason);
                }
            }
            (Report::Ready, State::Starting { process, .. }) if process.init.is_some() => {
                let pid = process.init.as_ref().map_or(0, |(pid, _)| *pid);
                let waiting = State::Waiting { from: Instant::now() };
                if let State::Starting { process, .. } = std::mem::replace(&mut self.state, waiting) {
                    self.state = State::Running { process, since: Instant::now() };
                }
                tracing::debug!(instance = %id, name = %self.plan.name, pid, "host ready");
                place.events.push(FabricEvent::HostReady { instance: id, pid });
            }
            (Report::Exited { code }, State::Running { .. }) => {
                place.events.push(FabricEvent::HostExited { instance: id, code });
            }
            (Report::Failed { reason }, State::Starting { .. }) => self.fail(place, reason),
            (report, _) => self.fail(place, format!("its first process reported {report:?} out of turn")),
        }
    }

    /// The second step: the namespaces exist. Gives them users and a network, then the word to go on.
    fn made(&mut self, pid: u32, place: &mut Place<'_>) -> Result<(), String> {
        let State::Starting { process, .. } = &mut self.state else { return Ok(()) };
        process.adopt(pid).map_err(|error| format!("take charge of process {pid}: {error}"))?;
        let sandbox = &self.plan.sandbox;
        let root = ids::map(pid, &self.plan.id, sandbox)
            .map_err(|error| format!("map users into the host: {error}"))?;
        let owner = sandbox.is_privileged.then_some(root);
        let group = place
            .cgroups
            .make(self.plan.id.as_str(), &sandbox.limits, owner)
            .map_err(|error| error.to_string())?;
        let placed = group.add(pid).map_err(|error| format!("put the host into its cgroup: {error}"));
        let memory_by_process = !group.limits_memory;
        self.cgroup = Some(group);
        placed?;
        let namespace =
            Namespace::of_process(pid).map_err(|error| format!("open the host's network: {error}"))?;
        self.plug(&namespace, place)?;
        self.is_plugged = true;
        self.take_up(place);
        let State::Starting { process, .. } = &self.state else { return Ok(()) };
        let (trees, given) = given::trees(&self.plan, pid, place)?;
        let config = HostConfig {
            name: self.plan.name.clone(),
            addresses: addresses(&self.plan).collect(),
            command: self.plan.command.clone(),
            sandbox: self.plan.sandbox.clone(),
            trees: given,
            memory_by_process,
        };
        let trees: Vec<_> = trees.iter().map(AsFd::as_fd).collect();
        process.control.send_config(&config, &trees).map_err(|error| format!("configure the host: {error}"))
    }

    /// Lays the cable from the host to its subnet's bridge and configures both ends.
    fn plug(&self, namespace: &Namespace, place: &mut Place<'_>) -> Result<(), String> {
        let subnet = self.subnet(place.plan)?;
        let address = self.plan.address;
        let mac = mac_of(address);
        let port = port_name(&self.plan.id);
        let bridge = bridge_name(&subnet.id);
        let mut lay = || {
            let netlink = &mut *place.netlink;
            netlink.delete_link(&port)?;
            let peer = Peer { name: INTERFACE, mac, namespace: namespace.as_fd() };
            let bridge = netlink.link_index(&bridge)?;
            netlink.add_veth(&port, Some(bridge), &peer)?;
            let index = netlink.link_index(&port)?;
            netlink.set_no_ipv6_address(index)?;
            netlink.set_port_locked(index)?;
            netlink.add_port_mac(index, mac)?;
            netlink.set_up(index)
        };
        lay().map_err(|error| error.to_string())?;
        let mut inside = namespace
            .visit(place.namespace, Netlink::open)
            .map_err(|error| format!("enter the host's network: {error}"))?;
        configure(&mut inside, &self.plan, subnet).map_err(|error| error.to_string())?;
        let mut light = || {
            let netlink = &mut *place.netlink;
            netlink.settle(&port, false)?;
            netlink.settle(&bridge, true)?;
            let bridge = netlink.link_index(&bridge)?;
            for address in addresses(&self.plan) {
                netlink.add_neighbour(bridge, address, mac)?;
            }
            // A bridge that was set down has lost it.
            if let Some(network) = ipv6_gateway(subnet) {
                netlink.keep_address(&Address { link: bridge, network })?;
            }
            inside.settle(INTERFACE, false)
        };
        light().map_err(|error| error.to_string())
    }

    /// What the plan no longer gives it does not lead to it from now on.
    pub(super) fn let_go(&mut self, place: &mut Place<'_>) {
        let wanted: BTreeSet<_> = place.plan.secondary_addresses(&self.plan.id).collect();
        let surplus = self.secondary.difference(&wanted).copied().collect();
        self.secondary.retain(|address| wanted.contains(address));
        self.lead(place, &surplus, false);
    }

    /// What the plan gives it leads to it from now on.
    pub(super) fn take_up(&mut self, place: &mut Place<'_>) {
        if !self.is_plugged {
            return;
        }
        let wanted: BTreeSet<_> = place.plan.secondary_addresses(&self.plan.id).collect();
        let missing = wanted.difference(&self.secondary).copied().collect();
        self.secondary.extend(&wanted);
        self.lead(place, &missing, true);
    }

    /// Has the router send what is for `addresses` to the host, or no longer. A privileged host gives them to whom it
    /// likes, its pods; every other finds them on its interface, as it may not put them there.
    fn lead(&self, place: &mut Place<'_>, addresses: &BTreeSet<Ipv4Addr>, comes: bool) {
        if addresses.is_empty() {
            return;
        }
        let mac = mac_of(self.plan.address);
        let mut lead = || {
            let subnet = self.subnet(place.plan)?;
            let because = |error: crate::netlink::NetlinkError| error.to_string();
            let bridge = place.netlink.link_index(&bridge_name(&subnet.id)).map_err(because)?;
            for address in addresses {
                match comes {
                    true => place.netlink.add_neighbour(bridge, (*address).into(), mac),
                    false => place.netlink.delete_neighbour(bridge, (*address).into()),
                }
                .map_err(because)?;
            }
            let (State::Starting { process, .. } | State::Running { process, .. }) = &self.state else {
                return Ok(());
            };
            let Some((pid, _)) = process.init.as_ref().filter(|_| !self.plan.sandbox.is_privileged) else {
                return Ok(());
            };
            let entered = |error: io::Error| format!("enter the host's network: {error}");
            let inside = Namespace::of_process(*pid).map_err(entered)?;
            let mut inside = inside.visit(place.namespace, Netlink::open).map_err(entered)?;
            let link = inside.link_index(INTERFACE).map_err(because)?;
            for address in addresses {
                let network = Ipv4Net::new_assert(*address, subnet.cidr.prefix_len()).into();
                match comes {
                    true => inside.keep_address(&Address { link, network }),
                    false => inside.delete_address(&Address { link, network }),
                }
                .map_err(because)?;
            }
            Ok::<_, String>(())
        };
        if let Err(error) = lead() {
            // What leads nowhere harms nobody: the rules for its packets follow the plan.
            tracing::warn!(instance = %self.plan.id, %error, "secondary addresses of a host are not as planned");
        }
    }

    /// Takes the cable away, so that nothing of the host is reached from now on.
    pub(super) fn unplug(&mut self, place: &mut Place<'_>) {
        self.is_plugged = false;
        let secondary = std::mem::take(&mut self.secondary);
        let mut take = || {
            place.netlink.delete_link(&port_name(&self.plan.id))?;
            if let Ok(bridge) = place.netlink.link_index(&bridge_name(&self.plan.subnet)) {
                let own = addresses(&self.plan);
                for address in own.chain(secondary.iter().copied().map(IpAddr::from)) {
                    place.netlink.delete_neighbour(bridge, address)?;
                }
            }
            Ok::<_, crate::netlink::NetlinkError>(())
        };
        if let Err(error) = take() {
            // The link goes with the host's namespace in any case.
            tracing::warn!(instance = %self.plan.id, %error, "could not unplug a host");
        }
    }

    /// Reports why and tries again after a pause.
    pub(super) fn fail(&mut self, place: &mut Place<'_>, reason: String) {
        if matches!(self.state, State::Running { since, .. } if since.elapsed() >= STEADY) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.unplug(place);
        self.end(Next::Again { pause: backoff(self.failures) });
        place.events.push(FabricEvent::HostFailed { instance: self.plan.id.clone(), reason });
    }

    /// Lets go of a starter that gives no sign of life. Anything it has made sees the control socket close, and ends.
    pub(super) fn abandon(&mut self) {
        let waiting = State::Waiting { from: Instant::now() };
        if let State::Starting { mut process, .. } = std::mem::replace(&mut self.state, waiting)
            && let Err(error) = process.end_starter()
        {
            tracing::warn!(instance = %self.plan.id, %error, "could not end a starter");
        }
    }

    /// Kills what there is of it and says what comes next.
    pub(super) fn end(&mut self, next: Next) {
        let pause = match next {
            Next::Again { pause } => pause,
            Next::Gone => Duration::ZERO,
        };
        let waiting = State::Waiting { from: Instant::now() + pause };
        match std::mem::replace(&mut self.state, waiting) {
            State::Waiting { .. } => {}
            State::Starting { process, .. }
            | State::Running { process, .. }
            | State::Ending { process, .. } => {
                if let Err(error) = process.kill() {
                    tracing::warn!(instance = %self.plan.id, %error, "could not kill a host");
                }
                self.state = State::Ending { process, next };
            }
        }
    }
}

/// A host's addresses, of one family or of both.
fn addresses(host: &HostPlan) -> impl Iterator<Item = IpAddr> {
    [Some(host.address.into()), host.ipv6_address.map(IpAddr::from)].into_iter().flatten()
}

/// The host's side of its network. Of IPv6 it knows itself and its router, as in EC2: hosts of one subnet do not hear
/// each other, and there is nothing that would answer neighbour discovery for them as the router does ARP.
fn configure(
    netlink: &mut Netlink,
    host: &HostPlan,
    subnet: &SubnetPlan,
) -> Result<(), crate::netlink::NetlinkError> {
    let loopback = netlink.link_index("lo")?;
    netlink.set_up(loopback)?;
    let link = netlink.link_index(INTERFACE)?;
    netlink.set_no_ipv6_address(link)?;
    let network = Ipv4Net::new_assert(host.address, subnet.cidr.prefix_len()).into();
    netlink.add_address(&Address { link, network })?;
    netlink.set_up(link)?;
    netlink.add_route(&Route::DefaultVia { gateway: subnet.gateway().into(), link })?;
    let (Some(address), Some(gateway)) = (host.ipv6_address, subnet.ipv6_gateway()) else { return Ok(()) };
    netlink.add_address(&Address { link, network: IpNet::from(IpAddr::from(address)) })?;
    netlink.add_neighbour(link, gateway.into(), mac_of(subnet.gateway()))?;
    netlink.add_route(&Route::DefaultVia { gateway: gateway.into(), link })
}
