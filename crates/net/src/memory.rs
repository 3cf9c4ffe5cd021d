//! What the allocator holds, and giving it back to the machine.
//!
//! glibc keeps what was freed for whoever asks next, and after a flood that is nobody. Large blocks are asked of the kernel
//! one by one, so that they go when they are freed; of the small ones whole pages are given back when told so.

use std::fs;
use std::io;

/// A block of this many bytes, or more, is asked of the kernel by itself.
const LARGE: libc::c_int = 128 * 1024;

/// Bytes of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Anonymous pages that the machine has given it.
    pub resident: u64,
    /// What has been allocated and not freed. Zero where the allocator does not say.
    pub in_use: u64,
}

impl Memory {
    /// What has been freed and is kept.
    pub fn idle(&self) -> u64 {
        if self.in_use == 0 { 0 } else { self.resident.saturating_sub(self.in_use) }
    }
}

/// Keeps large blocks apart from small ones, for good. The allocator would raise the bound to the largest block that was
/// ever freed.
pub fn keep_large_blocks_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: two numbers; the allocator locks itself.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Anonymous pages of this process, in bytes.
///
/// # Errors
/// `/proc` does not say.
pub fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How much there is of what. Takes longer the more small pieces have been freed: some milliseconds.
///
/// # Errors
/// As [`resident`].
pub fn look() -> io::Result<Memory> {
    Ok(Memory { resident: resident()?, in_use: in_use() })
}

#[cfg(target_env = "gnu")]
fn in_use() -> u64 {
    // SAFETY: no arguments; the allocator locks itself.
    let all = unsafe { libc::mallinfo2() };
    (all.uordblks + all.hblkhd) as u64
}

#[cfg(not(target_env = "gnu"))]
fn in_use() -> u64 {
    0
}

/// Gives the machine every whole page that has been freed. Threads that allocate wait meanwhile, for as long as the kernel
/// needs to take the pages.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: a number; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_is_given_back() {
        const ALL: u64 = 64 << 20;
        let blocks: Vec<Box<[u8]>> = (0..ALL / 16_384).map(|_| vec![1; 16_384].into()).collect();
        let held = look().unwrap();
        assert!(held.resident >= ALL && held.in_use >= ALL, "{held:?}");
        // So that what is freed is not at the end of the heap, where the allocator returns it by itself.
        let kept: Vec<Box<[u8]>> = blocks.into_iter().step_by(64).collect();
        give_back();
        let after = look().unwrap();
        assert!(after.resident < held.resident - ALL / 2, "{held:?} {after:?}");
        drop(kept);
    }
}
