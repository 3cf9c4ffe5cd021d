//! What a VPC's router lets in and through: [`ruleset`] says it in nftables' words, [`install`] puts
//! it in force.

mod ruleset;

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::NetError;
use crate::process::{pidfd_open, wait_readable};

pub(crate) use ruleset::ruleset;

/// Looked through after `PATH`, which often lacks them for ordinary users.
const SYSTEM_DIRECTORIES: &str = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin";

/// How long one run of nft may take. It takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of nft's complaint is kept.
const COMPLAINT: u64 = 2048;

/// Where the nft program is.
pub(crate) fn find_nft() -> Result<PathBuf, NetError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(std::env::split_paths(SYSTEM_DIRECTORIES))
        .map(|directory| directory.join("nft"))
        .find(|file| file.is_file())
        .ok_or(NetError::NftMissing)
}

/// Puts `rules`, as `nft -f` reads them, in force in this network namespace.
///
/// # Errors
/// nft is missing, or refuses them; then nothing has changed.
pub fn install_rules(rules: &str) -> Result<(), NetError> {
    install(&find_nft()?, rules).map_err(NetError::system("install nftables rules"))
}

/// Puts `rules` in force, all or nothing, in the calling thread's network namespace. There is no moment without rules:
/// the kernel swaps old for new in one step.
pub(crate) fn install(nft: &Path, rules: &str) -> io::Result<()> {
    // A file, not a pipe: thousands of addresses are more than a pipe holds, and nft may be slow to read.
    let mut input = File::from(memfd_create("nftables", MFdFlags::MFD_CLOEXEC)?);
    input.write_all(rules.as_bytes())?;
    input.rewind()?;
    let mut child = Command::new(nft)
        .arg0("nft")
        .args(["-f", "-"])
        .env_clear()
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = pidfd_open(child.id()).and_then(|descriptor| wait_readable(descriptor.as_fd(), PATIENCE));
    if !matches!(ended, Ok(true)) {
        child.kill()?;
        child.wait()?;
        ended?;
        return Err(io::Error::new(io::ErrorKind::TimedOut, "nft did not end"));
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let mut complaint = String::new();
    if let Some(errors) = child.stderr.take() {
        // What cannot be read as text is not worth an error of its own.
        let _ = errors.take(COMPLAINT).read_to_string(&mut complaint);
    }
    Err(io::Error::other(format!("nft refused the rules: {}", complaint.trim())))
}
