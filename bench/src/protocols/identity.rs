//! The certificate every candidate shows: one key, one self-signed certificate, made for the run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::process;

/// The name in it, of the service that terminates TLS.
pub(super) const HOST: &str = "tls.bench.example";
/// The name of the service whose TLS passes through.
pub(super) const PASSED: &str = "passed.bench.example";

/// Files in PEM.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    /// PKCS #8.
    pub(super) key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(super) both: PathBuf,
}

/// Makes one with a P-256 key, the kind measured most.
pub(super) fn make(dir: &Path) -> anyhow::Result<Identity> {
    let identity = Identity {
        certificate: dir.join("bench.crt"),
        key: dir.join("bench.key"),
        both: dir.join("bench.pem"),
    };
    let mut command = Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={HOST}"), "-addext", &format!("subjectAltName=DNS:{HOST}")])
        .arg("-keyout")
        .arg(&identity.key)
        .arg("-out")
        .arg(&identity.certificate);
    process::output(&mut command).context("making a certificate")?;
    let mut both = std::fs::read(&identity.certificate)?;
    both.extend(std::fs::read(&identity.key)?);
    std::fs::write(&identity.both, both)?;
    Ok(identity)
}
