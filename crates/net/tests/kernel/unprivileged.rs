//! All the other tests again, as a user who is not root.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::entry::SELF;

/// `nobody`, on every Linux.
const NOBODY: u32 = 65534;

#[test]
fn everything_works_for_a_user_who_is_not_root() {
    let mut command = Command::new(SELF);
    command.args(["--skip", "everything_works_for_a_user_who_is_not_root"]);
    // In a user namespace already, there is one user only, and it is not root outside.
    let users = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    if users.split_ascii_whitespace().nth(2) != Some("1") {
        command.uid(NOBODY).gid(NOBODY).env("HOME", "/").current_dir("/");
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
