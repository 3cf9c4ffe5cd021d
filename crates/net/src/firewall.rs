//! What a VPC's router lets in, as an nftables ruleset.
//!
//! Stateless on purpose: the router's own connections leave from the link-local block they are
//! answered to, so no rule needs connection tracking, and its cost on each packet is saved.
//! Sources need no rule either: reverse-path filtering on the bridges drops forged ones.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::NetError;
use crate::process::{pidfd_open, wait_readable};

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

/// The rules of a VPC whose resolver answers at `resolvers`.
pub(crate) fn ruleset(resolvers: &[Ipv4Addr]) -> String {
    let resolvers = resolvers.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    // The busiest rule first: requests to services, and what targets answer to the proxy.
    format!(
        "table inet trellis\n\
         delete table inet trellis\n\
         table inet trellis {{\n\
         chain input {{\n\
         type filter hook input priority filter; policy drop;\n\
         ip daddr {SERVICE_BLOCK} meta l4proto tcp accept\n\
         ip daddr {{ {resolvers} }} meta l4proto {{ tcp, udp }} th dport 53 accept\n\
         iifname \"lo\" accept\n\
         ip protocol icmp accept\n\
         meta l4proto tcp reject with tcp reset\n\
         meta nfproto ipv4 reject with icmpx type admin-prohibited\n\
         }}\n\
         }}\n",
        SERVICE_BLOCK = crate::vpc::network::SERVICE_BLOCK,
    )
}

/// Puts `rules` in force, all or nothing, in the calling thread's network namespace.
pub(crate) fn install(nft: &Path, rules: &str) -> io::Result<()> {
    let mut child = Command::new(nft)
        .arg0("nft")
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // Far below a pipe's 64 KiB, so this cannot wait for a reader. Dropping the pipe ends the input.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(rules.as_bytes()));
    let ended = pidfd_open(child.id()).and_then(|descriptor| wait_readable(descriptor.as_fd(), PATIENCE));
    if !matches!(ended, Ok(true)) {
        child.kill()?;
        child.wait()?;
        ended?;
        return Err(io::Error::new(io::ErrorKind::TimedOut, "nft did not end"));
    }
    let status = child.wait()?;
    if status.success() {
        return written;
    }
    let mut complaint = String::new();
    if let Some(errors) = child.stderr.take() {
        // What cannot be read as text is not worth an error of its own.
        let _ = errors.take(COMPLAINT).read_to_string(&mut complaint);
    }
    Err(io::Error::other(format!("nft refused the rules: {}", complaint.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_name_both_resolvers_and_end_in_refusal() {
        let rules = ruleset(&[Ipv4Addr::new(169, 254, 169, 253), Ipv4Addr::new(10, 0, 0, 2)]);
        assert!(rules.contains("{ 169.254.169.253, 10.0.0.2 }"), "{rules}");
        assert!(rules.contains("policy drop"));
        assert!(rules.contains("ip daddr 169.254.171.0/24"));
    }
}
