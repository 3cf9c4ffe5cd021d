//! The fabric: every VPC and host of this process.
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use trellis_model::fabric::FabricPlan;
use trellis_model::id::{InstanceId, VpcId};

use crate::{NetError, Sockets};

/// Where the fabric keeps its files.
#[derive(Debug, Clone)]
pub struct FabricOptions {
    /// Small files that mean nothing after the process has ended (resolv.conf of each VPC). Made when absent.
    pub run_dir: PathBuf,
    /// `NAME.log` of each host: what its command wrote. Made when absent.
    pub log_dir: PathBuf,
    /// Run with [`crate::host::INIT_ARGUMENT`] to become a host. Default: this program itself.
    pub init_program: PathBuf,
}

impl FabricOptions {
    pub fn new(run_dir: impl Into<PathBuf>, log_dir: impl Into<PathBuf>) -> FabricOptions {
        FabricOptions { run_dir: run_dir.into(), log_dir: log_dir.into(), init_program: "/proc/self/exe".into() }
    }
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FabricEvent {
    /// The VPC and its subnets are in force as of plan `revision`; hosts report for themselves.
    VpcReady { vpc: VpcId, revision: u64 },
    /// Tried again with growing pauses.
    VpcFailed { vpc: VpcId, reason: String },
    VpcGone { vpc: VpcId },
    /// The host's network is up and its command, if any, is being started. `pid` is its init, for [`crate::host::enter`].
    HostReady { instance: InstanceId, pid: u32 },
    /// Tried again with growing pauses.
    HostFailed { instance: InstanceId, reason: String },
    /// Its command ended; the host itself stays. 128 + signal when a signal ended it, 127 when there is no such command.
    HostExited { instance: InstanceId, code: i32 },
    HostGone { instance: InstanceId },
    /// All of the plan with this revision has been acted on; what failed was said.
    Converged { revision: u64 },
}

/// Owns every VPC and host namespace of this process. Cheap to clone; dropping the last clone removes everything.
#[derive(Clone, Debug)]
pub struct Fabric {
    sockets: Sockets,
}

impl Fabric {
    /// Starts with nothing in it, after [`crate::probe`].
    pub fn start(options: FabricOptions) -> Result<(Fabric, mpsc::Receiver<FabricEvent>), NetError> {
        let _ = options;
        let (_, events) = mpsc::channel(256);
        Ok((Fabric { sockets: Sockets }, events))
    }

    /// Makes the kernel agree with `plan`, in the background. The latest plan wins.
    pub fn apply(&self, plan: Arc<FabricPlan>) {
        let _ = plan;
    }

    pub fn sockets(&self) -> Sockets {
        self.sockets.clone()
    }

    /// `/proc/PID/task/TID/ns/net` of a VPC that exists, for [`crate::host::enter_vpc`].
    pub fn vpc_netns_path(&self, vpc: &VpcId) -> Option<PathBuf> {
        let _ = vpc;
        None
    }
}
