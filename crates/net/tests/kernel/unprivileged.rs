//! As a user who is not root: everything works, from inside and outside the user namespace.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::entry::SELF;
use crate::machine::Ran;

/// `nobody`, on every Linux.
const NOBODY: u32 = 65534;

/// Someone else.
const STRANGER: u32 = 65533;

/// Whether this is root outside of any user namespace, who may become others.
fn may_become_others() -> bool {
    let users = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    users.split_ascii_whitespace().nth(2) != Some("1")
}

/// This program as `user`, where that can be; otherwise as the user it is, who is not root.
fn as_user(user: u32) -> Command {
    let mut command = Command::new(SELF);
    if may_become_others() {
        command.uid(user).gid(user).env("HOME", "/").current_dir("/");
    }
    command
}

#[test]
fn everything_works_for_a_user_who_is_not_root() {
    let output =
        as_user(NOBODY).args(["--skip", "everything_works_for_a_user_who_is_not_root"]).output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Ended with the test.
struct Owner(Child);

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_started_it_enters_from_outside_its_user_namespace_and_a_stranger_does_not() {
    let directory = tempfile::tempdir().unwrap();
    if may_become_others() {
        std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut owner = as_user(NOBODY);
    owner.args(["tool", "own-a-fabric", directory.path().to_str().unwrap()]).stdout(Stdio::piped());
    let mut owner = Owner(owner.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(owner.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let places: Vec<&str> = line.split_ascii_whitespace().collect();
    let host = places[0].trim_start_matches("/proc/").trim_end_matches("/ns");
    let router = format!("{}/net", places[2]);
    let enter = |user| -> [Ran; 2] {
        let inside = as_user(user).args(["tool", "enter", host, "cat", "/proc/net/dev"]).output().unwrap();
        let own = owner.0.id().to_string();
        let beside = as_user(user)
            .args(["tool", "enter-network", &own, &router, "cat", "/proc/net/dev"])
            .output()
            .unwrap();
        [inside.into(), beside.into()]
    };
    let [inside, beside] = enter(NOBODY);
    assert!(inside.code == Some(0) && inside.text.contains("eth0:"), "{inside:?}");
    assert!(beside.code == Some(0) && beside.text.contains("b-"), "{beside:?}");
    if may_become_others() {
        for ran in enter(STRANGER) {
            assert!(ran.code == Some(125) && ran.text.contains("not permitted"), "{ran:?}");
        }
        for ran in enter(0) {
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
    }
}
