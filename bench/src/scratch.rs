//! A directory for what one run of the benchmark leaves behind, gone with it.
//!
//! Not the `tempfile` crate: it asks `rustix` for features the product does not use, and everything above
//! `rustix` would be compiled a second time for the benchmark.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new directory of this process, below the machine's directory for temporary files.
    ///
    /// # Errors
    /// One of that name is there already, or none can be made.
    pub(crate) fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("trellis-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays for the machine's own cleaning; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}
