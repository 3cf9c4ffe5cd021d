//! The output of a host, in a file that does not grow without end.
//!
//! What runs in the host writes into a pipe, and waits when that is full; a thread of the host's own moves it into the
//! file, until the last process of the host has ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// A file that would grow beyond this becomes `PATH.1`, in place of the one before.
const MAX_BYTES: u64 = 10 << 20;

/// What is moved at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Where the host is to write so that it comes into the file at `path`.
///
/// # Errors
/// No file, no pipe or no thread to be had.
pub(crate) fn into_file(path: PathBuf) -> io::Result<OwnedFd> {
    let mut log = Log::open(path, MAX_BYTES)?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    thread::Builder::new()
        .name("host-output".into())
        .stack_size(256 * 1024)
        .spawn(move || log.take_all(File::from(read)))?;
    Ok(write)
}

#[derive(Debug)]
struct Log {
    path: PathBuf,
    /// `None` after an error: it is opened again.
    open: Option<(File, u64)>,
    max_bytes: u64,
}

impl Log {
    fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let mut log = Self { path, open: None, max_bytes };
        log.open = Some(log.begin()?);
        Ok(log)
    }

    /// Until the other end is closed. What cannot be written is dropped: a full disk does not stop the host.
    fn take_all(&mut self, mut output: impl Read) {
        let mut chunk = vec![0; CHUNK];
        let mut is_failing = false;
        loop {
            let length = match output.read(&mut chunk) {
                Ok(0) => return,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let outcome = self.append(&chunk[..length]);
            if let Err(error) = &outcome
                && !is_failing
            {
                let path = self.path.display();
                tracing::warn!(%path, %error, "cannot write a host's output; it is lost for now");
            }
            is_failing = outcome.is_err();
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (file, size) = match self.open.take() {
            Some((_, size)) if size > 0 && size + bytes.len() as u64 > self.max_bytes => {
                let mut older = self.path.clone().into_os_string();
                older.push(".1");
                fs::rename(&self.path, older)?;
                self.begin()?
            }
            Some(open) => open,
            None => self.begin()?,
        };
        (&file).write_all(bytes)?;
        self.open = Some((file, size + bytes.len() as u64));
        Ok(())
    }

    fn begin(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one word at a time, as a process would write it.
    struct Words(&'static [&'static str]);

    impl Read for Words {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            self.0 = rest;
            buffer[..first.len()].copy_from_slice(first.as_bytes());
            Ok(first.len())
        }
    }

    #[test]
    fn of_a_host_that_never_stops_talking_the_newest_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.log");
        let open = || Log::open(path.clone(), 10).unwrap();
        open().take_all(Words(&["one\n", "two\n", "three\n", "four\n"]));
        // The next process of the same host goes on where the last one was.
        open().take_all(Words(&["5\n", "six\n", "a word of more than ten bytes\n"]));
        let text = |path| fs::read_to_string(path).unwrap();
        assert_eq!(text(path.clone()), "a word of more than ten bytes\n");
        assert_eq!(text(directory.path().join("web.log.1")), "six\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
