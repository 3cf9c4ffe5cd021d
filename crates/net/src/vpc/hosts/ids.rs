//! Who the users of a host are outside of it: subordinate ids where there are any, else one that may nothing.

use std::fs;
use std::io;
use std::ops::Range;

use trellis_model::id::InstanceId;

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
pub(super) fn map(pid: u32, host: &InstanceId, shares_filesystem: bool) -> io::Result<u32> {
    let subordinate = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let mut root = 0;
    for file in ["uid_map", "gid_map"] {
        let ours = lines(&fs::read_to_string(format!("/proc/self/{file}"))?);
        let theirs: Vec<Line> = if shares_filesystem {
            ours.iter().map(|(first, _, count)| (*first, *first, *count)).collect()
        } else {
            vec![choose(&ours, &subordinate, host)]
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
fn choose(ours: &[Line], subordinate: &str, host: &InstanceId) -> Line {
    let has = |first: u32, count: u32| {
        ours.iter().any(|(own, _, many)| {
            first >= *own && u64::from(first) + u64::from(count) <= u64::from(*own) + u64::from(*many)
        })
    };
    let given = subordinate.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (user, first, count) =
            (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse::<u32>().ok()?);
        (matches!(user, "root" | "0") && count >= COUNT).then_some(first)
    });
    // Hosts need not share them: there are 28,664 such ranges.
    let slots = (OF_CONTAINERS.end - OF_CONTAINERS.start) / COUNT;
    let number = u64::from_str_radix(host.suffix(), 16).unwrap_or(0);
    let first = given.unwrap_or(OF_CONTAINERS.start + (number % u64::from(slots)) as u32 * COUNT);
    if has(first, COUNT) {
        (0, first, COUNT)
    } else if has(NOBODY, 1) {
        (0, NOBODY, 1)
    } else {
        // A user who is not root and has been given no others: nobody but themselves.
        (0, ours.first().map_or(0, |line| line.0), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_subordinate_ids_or_one_that_may_nothing() {
        let host = InstanceId::from_random(3);
        let everything = [(0, 0, u32::MAX)];
        assert_eq!(choose(&everything, "", &host), (0, 524_288 + 3 * 65_536, 65_536));
        assert_eq!(choose(&everything, "ann:100000:65536\nroot:200000:65536\n", &host), (0, 200_000, 65_536));
        assert_eq!(choose(&everything, "root:200000:10\n", &host).1, 524_288 + 3 * 65_536);
        assert_eq!(choose(&[(0, 100_000, 65_536)], "", &host), (0, 65_534, 1));
        assert_eq!(choose(&[(0, 1000, 1)], "", &host), (0, 0, 1));
    }
}
