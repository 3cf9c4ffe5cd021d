//! The data directory: its lock, the state file, and the checks before either is trusted.
//!
//! The file is made under another name and renamed once it is complete, so an empty or short
//! `state.redb` is damage and is refused, never silently taken for a fresh start. A file that is refused is not
//! changed by one byte.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, TableDefinition};

use crate::OpenError;
use crate::rehearsal::Rehearsal;

pub(crate) const MAIN: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("main");
pub(crate) const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
pub(crate) const REVISION: &str = "revision";
const FORMAT: &str = "format";

/// The layout of [`MAIN`] and [`META`] that this release writes.
const FORMAT_VERSION: u64 = 1;
/// Pages kept in memory. State is megabytes; the rest of the machine's memory is not ours.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Exclusive use of a data directory, until dropped or the process ends however it ends.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

/// Makes `dir` (mode 0700) where it is not there, and takes its lock.
pub(crate) fn lock(dir: &Path) -> Result<DirectoryLock, OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| refused(dir, error))?;
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| refused(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // The owner writes its id right after it has locked; until then it has no name here.
            let mut text = String::new();
            let pid = (&file).take(16).read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(OpenError::Locked { dir: dir.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(refused(&path, error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| refused(&path, error))?;
    Ok(DirectoryLock { _file: file })
}

/// Opens `dir/state.redb`, making it first where it is not there. The caller holds the lock.
pub(crate) fn open(dir: &Path) -> Result<Database, OpenError> {
    let path = dir.join("state.redb");
    if !path.try_exists().map_err(|error| refused(&path, error))? {
        make(dir, &path)?;
    }
    // Told apart here, because the engine reports both as plain I/O errors.
    let file =
        OpenOptions::new().read(true).write(true).open(&path).map_err(|error| refused(&path, error))?;
    if file.metadata().map_err(|error| refused(&path, error))?.len() == 0 {
        return Err(OpenError::Damaged { path, reason: "it is empty".into() });
    }
    drop(file);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    let opened = catch_unwind(AssertUnwindSafe(|| -> Result<Database, OpenError> {
        let rehearsal = Rehearsal::of(&path).map_err(|error| refused(&path, error))?;
        let rehearsed = builder.create_with_backend(rehearsal).map_err(|error| unopenable(&path, error));
        let is_whole = check(&path, &mut rehearsed?)?;
        let mut database = builder.open(&path).map_err(|error| unopenable(&path, error))?;
        if !is_whole {
            check(&path, &mut database)?;
            tracing::warn!(path = %path.display(), "state file was repaired");
        }
        Ok(database)
    }));
    // The engine asserts what its checksums do not cover; on foreign bytes that can fail.
    opened.unwrap_or_else(|_| {
        Err(OpenError::Damaged { path: path.clone(), reason: "its structure does not hold".into() })
    })
}

fn make(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let partial = dir.join("state.redb.partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(&partial, error)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)
        .map_err(|error| refused(&partial, error))?;
    let database = Builder::new().create_file(file).map_err(|error| unopenable(&partial, error))?;
    initialise(&database).map_err(|error| broken(&partial, error))?;
    drop(database);
    fs::rename(&partial, path)
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|error| refused(path, error))
}

/// Writes the empty state into a fresh database.
pub(crate) fn initialise(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(MAIN)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(REVISION, 0)?;
        meta.insert(FORMAT, FORMAT_VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Every page's checksum, then the format; both before the first byte is believed. `false`: the last commit was found
/// whole and the engine's bookkeeping rebuilt around it.
fn check(path: &Path, database: &mut Database) -> Result<bool, OpenError> {
    let is_whole = database.check_integrity().map_err(|error| unopenable(path, error))?;
    let found = format_of(database).map_err(|error| match error {
        redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. } => {
            OpenError::Damaged { path: path.to_owned(), reason: "it holds another program's data".into() }
        }
        other => broken(path, other),
    })?;
    match found {
        Some(FORMAT_VERSION) => Ok(is_whole),
        Some(found) if found > FORMAT_VERSION => {
            Err(OpenError::NewerFormat { path: path.to_owned(), found, supported: FORMAT_VERSION })
        }
        _ => Err(OpenError::Damaged { path: path.to_owned(), reason: "it has no format version".into() }),
    }
}

fn format_of(database: &Database) -> Result<Option<u64>, redb::Error> {
    let transaction = database.begin_read()?;
    transaction.open_table(MAIN)?;
    let format = transaction.open_table(META)?.get(FORMAT)?.map(|value| value.value());
    Ok(format)
}

fn refused(path: &Path, error: io::Error) -> OpenError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::Permission { path, source: error }
        }
        _ => OpenError::Io { path, source: Box::new(error) },
    }
}

fn unopenable(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            OpenError::Locked { dir: path.parent().map(PathBuf::from).unwrap_or_default(), pid: None }
        }
        DatabaseError::UpgradeRequired(version) => OpenError::Damaged {
            path: path.to_owned(),
            reason: format!("engine format {version} was never written by a release"),
        },
        other => broken(path, other.into()),
    }
}

fn broken(path: &Path, error: redb::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        redb::Error::Corrupted(reason) => OpenError::Damaged { path, reason },
        redb::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::Damaged { path, reason: error.to_string() }
        }
        redb::Error::Io(error) => refused(&path, error),
        other => OpenError::Io { path, source: Box::new(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_system_refuses_is_told_apart() {
        let refuse = |kind: io::ErrorKind| refused(Path::new("/d/state.redb"), kind.into());
        assert!(matches!(refuse(io::ErrorKind::PermissionDenied), OpenError::Permission { .. }));
        assert!(matches!(refuse(io::ErrorKind::ReadOnlyFilesystem), OpenError::Permission { .. }));
        assert!(matches!(refuse(io::ErrorKind::StorageFull), OpenError::Io { .. }));
        let text = refuse(io::ErrorKind::PermissionDenied).to_string();
        assert!(text.contains("/d/state.redb") && text.contains("another data directory"), "{text}");
    }
}
