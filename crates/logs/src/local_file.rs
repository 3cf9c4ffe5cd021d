//! A file of lines for a subscription whose destination is this machine, rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A file that would grow beyond this is rotated first.
const MAX_BYTES: u64 = 64 << 20;
/// Older files kept: `PATH.1`, the youngest, to `PATH.4`.
const KEEP: usize = 4;

/// Opened with its first line.
#[derive(Debug)]
pub(crate) struct LocalFile {
    path: PathBuf,
    open: Option<(File, u64)>,
    max_bytes: u64,
}

impl LocalFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, open: None, max_bytes: MAX_BYTES }
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (file, size) = match self.open.take() {
            Some((_, size)) if size > 0 && size + lines.len() as u64 > self.max_bytes => {
                self.rotate()?;
                self.begin()?
            }
            Some(open) => open,
            None => self.begin()?,
        };
        // After an error it is opened again, at the length it has then.
        (&file).write_all(lines)?;
        self.open = Some((file, size + lines.len() as u64));
        Ok(())
    }

    fn begin(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    fn rotate(&self) -> io::Result<()> {
        for older in (1..KEEP).rev() {
            rename_if_there(&self.numbered(older), &self.numbered(older + 1))?;
        }
        rename_if_there(&self.path, &self.numbered(1))
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

fn rename_if_there(from: &PathBuf, to: &PathBuf) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_is_rotated_and_a_reopened_one_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("als.log");
        let open = || LocalFile { max_bytes: 10, ..LocalFile::new(path.clone()) };
        let mut file = open();
        for lines in ["one\n", "two\n", "three\n"] {
            file.append(lines.as_bytes()).unwrap();
        }
        open().append(b"4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n4\n");
        assert_eq!(fs::read_to_string(file.numbered(1)).unwrap(), "one\ntwo\n");
    }
}
