//! A state file opened without being touched: what the engine writes stays in memory.
//!
//! The engine repairs a file that was not closed, and writes while it does, before it knows whether the file can be
//! used at all. So a file is opened this way first, and for good only if that went well: one that is refused is the
//! file it was, and whatever can still be saved from it can be.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

const PAGE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Rehearsal {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    len: u64,
    /// What lies beyond is no longer the file's: it was cut off, and may have grown again since.
    of_file: u64,
    written: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Rehearsal {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, state: Mutex::new(State { len, of_file: len, written: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page as the file has it; what is not the file's is zero.
    fn original(&self, of_file: u64, page: u64) -> io::Result<Box<[u8; PAGE]>> {
        let mut bytes = Box::new([0; PAGE]);
        let start = page * PAGE as u64;
        let known = usize::try_from(of_file.saturating_sub(start)).unwrap_or(PAGE).min(PAGE);
        self.file.read_exact_at(&mut bytes[..known], start)?;
        Ok(bytes)
    }
}

/// The pages a range touches: of each its number, and where the range lies in it and in the caller's bytes.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % PAGE as u64) as usize;
        let count = (PAGE - within).min(length - done);
        let piece = (at / PAGE as u64, within..within + count, done);
        done += count;
        Some(piece)
    })
}

fn check(state: &State, offset: u64, length: usize) -> io::Result<()> {
    let end = offset.checked_add(length as u64);
    if end.is_some_and(|end| end <= state.len) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

impl StorageBackend for Rehearsal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        check(&state, offset, out.len())?;
        for (page, range, at) in pieces(offset, out.len()) {
            let to = &mut out[at..at + range.len()];
            match state.written.get(&page) {
                Some(bytes) => to.copy_from_slice(&bytes[range]),
                None => to.copy_from_slice(&self.original(state.of_file, page)?[range]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        if len < state.len {
            let (page, within) = (len / PAGE as u64, (len % PAGE as u64) as usize);
            state.written.retain(|number, _| *number <= page);
            if let Some(bytes) = state.written.get_mut(&page) {
                bytes[within..].fill(0);
            }
            state.of_file = state.of_file.min(len);
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        check(&state, offset, data.len())?;
        for (page, range, at) in pieces(offset, data.len()) {
            let from = &data[at..at + range.len()];
            if !state.written.contains_key(&page) {
                let original = self.original(state.of_file, page)?;
                state.written.insert(page, original);
            }
            if let Some(bytes) = state.written.get_mut(&page) {
                bytes[range].copy_from_slice(from);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let original: Vec<u8> = (0..3 * PAGE + 100).map(|index| index as u8).collect();
        std::fs::write(&path, &original).unwrap();
        let rehearsal = Rehearsal::of(&path).unwrap();
        let mut expected = original.clone();
        let write = |expected: &mut Vec<u8>, offset: usize, data: &[u8]| {
            rehearsal.write(offset as u64, data).unwrap();
            expected[offset..offset + data.len()].copy_from_slice(data);
        };
        write(&mut expected, PAGE - 10, &[0xaa; 20]);
        write(&mut expected, 3 * PAGE + 90, &[0xbb; 10]);
        for length in [2 * PAGE + 50, 5 * PAGE] {
            rehearsal.set_len(length as u64).unwrap();
            expected.resize(length, 0);
            write(&mut expected, 2 * PAGE, &[0xcc; 30]);
            let mut read = vec![0; length];
            rehearsal.read(0, &mut read).unwrap();
            assert!(read == expected, "{length}");
        }
        assert!(rehearsal.read(5 * PAGE as u64, &mut [0]).is_err());
        assert!(rehearsal.write(5 * PAGE as u64 - 1, &[0; 2]).is_err());
        assert!(std::fs::read(&path).unwrap() == original);
    }
}
