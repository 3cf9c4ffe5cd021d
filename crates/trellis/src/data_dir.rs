//! The directory of an instance and what a user finds in it.
//!
//! | path | what |
//! |---|---|
//! | `state.redb`, `lock` | the store's |
//! | `credentials` | admin access key, AWS shared-credentials format, mode 0600 |
//! | `endpoint` | URL of the running instance; absent when none runs |
//! | `trellis.sock` | where `run`, `exec`, `ps`, `rm`, `account` and `key` reach it, mode 0600 |
//! | `hosts/NAME.log` | output of detached hosts |
//! | `access-logs/access.log` | one JSON line per request |
//! | `run/` | files of the running process only |

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Paths below one data directory, always absolute: hosts are entered from other directories.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Names the paths; nothing is made or checked.
    pub(crate) fn at(dir: &Path) -> anyhow::Result<Self> {
        let root = std::path::absolute(dir).with_context(|| format!("data directory {}", dir.display()))?;
        Ok(Self { root })
    }

    /// Makes the directories that are not there, mode 0700.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        for dir in [self.root.clone(), self.host_logs(), self.run(), self.access_logs()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .with_context(|| format!("cannot make {}; choose another --data-dir", dir.display()))?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }
    pub(crate) fn endpoint(&self) -> PathBuf {
        self.root.join("endpoint")
    }
    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("trellis.sock")
    }
    pub(crate) fn host_logs(&self) -> PathBuf {
        self.root.join("hosts")
    }
    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }
    pub(crate) fn access_logs(&self) -> PathBuf {
        self.root.join("access-logs")
    }
}

/// Replaces `path` in one step, readable by its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

/// The admin access key and the account and region it works in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) account: String,
    pub(crate) region: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("account", &self.account)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The `[default]` profile of an AWS shared-credentials file; `aws_account_id` and `region` are
    /// names AWS clients know too.
    pub(crate) fn to_file(&self) -> String {
        let Self { access_key_id, secret_access_key, account, region } = self;
        format!(
            "[default]\naws_access_key_id = {access_key_id}\naws_secret_access_key = {secret_access_key}\n\
             aws_account_id = {account}\nregion = {region}\n"
        )
    }

    /// Reads what [`Self::to_file`] wrote.
    pub(crate) fn from_file(text: &str) -> anyhow::Result<Self> {
        let value = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let (Some(access_key_id), Some(secret_access_key), Some(account), Some(region)) = (
            value("aws_access_key_id"),
            value("aws_secret_access_key"),
            value("aws_account_id"),
            value("region"),
        ) else {
            bail!(
                "the credentials file lacks aws_access_key_id, aws_secret_access_key, aws_account_id or region; \
                 delete it and start again for a new key"
            );
        };
        Ok(Self { access_key_id, secret_access_key, account, region })
    }

    /// What is in the file at `path`; `None` when there is no file.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        match fs::read_to_string(path) {
            Ok(text) => Self::from_file(&text).with_context(|| path.display().to_string()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            access_key_id: "AKIAEXAMPLE".into(),
            secret_access_key: "s3cr3t/+=".into(),
            account: "111122223333".into(),
            region: "us-east-1".into(),
        }
    }

    #[test]
    fn credentials_read_back_as_written_and_never_show_the_secret() {
        let written = credentials();
        assert_eq!(Credentials::from_file(&written.to_file()).unwrap(), written);
        assert!(!format!("{written:?}").contains("s3cr3t"));
    }

    #[test]
    fn a_credentials_file_with_a_part_missing_is_refused() {
        let text = credentials().to_file().replace("aws_secret_access_key = s3cr3t/+=\n", "");
        assert!(Credentials::from_file(&text).is_err());
    }
}
