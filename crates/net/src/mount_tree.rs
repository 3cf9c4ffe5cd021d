//! Pieces of a file system by descriptor: taken in one mount namespace, put up in another, with no path between.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// No set-user-id, no device files: what every piece of the machine's file system is without inside a host.
pub(crate) const PLAIN: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// What is mounted at a path and below it, attached nowhere yet.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// A copy of what is at `path`, a directory or a file, and of all that is mounted below it.
    pub(crate) fn of(path: &Path) -> io::Result<Tree> {
        let path = text(path)?;
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as libc::c_uint;
        // SAFETY: `path` is alive and ends in a null; the rest are numbers.
        let descriptor = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
        let descriptor = Errno::result(descriptor)?;
        // SAFETY: the kernel has just made this descriptor for us; nobody else has it.
        Ok(Tree(unsafe { OwnedFd::from_raw_fd(descriptor as i32) }))
    }

    /// One that another process has sent.
    pub(crate) fn from_descriptor(descriptor: OwnedFd) -> Tree {
        Tree(descriptor)
    }

    /// Sets `MOUNT_ATTR_*` on all of it.
    pub(crate) fn restrict(&self, attributes: u64) -> io::Result<()> {
        self.set(libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 })
    }

    /// Shows the owners on disk as the users of the same number in `user_namespace`, and writes the other way.
    pub(crate) fn map_ids(&self, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
        let userns_fd = user_namespace.as_raw_fd() as u64;
        self.set(libc::mount_attr {
            attr_set: libc::MOUNT_ATTR_IDMAP,
            attr_clr: 0,
            propagation: 0,
            userns_fd,
        })
    }

    fn set(&self, attributes: libc::mount_attr) -> io::Result<()> {
        // SAFETY: the empty path and `attributes` are alive, and its size is told.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
                std::ptr::from_ref(&attributes),
                size_of::<libc::mount_attr>(),
            )
        };
        Ok(Errno::result(outcome).map(drop)?)
    }

    /// Mounts it on `target`, which is there: a directory on a directory, a file on a file.
    pub(crate) fn attach(self, target: &Path) -> io::Result<()> {
        let target = text(target)?;
        // SAFETY: both paths are alive and end in a null; the rest are numbers.
        let outcome = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH,
            )
        };
        Ok(Errno::result(outcome).map(drop)?)
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn text(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
