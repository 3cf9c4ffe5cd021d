//! The directory of an instance and what a user finds in it.
//!
//! | path | what |
//! |---|---|
//! | `state.redb`, `lock` | the store's |
//! | `credentials` | admin access key, AWS shared-credentials format, mode 0600 |
//! | `keys/sealing.key` | what secrets in the state are sealed with, mode 0600 |
//! | `ca.pem` | certificate of the private CA that HTTPS listeners' certificates are issued by |
//! | `endpoint` | URL of the running instance; absent when none runs |
//! | `trellis.sock` | where `run`, `exec`, `ps`, `rm`, `account` and `key` reach it, mode 0600 |
//! | `hosts/NAME.log` | output of detached hosts, `NAME.log.1` what was before |
//! | `access-logs/access.log` | one JSON line per request |
//! | `access-logs/SUBSCRIPTION.log` | the lines of an access log subscription without an endpoint |
//! | `spool/` | lines of other subscriptions, until they are delivered |
//! | `clusters/ID/` | what the hosts of a Kubernetes cluster are given: its keys, its state, its nodes' files |
//! | `images/` | container images for nodes |
//! | `run/` | files of the running process only |

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use trellis_control::SealingKey;
use zeroize::Zeroizing;

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

    /// Refuses a directory whose state is gone while what belongs to it is there: to start empty would make a new
    /// instance of what a backup can still restore.
    pub(crate) fn expect_whole(&self) -> anyhow::Result<()> {
        let is_there =
            |path: &Path| path.try_exists().with_context(|| format!("cannot read {}", path.display()));
        let state = self.root.join("state.redb");
        if is_there(&state)? {
            return Ok(());
        }
        for left in [self.credentials(), self.sealing_key()] {
            if is_there(&left)? {
                bail!(
                    "{} is gone, and {} is there: restore the state from a backup, or move the whole data directory \
                     away to start anew",
                    state.display(),
                    left.display()
                );
            }
        }
        Ok(())
    }

    /// Sees to it that nobody but the owner enters the directory: what is in it opens everything. Modes of an instance's
    /// own directory and files are mended; a directory that holds something else is not ours to close, and refused.
    pub(crate) fn close_to_others(&self) -> anyhow::Result<()> {
        if let Some(mode) = loose_mode(&self.root)? {
            let root = self.root.display();
            let entries = || fs::read_dir(&self.root).with_context(|| format!("cannot read {root}"));
            let is_ours = self.root.join("state.redb").exists() || entries()?.next().is_none();
            if !is_ours {
                bail!(
                    "others can enter the data directory {root} (mode {mode:o}), and it holds what is not Trellis's: \
                     choose a --data-dir of its own, or chmod 700 {root}"
                );
            }
            self.mend(&self.root, mode, 0o700)?;
        }
        for (path, wanted) in
            [(self.root.join("state.redb"), 0o600), (self.credentials(), 0o600), (self.keys(), 0o700)]
        {
            if let Some(mode) = loose_mode(&path)? {
                self.mend(&path, mode, wanted)?;
            }
        }
        Ok(())
    }

    fn mend(&self, path: &Path, mode: u32, wanted: u32) -> anyhow::Result<()> {
        let shown = path.display();
        fs::set_permissions(path, fs::Permissions::from_mode(wanted)).with_context(|| {
            format!("others can get at {shown} (mode {mode:o}), and it cannot be changed: chmod {wanted:o} {shown}")
        })?;
        tracing::warn!("others could get at {shown} (mode {mode:o}); it is {wanted:o} now");
        Ok(())
    }

    /// Makes the directories that are not there, mode 0700.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        for dir in [
            self.root.clone(),
            self.keys(),
            self.host_logs(),
            self.run(),
            self.access_logs(),
            self.clusters(),
            self.images(),
        ] {
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
    fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
    pub(crate) fn sealing_key(&self) -> PathBuf {
        self.keys().join("sealing.key")
    }
    pub(crate) fn ca_pem(&self) -> PathBuf {
        self.root.join("ca.pem")
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
    pub(crate) fn audit_reports(&self) -> PathBuf {
        self.root.join("audit-reports")
    }
    pub(crate) fn clusters(&self) -> PathBuf {
        self.root.join("clusters")
    }
    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    pub(crate) fn log_spool(&self) -> PathBuf {
        self.root.join("spool")
    }
}

/// The mode of what is at `path` if anybody but its owner may do something with it.
fn loose_mode(path: &Path) -> anyhow::Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found.permissions().mode() & 0o7777).filter(|mode| mode & 0o077 != 0)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Replaces `path` in one step, readable by its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o600)
}

/// Replaces `path` in one step, readable by whoever may enter the directory.
pub(crate) fn write_public(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, 0o644)
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    // The name is on disk too before anything relies on it.
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

/// The key in the file at `path`, made and kept there at the first start.
///
/// # Errors
/// A file that others can read, that holds no key, or that is gone although the state `is_sealed` with its key.
pub(crate) fn sealing_key(path: &Path, is_sealed: bool) -> anyhow::Result<SealingKey> {
    let shown = path.display();
    match fs::File::open(path) {
        Ok(mut file) => {
            let mode = file.metadata().with_context(|| format!("cannot read {shown}"))?.permissions().mode();
            if mode & 0o077 != 0 {
                bail!(
                    "{shown} has mode {:o}, so that others can read or write it: chmod 600 {shown}",
                    mode & 0o777
                );
            }
            let mut text = Zeroizing::new(String::new());
            file.read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
            SealingKey::from_text(&text)
                .with_context(|| format!("{shown} cannot be used: restore it from a backup"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_sealed => bail!(
            "{shown} is gone, and without it the private keys in the state cannot be read: restore it from a backup, \
             or move the whole data directory away to start anew"
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = SealingKey::generate().context("no sealing key could be made")?;
            write_private(path, &key.to_text()).with_context(|| format!("cannot write {shown}"))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
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

    #[test]
    fn a_directory_others_can_enter_is_closed_if_it_is_an_instances_and_refused_if_it_is_not() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("data");
        let layout = Layout::at(&root).unwrap();
        layout.close_to_others().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        fs::create_dir(&root).unwrap();
        set(&root, 0o755);
        layout.close_to_others().unwrap();
        assert_eq!(mode(&root), 0o700, "an empty one, as a volume is");

        fs::write(root.join("holiday.jpg"), "").unwrap();
        set(&root, 0o777);
        let error = format!("{:#}", layout.close_to_others().unwrap_err());
        assert!(error.contains("chmod 700") && error.contains("777"), "{error}");
        assert_eq!(mode(&root), 0o777);

        for file in ["state.redb", "credentials"] {
            fs::write(root.join(file), "").unwrap();
            set(&root.join(file), 0o644);
        }
        layout.close_to_others().unwrap();
        assert_eq!(
            (mode(&root), mode(&root.join("credentials")), mode(&root.join("state.redb"))),
            (0o700, 0o600, 0o600)
        );
    }

    #[test]
    fn state_that_is_gone_while_its_keys_are_there_is_refused_and_nothing_made() {
        for left in ["credentials", "keys/sealing.key"] {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::at(dir.path()).unwrap();
            layout.expect_whole().unwrap();
            fs::create_dir(dir.path().join("keys")).unwrap();
            fs::write(dir.path().join(left), "").unwrap();
            let error = layout.expect_whole().unwrap_err().to_string();
            assert!(error.contains("backup") && error.contains(left), "{error}");
            fs::write(dir.path().join("state.redb"), "").unwrap();
            layout.expect_whole().unwrap();
        }
    }

    #[test]
    fn the_sealing_key_is_made_once_and_its_loss_is_told_from_a_first_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealing.key");
        let text = |error: anyhow::Error| format!("{error:#}");
        assert!(text(sealing_key(&path, true).unwrap_err()).contains("is gone"));
        let made = sealing_key(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(sealing_key(&path, true).unwrap().id(), made.id());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(text(sealing_key(&path, true).unwrap_err()).contains("chmod 600"));
        write_private(&path, "trellis-sealing-key-1:AAAA").unwrap();
        let error = text(sealing_key(&path, true).unwrap_err());
        assert!(error.contains("backup") && !error.contains("AAAA"), "{error}");
    }
}
