//! The fabric: every VPC and host of this process, kept as the latest plan says.

pub(crate) mod converger;
pub(crate) mod events;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use trellis_model::fabric::FabricPlan;
use trellis_model::id::{InstanceId, VpcId};

use crate::cgroup::Cgroups;
use crate::vpc::Shared;
use crate::{NetError, Sockets, firewall, probe, vpc};
use converger::Inbox;
use events::Events;

/// How long [`Fabric::shutdown`] waits for hosts and VPCs to end.
const PARTING: Duration = Duration::from_secs(15);

/// Where the fabric keeps its files.
#[derive(Debug, Clone)]
pub struct FabricOptions {
    /// Small files that mean nothing after the process has ended (resolv.conf of each VPC). Made when absent.
    pub run_dir: PathBuf,
    /// `NAME.log` for each host: what its command wrote, appended, and `NAME.log.1`, what was before. Made when absent.
    pub log_dir: PathBuf,
    /// Run with [`crate::host::INIT_ARGUMENT`] to become a host; must call [`crate::host::init_if_asked`] first thing.
    /// `/proc/self/exe` is this program, even when its file has been replaced meanwhile.
    pub init_program: PathBuf,
    /// Files of the machine that every host sees: where they are, and where a host finds them. One that is not there
    /// when a host is made is left out.
    pub shown: Vec<(PathBuf, PathBuf)>,
    /// Directories that no host sees, even where it is given what they are in.
    pub hidden: Vec<PathBuf>,
    /// Variables that every command of a host finds, unless the host says otherwise.
    pub environment: Vec<(String, String)>,
    /// Directories in those that a host may be given all the same: what is in them was put there for hosts.
    pub lent: Vec<PathBuf>,
}

impl FabricOptions {
    /// Hosts are this program.
    pub fn new(run_dir: impl Into<PathBuf>, log_dir: impl Into<PathBuf>) -> FabricOptions {
        FabricOptions {
            run_dir: run_dir.into(),
            log_dir: log_dir.into(),
            init_program: "/proc/self/exe".into(),
            shown: Vec::new(),
            hidden: Vec::new(),
            environment: Vec::new(),
            lent: Vec::new(),
        }
    }
}

/// What became of a plan, in the order it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FabricEvent {
    /// The VPC and its subnets are in force as of plan `revision`, sockets can be had; hosts report for themselves.
    /// Said again for each revision that changed the VPC.
    VpcReady { vpc: VpcId, revision: u64 },
    /// The VPC is not as planned. It is tried again after growing pauses, said each time.
    VpcFailed { vpc: VpcId, reason: String },
    /// Nothing of the VPC is left.
    VpcGone { vpc: VpcId },
    /// The host's network is up and its command, if any, is being started. `pid` is its first process, for
    /// [`crate::host::enter`]. Said again, with another pid, when the host was replaced.
    HostReady { instance: InstanceId, pid: u32 },
    /// The host could not be made, or its first process ended. It is tried again after growing pauses.
    HostFailed { instance: InstanceId, reason: String },
    /// Its command ended; the host stays. 128 + signal when a signal ended it, 127 when there is no such command, 126
    /// when it cannot be executed (the host's log says why).
    HostExited { instance: InstanceId, code: i32 },
    /// No process of the host is left.
    HostGone { instance: InstanceId },
    /// All of the plan with this revision has been acted on; what failed was said. Plans that a later one overtook
    /// are not reported.
    Converged { revision: u64 },
}

/// Owns every VPC and host namespace of this process. Cheap to clone. Dropping the last clone removes everything, as
/// [`Fabric::shutdown`] does; so does the end of the process, however it ends.
#[derive(Clone, Debug)]
pub struct Fabric {
    owner: Arc<Owner>,
}

#[derive(Debug)]
struct Owner {
    inbox: Arc<Inbox>,
    sockets: Sockets,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.inbox.shut_down(PARTING);
    }
}

impl Fabric {
    /// Checks the machine with [`crate::probe`] and starts with nothing in the fabric. Events wait for their reader;
    /// at more than 16,000 unread ones the fabric waits, too.
    ///
    /// # Errors
    /// What is missing on this machine, or a directory that cannot be made.
    pub fn start(options: FabricOptions) -> Result<(Fabric, mpsc::Receiver<FabricEvent>), NetError> {
        probe()?;
        for directory in [&options.run_dir, &options.log_dir] {
            fs::create_dir_all(directory)
                .map_err(NetError::system(format!("make directory {}", directory.display())))?;
        }
        // Hosts look at these paths from elsewhere.
        let real = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().map(|path| fs::canonicalize(path).unwrap_or(path.clone())).collect()
        };
        let options = FabricOptions {
            run_dir: fs::canonicalize(&options.run_dir)
                .map_err(NetError::system("find the run directory"))?,
            log_dir: fs::canonicalize(&options.log_dir)
                .map_err(NetError::system("find the log directory"))?,
            // One that is not there yet cannot be seen either; what is given to a host has its links followed, too.
            hidden: real(&options.hidden),
            lent: real(&options.lent),
            ..options
        };
        vpc::forget_former(&options.run_dir).map_err(NetError::system("clear the run directory"))?;
        let (events, receiver) = Events::start().map_err(NetError::system("start a thread"))?;
        let inbox = Arc::new(Inbox::default());
        let sockets = Sockets::default();
        let shared = Shared {
            options: Arc::new(options),
            cgroups: Arc::new(Cgroups::prepare()),
            nft: firewall::find_nft()?.into(),
            events,
            sockets: sockets.clone(),
            inbox: inbox.clone(),
        };
        thread::Builder::new()
            .name("fabric".into())
            .spawn(move || converger::run(shared))
            .map_err(NetError::system("start a thread"))?;
        Ok((Fabric { owner: Arc::new(Owner { inbox, sockets }) }, receiver))
    }

    /// Makes the kernel agree with `plan`, in the background. The latest plan wins; one with a lower revision than the
    /// last is ignored.
    pub fn apply(&self, plan: Arc<FabricPlan>) {
        self.owner.inbox.apply(plan);
    }

    /// Opens sockets inside the VPCs of this fabric.
    pub fn sockets(&self) -> Sockets {
        self.owner.sockets.clone()
    }

    /// The network namespace of a VPC that is in force, as `/proc/PID/task/TID/ns/net`, for
    /// [`crate::host::enter_network`]. [`None`] for any other.
    pub fn vpc_netns_path(&self, vpc: &VpcId) -> Option<PathBuf> {
        self.owner.sockets.netns_path(vpc)
    }

    /// Ends every host and VPC and waits for it, up to 15 seconds. Plans applied later do nothing. Returns whether all
    /// is gone; what is not goes with the process.
    pub fn shutdown(&self) -> bool {
        self.owner.inbox.shut_down(PARTING)
    }
}
