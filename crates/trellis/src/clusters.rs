//! Kubernetes clusters: `trellis-eks` keeps the books, `trellis-cluster` knows the programs, and here hosts of the VPC
//! come of it.
//!
//! ```text
//! DIR/clusters/ID/control       what the control plane's host is given
//! DIR/clusters/ID/nodes/NODE    what a node's host is given
//! DIR/images                    images for all nodes, which they may read
//! ```

mod authenticator;
mod drain;
mod machine;
mod node;
mod pod_identity;
mod serving;
mod webhook;

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use trellis_cluster::image::{ImageError, Images, Program};
use trellis_cluster::plan::Endpoint;
use trellis_cluster::relay::{self, Listener};
use trellis_cluster::{
    Client, ControlPlane, Programs, control_plane, dns, node as kubernetes_node, programs,
};
use trellis_control::eks::{ControlPlanePlan, Fault, Running};
use trellis_control::{Control, Instance, RunInstance};
use trellis_model::resource::lattice::Home;
use trellis_model::resource::vpc::{Limits, Mount, Sandbox};

use crate::data_dir::Layout;
use crate::hosts::Hosts;

/// The first argument of this program inside a host of a cluster; the second is the plan.
pub(crate) const HOST_ARGUMENT: &str = "cluster-host";

/// Where such a host finds this program.
const PROGRAM_IN_HOST: &str = "/opt/trellis/trellis";

/// How long an API server may take to be ready. It takes some seconds.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

/// Of the control plane's host.
const MEMORY_MIB: u64 = 2048;

/// Makes and ends clusters. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Clusters(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) control: Control,
    hosts: Arc<Hosts>,
    layout: Layout,
    /// The folder of Kubernetes' programs, whatever is in it.
    kubernetes: PathBuf,
    /// Ways into clusters, by their ids.
    doors: Mutex<HashMap<String, Door>>,
}

/// What is open for one cluster on the machine's side. Dropped, it is closed.
struct Door {
    address: SocketAddr,
    #[expect(dead_code, reason = "it ends what is in it when it is dropped")]
    tasks: JoinSet<()>,
    /// What answers the pods of nodes, by the nodes' ids.
    pods: HashMap<String, JoinSet<()>>,
    cluster: Cluster,
    /// An administrator of it.
    client: Client,
}

impl Door {
    /// Has the pods of the node that is kept in the directory `node` reach us for credentials.
    async fn serve_pods(&mut self, node: &Path) -> Result<(), Fault> {
        trellis_cluster::private_directory(&node.join("run")).map_err(Fault::new)?;
        let socket = Endpoint::unix(kubernetes_node::pod_identity_socket(node));
        let listener = Listener::open(&socket).await.map_err(Fault::new)?;
        let mut task = JoinSet::new();
        task.spawn(pod_identity::serve(listener, self.cluster.clone()));
        let id = node.file_name().unwrap_or_default().to_string_lossy();
        self.pods.insert(id.into_owned(), task);
        Ok(())
    }
}

/// A cluster, for who answers what is in it.
#[derive(Clone)]
struct Cluster {
    inner: Weak<Inner>,
    home: Home,
    name: String,
    id: String,
}

/// Carries out a plan inside a host if this process was started to. First thing in `main`.
pub(crate) fn host_if_asked() -> Option<std::process::ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != HOST_ARGUMENT {
        return None;
    }
    let plan = PathBuf::from(arguments.next().unwrap_or_default());
    if let Err(error) = trellis_cluster::runner::run(&plan) {
        crate::log::complain(&format!("{}: {error}", plan.display()));
    }
    Some(std::process::ExitCode::FAILURE)
}

/// Where `scripts/kubernetes` puts what it built last.
pub(crate) fn default_programs() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    cache.unwrap_or_else(|| PathBuf::from("/var/cache")).join("trellis/kubernetes/current")
}

impl Clusters {
    pub(crate) fn new(control: Control, hosts: Arc<Hosts>, layout: Layout, kubernetes: PathBuf) -> Self {
        Self(Arc::new(Inner { control, hosts, layout, kubernetes, doors: Mutex::default() }))
    }
}

impl Inner {
    fn directory(&self, cluster: &str) -> PathBuf {
        self.layout.clusters().join(cluster)
    }

    fn control_directory(&self, cluster: &str) -> PathBuf {
        self.directory(cluster).join("control")
    }

    fn programs(&self) -> Result<Programs, Fault> {
        Programs::find(&self.kubernetes).map_err(Fault::new)
    }

    /// An administrator of the cluster.
    async fn client(&self, cluster: &str) -> Result<Client, Fault> {
        match self.doors.lock().await.get(cluster) {
            Some(door) => Ok(door.client.clone()),
            None => Client::of(&self.control_directory(cluster)).map_err(Fault::new),
        }
    }

    async fn start(self: &Arc<Self>, plan: ControlPlanePlan) -> Result<Running, Fault> {
        let programs = self.programs()?;
        self.make_images(&programs).await?;
        let name = plan.group_name();
        let tags = [
            ("Name".to_owned(), name.clone()),
            (format!("kubernetes.io/cluster/{}", plan.name), "owned".to_owned()),
        ];
        let tags = tags.into_iter().collect();
        let group = self.control.hosts().cluster_group(&plan.home, &plan.vpc, &name, &tags).await;
        let group = group.map_err(Fault::new)?;
        let directory = self.control_directory(&plan.id);
        let instance = match self.host(&suffix(&plan.id))? {
            Some(known) => known,
            None => {
                let spec = HostSpec {
                    name: host_name("eks", &plan.name, &plan.id),
                    subnet: plan.subnets[0].to_string(),
                    groups: [group.to_string()].into_iter().chain(plan.security_groups.clone()).collect(),
                    given: vec![(directory.clone(), control_plane::IN_HOST, false)],
                    memory_mib: MEMORY_MIB,
                    is_privileged: false,
                };
                self.make_host(&programs, &directory, control_plane::IN_HOST, spec).await?
            }
        };
        let control_plane = ControlPlane {
            directory: directory.clone(),
            address: instance.address,
            service_cidr: plan.service_cidr.clone(),
            service_address: plan.service_address,
            issuer: plan.issuer.clone(),
            names: vec![instance.private_dns_name()],
        };
        let keys = blocking(move || control_plane.prepare(jiff::Timestamp::now())).await?.to_string();
        self.hosts.ready(&instance.id).await.map_err(Fault::new)?;
        let endpoint = self.open(&plan).await?;
        self.wait_until_ready(&plan.id, &instance).await?;
        let authority = fs::read(control_plane::authority_file(&directory)).map_err(Fault::new)?;
        let client = self.client(&plan.id).await?;
        let objects = dns::objects(dns::address(plan.service_address));
        for (path, object) in std::iter::once(webhook::configuration(&authority)).chain(objects) {
            client.apply(&path, &object).await.map_err(Fault::new)?;
        }
        Ok(Running {
            endpoint,
            private_endpoint: control_plane::url(instance.address),
            certificate_authority: base64_of(&authority),
            security_group: group.to_string(),
            instance: instance.id,
            address: instance.address,
            keys,
        })
    }

    async fn wait_until_ready(&self, cluster: &str, instance: &Instance) -> Result<(), Fault> {
        let client = self.client(cluster).await?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !client.is_ready().await {
            if let Some(code) = self.hosts.state(&instance.id).exited {
                let log = self.layout.host_logs().join(format!("{}.log", instance.name));
                return Err(Fault::new(format_args!(
                    "what runs its programs ended ({code}); see {}",
                    log.display()
                )));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Fault::new(format_args!(
                    "the API server is not ready after {} seconds; see {}",
                    PATIENCE.as_secs(),
                    self.layout.host_logs().join(format!("{}.log", instance.name)).display()
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Has the machine reach the API server, and the API server us. The URL is the one there was before, where its port is
    /// free still.
    async fn open(self: &Arc<Self>, plan: &ControlPlanePlan) -> Result<String, Fault> {
        let mut doors = self.doors.lock().await;
        if let Some(door) = doors.get(&plan.id) {
            return Ok(url(door.address));
        }
        let directory = self.control_directory(&plan.id);
        let client = Client::of(&directory).map_err(Fault::new)?;
        let sockets = control_plane::Sockets::of(&directory);
        let before = plan.before.as_ref();
        let former = before.and_then(|before| before.endpoint.rsplit_once(':')?.1.parse::<u16>().ok());
        let listener = match former {
            Some(port) => match tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                Ok(listener) => Ok(listener),
                Err(_) => tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
            },
            None => tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
        };
        let listener = listener.map_err(Fault::new)?;
        let address = listener.local_addr().map_err(Fault::new)?;
        let questions = Listener::open(&Endpoint::unix(sockets.authenticator)).await.map_err(Fault::new)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(relay::serve(Listener::Tcp(listener), Endpoint::unix(sockets.api)));
        let cluster = Cluster {
            inner: Arc::downgrade(self),
            home: plan.home.clone(),
            name: plan.name.clone(),
            id: plan.id.clone(),
        };
        tasks.spawn(authenticator::serve(questions, cluster.clone()));
        let webhooks = Listener::open(&Endpoint::unix(sockets.webhook)).await.map_err(Fault::new)?;
        tasks.spawn(webhook::serve(webhooks, webhook::tls(&directory)?, cluster.clone()));
        let nodes = self.directory(&plan.id).join("nodes");
        let mut door = Door { address, tasks, pods: HashMap::new(), cluster, client };
        for node in fs::read_dir(&nodes).into_iter().flatten().flatten() {
            door.serve_pods(&node.path()).await?;
        }
        doors.insert(plan.id.clone(), door);
        Ok(url(address))
    }

    async fn stop(&self, plan: &ControlPlanePlan) -> Result<(), Fault> {
        self.doors.lock().await.remove(&plan.id);
        if let Some(instance) = self.host(&suffix(&plan.id))? {
            self.end_host(&instance).await?;
        }
        remove_directory(self.directory(&plan.id)).await?;
        // By its name: a cluster that never ran has one too, and would keep its VPC for ever.
        let gone = self.control.hosts().forget_cluster_group(&plan.home, &plan.vpc, &plan.group_name()).await;
        gone.map_err(Fault::new)
    }

    /// A living host whose name ends so.
    fn host(&self, suffix: &str) -> Result<Option<Instance>, Fault> {
        let all = self.control.hosts().list().map_err(Fault::new)?;
        Ok(all.into_iter().find(|instance| instance.state.is_wanted() && instance.name.ends_with(suffix)))
    }

    async fn end_host(&self, instance: &Instance) -> Result<(), Fault> {
        self.control.hosts().terminate(instance.id.as_str()).await.map_err(Fault::new)?;
        self.hosts.gone(&instance.id).await.map_err(Fault::new)
    }

    /// Makes a host that waits for its plan. A plan that an earlier one left is not for it.
    async fn make_host(
        &self,
        programs: &Programs,
        directory: &Path,
        in_host: &str,
        spec: HostSpec,
    ) -> Result<Instance, Fault> {
        let plan = control_plane::plan_file(directory);
        let made = directory.to_owned();
        blocking(move || {
            trellis_cluster::private_directory(&made)?;
            match fs::remove_file(&plan) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
        .await?;
        let own = std::env::current_exe().map_err(Fault::new)?;
        let given = spec
            .given
            .into_iter()
            .chain([(programs.folder.clone(), programs::IN_HOST, true), (own, PROGRAM_IN_HOST, true)]);
        let mounts = given.map(|(source, target, is_read_only)| Mount {
            source,
            target: PathBuf::from(target),
            is_read_only,
        });
        let plan_in_host = control_plane::plan_file(Path::new(in_host));
        let run = RunInstance {
            subnet: spec.subnet,
            name: spec.name,
            ip: None,
            ipv6: None,
            security_groups: spec.groups,
            command: vec![
                PROGRAM_IN_HOST.to_owned(),
                HOST_ARGUMENT.to_owned(),
                plan_in_host.display().to_string(),
            ],
            detached: true,
            database: None,
            instance_profile: None,
            sandbox: Sandbox {
                is_privileged: spec.is_privileged,
                mounts: mounts.collect(),
                limits: Limits { memory_mib: spec.memory_mib, processes: 16_384, ..Limits::default() },
                ..Sandbox::default()
            },
        };
        self.control.hosts().run(run).await.map_err(Fault::new)
    }

    /// The image of every pod's first process and that of cluster DNS, for machines that reach no registry.
    async fn make_images(&self, programs: &Programs) -> Result<(), Fault> {
        let images = Images::at(self.layout.images());
        let folder = programs.folder.join("images");
        blocking(move || {
            for (program, name) in [("pause", kubernetes_node::PAUSE), ("coredns", dns::IMAGE)] {
                images.build(name, &Program { path: folder.join(program), ..Program::default() })?;
            }
            Ok::<_, ImageError>(())
        })
        .await
    }
}

/// A host of a cluster that is to be.
struct HostSpec {
    name: String,
    subnet: String,
    groups: Vec<String>,
    /// Where on the machine, where in the host, and whether it is only to read.
    given: Vec<(PathBuf, &'static str, bool)>,
    memory_mib: u64,
    is_privileged: bool,
}

/// `eks-NAME-ID`: what people know it by, and what tells it from all others.
fn host_name(kind: &str, name: &str, id: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(30).collect();
    format!("{kind}-{}{}", plain.trim_matches('-'), suffix(id)).replace("--", "-")
}

/// How the name of a cluster's or a node's host ends.
fn suffix(id: &str) -> String {
    format!("-{}", &id[..12].to_lowercase())
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

async fn remove_directory(path: PathBuf) -> Result<(), Fault> {
    blocking(move || match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
    .await
}

/// Work that may wait for a disk, off the threads that serve calls.
async fn blocking<T: Send + 'static, E: std::error::Error + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|error| Fault::new(with_causes(&error))),
        Err(error) => Err(Fault::new(error)),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
