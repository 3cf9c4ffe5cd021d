//! A file of the spool: whole lines of one subscription, named `{sequence}-{unix milliseconds}.jsonl`.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A file that is complete, or that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Grows from file to file of a subscription.
    pub(crate) sequence: u64,
    /// When it was begun; survives a restart, so that what is named after it keeps its name.
    pub(crate) begun: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
}

impl Segment {
    pub(crate) fn new(directory: &Path, sequence: u64, begun: Timestamp) -> Self {
        let path = directory.join(format!("{sequence:010}-{:013}.jsonl", begun.as_millisecond()));
        Self { path, sequence, begun, bytes: 0, lines: 0 }
    }

    /// Looks at a file that an earlier process left. A last line without an end is cut off; a file with
    /// nothing else is removed. `None`: nothing to deliver, or not a file of the spool.
    pub(crate) fn recover(path: PathBuf) -> io::Result<Option<Self>> {
        let Some((sequence, begun)) = path.file_name().and_then(|name| name.to_str()).and_then(parse) else {
            return Ok(None);
        };
        let content = fs::read(&path)?;
        let end = memchr::memrchr(b'\n', &content).map_or(0, |at| at + 1);
        if end == 0 {
            fs::remove_file(&path)?;
            return Ok(None);
        }
        if end < content.len() {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(end as u64)?;
            file.sync_all()?;
        }
        let lines = memchr::memchr_iter(b'\n', &content[..end]).count() as u64;
        Ok(Some(Self { path, sequence, begun, bytes: end as u64, lines }))
    }

    /// Its bytes; none when somebody has taken the file away.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }

    pub(crate) fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a file of the log spool");
        }
    }
}

fn parse(name: &str) -> Option<(u64, Timestamp)> {
    let (sequence, begun) = name.strip_suffix(".jsonl")?.split_once('-')?;
    Some((sequence.parse().ok()?, Timestamp::from_millisecond(begun.parse().ok()?).ok()?))
}

/// The lines of a segment's bytes, without their ends.
pub(crate) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}
