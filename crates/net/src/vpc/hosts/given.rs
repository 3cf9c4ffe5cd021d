//! What of the machine's file system a host is given: taken here, by us, who may read it; put up by the host's first
//! process, which need not find it.

use std::fs::{self, File};
use std::path::Path;

use trellis_model::fabric::HostPlan;

use super::Place;
use crate::host::control::Given;
use crate::host::sandbox::seen_at;
use crate::mount_tree::{PLAIN, Tree};

/// The pieces for `host`, whose first process is `pid`, and where each goes: its resolv.conf first.
pub(super) fn trees(host: &HostPlan, pid: u32, place: &Place<'_>) -> Result<(Vec<Tree>, Vec<Given>), String> {
    let mut trees = Vec::new();
    let mut given = Vec::new();
    let resolv_conf = (place.resolv_conf, Path::new("/etc/resolv.conf"));
    let shown = place.options.shown.iter().map(|(source, target)| (source.as_path(), target.as_path()));
    for (source, target) in [resolv_conf].into_iter().chain(shown) {
        if !source.exists() {
            continue;
        }
        let tree = Tree::of(source).and_then(|tree| {
            tree.restrict(PLAIN | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_RDONLY)?;
            Ok(tree)
        });
        trees.push(tree.map_err(|error| format!("show {}: {error}", source.display()))?);
        given.push(Given { target: target.to_owned(), hidden: Vec::new() });
    }
    for mount in &host.sandbox.mounts {
        let because = |error: std::io::Error| format!("mount {}: {error}", mount.source.display());
        // Where links lead decides what is in it.
        let source = fs::canonicalize(&mount.source).map_err(because)?;
        let is_below =
            |directories: &[std::path::PathBuf]| directories.iter().any(|known| source.starts_with(known));
        if is_below(&place.options.hidden) && !is_below(&place.options.lent) {
            return Err(format!(
                "mount {}: what is in the data directory is not for hosts",
                source.display()
            ));
        }
        let hidden = place.options.hidden.iter().filter_map(|hidden| seen_at(hidden, &source, &mount.target));
        let tree = Tree::of(&source).map_err(because)?;
        let read_only = if mount.is_read_only { libc::MOUNT_ATTR_RDONLY } else { 0 };
        tree.restrict(PLAIN | read_only).map_err(because)?;
        if !host.sandbox.shares_filesystem {
            let users = File::open(format!("/proc/{pid}/ns/user")).map_err(because)?;
            // Who is not root may not, and need not: the host's root is then that very user. Nor do all file systems
            // know how; there the host is told from the owners.
            if let Err(error) = tree.map_ids(std::os::fd::AsFd::as_fd(&users)) {
                tracing::debug!(host = %host.name, source = %source.display(), %error, "owners are shown as they are");
            }
        }
        trees.push(tree);
        given.push(Given { target: mount.target.clone(), hidden: hidden.collect() });
    }
    Ok((trees, given))
}
