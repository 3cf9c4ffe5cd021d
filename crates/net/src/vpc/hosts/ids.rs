//! Who the users of a host are outside of it: subordinate ids where there are any, else one that may nothing.
//!
//! Who is not root has those that [`user_namespace`](crate::user_namespace) was given. The kernel shows such a user's files under
//! their owners only, so of a host with mounts the root, and no other, is the user who started Trellis.

use std::fs;
use std::io;
use std::ops::Range;

use trellis_model::id::InstanceId;
use trellis_model::resource::vpc::Sandbox;

use crate::user_namespace::subordinate::given;

/// Users and groups of a host: as many as programs expect there to be.
const COUNT: u32 = 65_536;

/// The ids that systemd keeps for containers of anybody's: no user is there.
const OF_CONTAINERS: Range<u32> = 524_288..1_879_048_192;

/// Where nothing else is to be had: `nobody`.
const NOBODY: u32 = 65_534;

/// A line of a map: ids inside from, outside from, how many.
type Line = (u32, u32, u32);

/// Maps the ids of process `pid`, the first of `host`: each as itself for a host that shares the machine's files.
/// Returns who the host's root is in our own user namespace.
pub(super) fn map(pid: u32, host: &InstanceId, sandbox: &Sandbox) -> io::Result<u32> {
    let subordinate = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let mut root = 0;
    for file in ["uid_map", "gid_map"] {
        let ours = lines(&fs::read_to_string(format!("/proc/self/{file}"))?);
        let theirs: Vec<Line> = if sandbox.shares_filesystem {
            ours.iter().map(|(first, _, count)| (*first, *first, *count)).collect()
        } else {
            choose(&ours, &subordinate, host, !sandbox.mounts.is_empty())
        };
        let text: String =
            theirs.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect();
        fs::write(format!("/proc/{pid}/{file}"), text)?;
        root = theirs.first().map_or(0, |line| line.1);
    }
    Ok(root)
}

fn lines(map: &str) -> Vec<Line> {
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??, numbers.next()??))
    };
    map.lines().filter_map(line).collect()
}

/// What the host's ids are in a namespace that has `ours`.
fn choose(ours: &[Line], subordinate: &str, host: &InstanceId, has_mounts: bool) -> Vec<Line> {
    let has = |first: u32, count: u32| {
        ours.iter().any(|(own, _, many)| {
            first >= *own && u64::from(first) + u64::from(count) <= u64::from(*own) + u64::from(*many)
        })
    };
    let given = given(subordinate, "root", 0).map(|(first, _)| first);
    // Hosts need not share them: there are 28,664 such ranges.
    let number = u64::from_str_radix(host.suffix(), 16).unwrap_or(0);
    let of_slots = |start: u32, slots: u32| start + (number % u64::from(slots.max(1))) as u32 * COUNT;
    let first =
        given.unwrap_or(of_slots(OF_CONTAINERS.start, (OF_CONTAINERS.end - OF_CONTAINERS.start) / COUNT));
    if has(first, COUNT) {
        return vec![(0, first, COUNT)];
    }
    // Root here is the user who started us; the others are their subordinates.
    if let [(0, _, 1), (first, _, count), ..] = ours
        && *count >= COUNT
    {
        let first = of_slots(*first, count / COUNT);
        return if has_mounts { vec![(0, 0, 1), (1, first, COUNT - 1)] } else { vec![(0, first, COUNT)] };
    }
    if has(NOBODY, 1) {
        return vec![(0, NOBODY, 1)];
    }
    // A user who is not root and has been given no others: nobody but themselves.
    vec![(0, ours.first().map_or(0, |line| line.0), 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_subordinate_ids_or_one_that_may_nothing() {
        let host = InstanceId::from_random(3);
        let everything = [(0, 0, u32::MAX)];
        let chosen = |ours: &[Line], subordinate: &str| choose(ours, subordinate, &host, true);
        assert_eq!(chosen(&everything, ""), [(0, 524_288 + 3 * 65_536, 65_536)]);
        assert_eq!(chosen(&everything, "ann:100000:65536\nroot:200000:65536\n"), [(0, 200_000, 65_536)]);
        assert_eq!(chosen(&everything, "root:200000:10\n")[0].1, 524_288 + 3 * 65_536);
        assert_eq!(chosen(&[(0, 100_000, 65_536)], ""), [(0, 65_534, 1)]);
        assert_eq!(chosen(&[(0, 1000, 1)], ""), [(0, 0, 1)]);
    }

    #[test]
    fn who_is_not_root_has_subordinates_and_is_root_only_where_there_are_mounts() {
        let host = InstanceId::from_random(3);
        let ours = [(0, 1000, 1), (1, 100_000, 65_536)];
        assert_eq!(choose(&ours, "ann:100000:65536\n", &host, false), [(0, 1, 65_536)]);
        assert_eq!(choose(&ours, "ann:100000:65536\n", &host, true), [(0, 0, 1), (1, 1, 65_535)]);
        let many = [(0, 1000, 1), (1, 100_000, 2 * 65_536 + 9)];
        assert_eq!(choose(&many, "", &host, false), [(0, 1 + 65_536, 65_536)], "another for each host");
        let few = [(0, 1000, 1), (1, 100_000, 1000)];
        assert_eq!(choose(&few, "", &host, false), [(0, 0, 1)]);
    }
}
