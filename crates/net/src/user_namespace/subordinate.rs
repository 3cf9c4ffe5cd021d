//! Ids that the machine's administrator has given a user beside their own, and the programs that may map them: newuidmap and
//! newgidmap of shadow, which are root's and look into /etc/subuid and /etc/subgid.

use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};

use nix::unistd::{Uid, User};

/// Fewer are of no use to a host.
const LEAST: u32 = 65_536;

/// What a user and their group have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subordinates {
    user: u32,
    group: u32,
    users: (u32, u32),
    groups: (u32, u32),
}

impl Subordinates {
    /// `None`: there are none, or not enough of them.
    pub(super) fn find(user: u32, group: u32) -> Option<Self> {
        let name = User::from_uid(Uid::from_raw(user)).ok()??.name;
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let users = given(&read("/etc/subuid"), &name, user)?;
        let groups = given(&read("/etc/subgid"), &name, user)?;
        Some(Self { user, group, users, groups })
    }

    /// Who is root, and the others from 1 on.
    fn words(own: u32, (first, count): (u32, u32)) -> String {
        format!("0 {own} 1 1 {first} {count}")
    }
}

/// The first line that gives the user enough: the first id, and how many.
pub(crate) fn given(text: &str, name: &str, user: u32) -> Option<(u32, u32)> {
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let whose = parts.next()?;
        let (first, count) = (parts.next()?.parse().ok()?, parts.next()?.trim().parse().ok()?);
        ((whose == name || whose.parse() == Ok(user)) && count >= LEAST).then_some((first, count))
    })
}

/// A process outside of the namespace that is about to be made. It maps the ids once it is told that there is one.
pub(super) struct Helper(Child);

impl Helper {
    pub(super) fn start(found: &Subordinates) -> io::Result<Self> {
        let (users, groups) =
            (Subordinates::words(found.user, found.users), Subordinates::words(found.group, found.groups));
        // It waits for the end of its input. Numbers alone are put into the text.
        let script = format!(
            "read -r word; newgidmap {pid} {groups} && exec newuidmap {pid} {users}",
            pid = std::process::id()
        );
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// To be called inside. False: nothing is mapped, as where the programs are missing.
    pub(super) fn has_mapped(mut self) -> bool {
        drop(self.0.stdin.take());
        self.0.wait().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_has_is_found_by_name_or_number_and_must_be_enough() {
        let text = "root:1:65536\nann:100000:1000\nann:200000:65536\n1001:300000:70000\nbroken\nann:x:y\n";
        assert_eq!(given(text, "ann", 1000), Some((200_000, 65_536)));
        assert_eq!(given(text, "bob", 1001), Some((300_000, 70_000)));
        assert_eq!(given(text, "eve", 1002), None);
        assert_eq!(Subordinates::words(1000, (200_000, 65_536)), "0 1000 1 1 200000 65536");
    }
}
