//! The instance's side of the local socket.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use trellis_control::{Control, Instance, RunInstance};
use trellis_model::InstanceId;
use trellis_model::resource::vpc::{InstanceState, Sandbox};
use trellis_net::{Fabric, host};

use super::{Answer, Ask, Host, MAX_LINE, short_socket_path};
use crate::data_dir::Layout;
use crate::health::Health;
use crate::hosts::Hosts;

/// Commands served at once; one more waits.
const MAX_CONNECTIONS: usize = 256;

/// What answering needs.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) control: Control,
    pub(crate) fabric: Fabric,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) health: Arc<Health>,
    /// What commands in hosts find in their environment.
    pub(crate) environment: Arc<[(String, String)]>,
    /// The data directory.
    pub(crate) root: PathBuf,
}

/// Opens the socket, replacing one a killed instance left. The store's lock is held already, so
/// nobody else serves this directory.
pub(crate) fn bind(layout: &Layout) -> anyhow::Result<UnixListener> {
    let (_dir, path) = short_socket_path(layout)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", layout.socket().display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("cannot make {}", layout.socket().display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until dropped.
pub(crate) async fn serve(listener: Arc<UnixListener>, local: Local) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let local = local.clone();
                tokio::spawn(async move {
                    converse(stream, &local).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a local command");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers line by line, then removes the host that was to live as long as this connection.
async fn converse(stream: UnixStream, local: &Local) {
    // A host may share the machine's files, or have been given the data directory by another way than ours.
    let is_stranger = host::is_peer_inside(stream.as_fd()).unwrap_or(true);
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut attached: Option<InstanceId> = None;
    let mut line = String::new();
    loop {
        line.clear();
        let mut bounded = (&mut read).take(MAX_LINE);
        let reading = bounded.read_line(&mut line);
        if is_stranger {
            // It asks something, so that it hears why not; it may not hold a place for long.
            let asked = tokio::time::timeout(Duration::from_secs(1), reading).await;
            if matches!(asked, Ok(Ok(0))) {
                // A process that only looks whether somebody answers is gone before it can be seen.
                return;
            }
            tracing::warn!("refused a process of a host, or one that cannot be seen, on the local socket");
            let reason = "this socket is not for processes of hosts or of other process namespaces".into();
            let text =
                serde_json::to_string(&Answer::Refused { reason }).expect("answers are plain data") + "\n";
            let _ = tokio::time::timeout(Duration::from_secs(1), write.write_all(text.as_bytes())).await;
            return;
        }
        match reading.await {
            Ok(length) if length > 0 => {}
            _ => break,
        }
        let answer = match serde_json::from_str(&line) {
            Ok(ask) => answer(ask, local, &mut attached)
                .await
                .unwrap_or_else(|error| Answer::Refused { reason: format!("{error:#}") }),
            Err(error) => Answer::Refused { reason: format!("not a request this version knows: {error}") },
        };
        let mut text = serde_json::to_string(&answer).expect("answers are plain data");
        text.push('\n');
        if write.write_all(text.as_bytes()).await.is_err() {
            break;
        }
    }
    if let Some(instance) = attached {
        // Its command is over or its terminal is gone: nobody is left to be told.
        if let Err(error) = remove(instance.as_str(), local).await {
            tracing::debug!(%instance, %error, "host of a closed connection was gone already");
        }
    }
}

async fn answer(ask: Ask, local: &Local, attached: &mut Option<InstanceId>) -> anyhow::Result<Answer> {
    match ask {
        Ask::Run {
            subnet,
            name,
            ip,
            ipv6,
            security_groups,
            command,
            detached,
            database,
            instance_profile,
            sandbox,
        } => {
            refuse_own(&sandbox, &local.root)?;
            let instance = local
                .control
                .hosts()
                .run(RunInstance {
                    subnet,
                    name,
                    ip,
                    ipv6,
                    security_groups,
                    command,
                    detached,
                    database,
                    instance_profile,
                    sandbox,
                })
                .await?;
            if !detached {
                *attached = Some(instance.id.clone());
            }
            match local.hosts.ready(&instance.id).await {
                Ok(_) => Ok(Answer::Host(to_enter(&instance, local))),
                Err(error) => {
                    *attached = None;
                    // Half a host is no host.
                    local.control.hosts().terminate(instance.id.as_str()).await?;
                    Err(error.into())
                }
            }
        }
        Ask::Enter { host } => {
            let instance = find(&host, local)?;
            local.hosts.ready(&instance.id).await?;
            Ok(Answer::Host(to_enter(&instance, local)))
        }
        Ask::EnterVpc { vpc } => {
            let namespace = local.fabric.vpc_netns_path(&vpc).with_context(|| {
                format!("{vpc} does not exist on this machine: see `aws ec2 describe-vpcs`")
            })?;
            Ok(Answer::Router { namespace, server_pid: std::process::id() })
        }
        Ask::List => {
            Ok(Answer::Hosts { hosts: living(local)?.map(|instance| describe(&instance, local)).collect() })
        }
        Ask::Remove { host } => {
            remove(&host, local).await?;
            *attached = None;
            Ok(Answer::Removed)
        }
        Ask::Status => Ok(Answer::Status { parts: local.health.check().await.to_vec() }),
        #[cfg(debug_assertions)]
        Ask::Break { part, broken } => {
            anyhow::ensure!(crate::fault::set(&part, broken), "there is no part called {part}");
            Ok(Answer::Removed)
        }
        Ask::Account(ask) => Ok(Answer::Account(super::account::answer(ask, &local.control).await?)),
    }
}

/// Some of the data directory is lent to hosts of clusters, and nothing of it to others.
fn refuse_own(sandbox: &Sandbox, root: &Path) -> anyhow::Result<()> {
    let root = fs::canonicalize(root)?;
    for mount in &sandbox.mounts {
        let source = fs::canonicalize(&mount.source).unwrap_or_else(|_| mount.source.clone());
        if source.starts_with(&root) {
            bail!("mount {}: what is in the data directory is not for hosts", mount.source.display());
        }
    }
    Ok(())
}

/// Every host that is there or coming; those that go or are gone only the EC2 API shows.
fn living(local: &Local) -> anyhow::Result<impl Iterator<Item = Instance>> {
    let is_living =
        |instance: &Instance| matches!(instance.state, InstanceState::Pending | InstanceState::Running);
    Ok(local.control.hosts().list()?.into_iter().filter(is_living))
}

fn find(name: &str, local: &Local) -> anyhow::Result<Instance> {
    living(local)?
        .find(|instance| instance.name == name || instance.id.as_str() == name)
        .with_context(|| format!("no host is called {name}: see `trellis ps`"))
}

async fn remove(name: &str, local: &Local) -> anyhow::Result<()> {
    let instance = find(name, local)?;
    local.control.hosts().terminate(instance.id.as_str()).await?;
    local.hosts.gone(&instance.id).await?;
    Ok(())
}

/// With what whoever enters it needs besides.
fn to_enter(instance: &Instance, local: &Local) -> Host {
    Host { environment: local.environment.to_vec(), ..describe(instance, local) }
}

fn describe(instance: &Instance, local: &Local) -> Host {
    let state = local.hosts.state(&instance.id);
    Host {
        name: instance.name.clone(),
        instance: instance.id.to_string(),
        state: match (&state.failed, state.exited, state.pid) {
            (Some(reason), _, _) => format!("failed: {reason}"),
            (None, Some(code), _) => format!("exited ({code})"),
            (None, None, Some(_)) => "running".into(),
            (None, None, None) => "pending".into(),
        },
        ip: instance.address.to_string(),
        ipv6: instance.ipv6_address.map(|address| address.to_string()),
        vpc: instance.vpc.to_string(),
        subnet: instance.subnet.to_string(),
        detached: instance.detached,
        pid: state.pid,
        command: instance.command.clone(),
        environment: Vec::new(),
    }
}
