//! What hosts may take of the machine's memory, processors and process numbers, where there are cgroups that we may
//! make: of version 1 one in each controller's hierarchy, of version 2 one for all. Where there are none, only the
//! limits of each process hold.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use trellis_model::resource::vpc::Limits;

/// Directories of ours are called so, with the number of the process and when it started. Their process holds a lock
/// on them, for a number alone says nothing to who looks from another pid namespace: whoever finds one that nobody
/// holds removes it.
const PREFIX: &str = "trellis-";

/// Fabrics of this process so far: each has directories of its own.
static FABRICS: AtomicU32 = AtomicU32::new(0);

/// Microseconds over which use of processors is counted.
const PERIOD: u64 = 100_000;

/// How often a directory is made anew that another process took for left behind, between our making and locking it.
const ATTEMPTS: usize = 100;

/// A place where groups can be made.
#[derive(Debug)]
struct Hierarchy {
    /// Our own directory, below the group that this process is in.
    directory: PathBuf,
    /// Says that the directory is in use, for as long as it is open.
    _lock: File,
    /// `memory`, `pids`, `cpu`; those of version 2 together. None: nothing is limited here, and it is of use to hosts
    /// alone that make groups of their own, who need a place in every hierarchy there is.
    controllers: Vec<String>,
    is_unified: bool,
}

/// Groups of this process's hosts.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    /// Those of hosts that are gone and which the kernel was not done with.
    leftovers: Mutex<Vec<PathBuf>>,
}

/// The groups of one host.
#[derive(Debug, Default)]
pub(crate) struct HostCgroup {
    directories: Vec<PathBuf>,
    /// Whether the host's memory is limited as a whole.
    pub(crate) limits_memory: bool,
}

/// `HIERARCHY:CONTROLLERS:PATH` lines of /proc/PID/cgroup with what is mounted where: the controllers, whether of
/// version 2, and the group's directory.
fn groups_of(process: &str) -> io::Result<Vec<(Vec<String>, bool, PathBuf)>> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(directories(&groups, &mounts))
}

fn directories(groups: &str, mounts: &str) -> Vec<(Vec<String>, bool, PathBuf)> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let is_unified = controllers.is_empty();
        let first = controllers.split(',').next().unwrap_or_default();
        // ID PARENT DEVICE ROOT TARGET OPTIONS ... - TYPE SOURCE SUPEROPTIONS
        let mounted = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            let is_it = if is_unified {
                kind == "cgroup2"
            } else {
                kind == "cgroup" && options.split(',').any(|option| option == first)
            };
            let mut left = left.split(' ').skip(3);
            let (root, target) = (left.next()?, left.next()?);
            is_it.then(|| (root.to_owned(), target.to_owned()))
        });
        let Some((root, target)) = mounted else { continue };
        // In a container the mount may show a part of the tree.
        let below = Path::new(path)
            .strip_prefix(&root)
            .unwrap_or(Path::new(path).strip_prefix("/").unwrap_or(Path::new("")));
        let controllers = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        found.push((controllers, is_unified, Path::new(&target).join(below)));
    }
    found
}

/// The process numbered `pid` and the clock tick at which it began: together they are never another's.
fn identity(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let began = stat.rsplit_once(") ")?.1.split(' ').nth(19)?;
    Some(format!("{PREFIX}{pid}-{began}"))
}

impl Cgroups {
    /// Makes a directory wherever this process may, and removes those of processes that were killed.
    pub(crate) fn prepare() -> Cgroups {
        let name = identity(std::process::id());
        let (Some(name), Ok(groups)) = (name, groups_of("self")) else { return Cgroups::default() };
        let name = format!("{name}.{}", FABRICS.fetch_add(1, Ordering::Relaxed));
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for (controllers, is_unified, own) in groups {
            let wanted = |name: &str| matches!(name, "memory" | "pids" | "cpu");
            // A group of version 2 with processes in it has no groups with controllers below: then a sister of it.
            let places = if is_unified {
                vec![own.parent().map(Path::to_owned).unwrap_or_default(), own]
            } else {
                vec![own]
            };
            for place in places {
                let controllers: Vec<String> = if is_unified {
                    let enabled =
                        fs::read_to_string(place.join("cgroup.subtree_control")).unwrap_or_default();
                    enabled.split_ascii_whitespace().filter(|name| wanted(name)).map(str::to_owned).collect()
                } else {
                    controllers.iter().filter(|name| wanted(name)).cloned().collect()
                };
                if controllers.is_empty() && is_unified {
                    continue;
                }
                sweep(&place);
                let directory = place.join(&name);
                if let Ok(lock) = claim(&directory) {
                    if is_unified {
                        let all: Vec<_> = controllers.iter().map(|name| format!("+{name}")).collect();
                        if fs::write(directory.join("cgroup.subtree_control"), all.join(" ")).is_err() {
                            let _ = fs::remove_dir(&directory);
                            continue;
                        }
                    }
                    fill_cpuset(&directory);
                    hierarchies.push(Hierarchy { directory, _lock: lock, controllers, is_unified });
                    break;
                }
            }
        }
        if hierarchies.iter().all(|hierarchy| hierarchy.controllers.is_empty()) {
            tracing::info!(
                "no cgroup may be made here: hosts are limited process by process, and not in processors"
            );
        }
        Cgroups { hierarchies, leftovers: Mutex::default() }
    }

    /// The groups of a host, with `owner` to make more below where it may.
    pub(crate) fn make(&self, name: &str, limits: &Limits, owner: Option<u32>) -> io::Result<HostCgroup> {
        self.remove_leftovers();
        let mut made = HostCgroup::default();
        let of_use = |hierarchy: &&Hierarchy| owner.is_some() || !hierarchy.controllers.is_empty();
        for hierarchy in self.hierarchies.iter().filter(of_use) {
            let directory = hierarchy.directory.join(name);
            // The same host again, sooner than the kernel was done with its last processes.
            self.leftovers.lock().expect("nothing panics while it is held").retain(|old| *old != directory);
            let outcome = make(&directory).and_then(|()| {
                made.directories.push(directory.clone());
                fill_cpuset(&directory);
                for controller in &hierarchy.controllers {
                    set(&directory, controller, hierarchy.is_unified, limits)?;
                    made.limits_memory |= controller == "memory";
                }
                owner.map_or(Ok(()), |owner| hand_over(&directory, owner))
            });
            if let Err(error) = outcome {
                self.remove(made);
                return Err(io::Error::new(
                    error.kind(),
                    format!("make the cgroup {}: {error}", directory.display()),
                ));
            }
        }
        Ok(made)
    }

    /// Takes the groups of a host that is gone away.
    pub(crate) fn remove(&self, group: HostCgroup) {
        self.leftovers.lock().expect("nothing panics while it is held").extend(group.directories);
        self.remove_leftovers();
    }

    fn remove_leftovers(&self) {
        let mut leftovers = self.leftovers.lock().expect("nothing panics while it is held");
        leftovers.retain(|directory| remove_tree(directory).is_err());
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for hierarchy in &self.hierarchies {
            let _ = remove_tree(&hierarchy.directory);
        }
    }
}

impl HostCgroup {
    /// Puts a process in, before it has started anything.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        self.directories
            .iter()
            .try_for_each(|directory| fs::write(directory.join("cgroup.procs"), pid.to_string()))
    }
}

/// The files to write one's number into to be where `process` is, as far as we are elsewhere.
pub(crate) fn entrances(process: u32) -> Vec<PathBuf> {
    let (Ok(theirs), Ok(ours)) = (groups_of(&process.to_string()), groups_of("self")) else {
        return Vec::new();
    };
    theirs
        .into_iter()
        .filter(|group| !ours.contains(group))
        .map(|(_, _, path)| path.join("cgroup.procs"))
        .collect()
}

fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn set(directory: &Path, controller: &str, is_unified: bool, limits: &Limits) -> io::Result<()> {
    let write = |file: &str, value: String| match fs::write(directory.join(file), value) {
        // A kernel without quotas of processor time or accounts of swap.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}"))),
    };
    let memory = (limits.memory_mib << 20).to_string();
    match (controller, is_unified) {
        ("memory", false) => {
            write("memory.limit_in_bytes", memory.clone())?;
            // With swap: the same, or a host would be slow instead of limited.
            let _ = write("memory.memsw.limit_in_bytes", memory);
            Ok(())
        }
        ("memory", true) => {
            write("memory.max", memory)?;
            write("memory.swap.max", "0".into())
        }
        ("pids", _) => write("pids.max", limits.processes.to_string()),
        ("cpu", false) => match limits.millicpus {
            Some(share) => {
                write("cpu.cfs_period_us", PERIOD.to_string())?;
                write("cpu.cfs_quota_us", (u64::from(share) * PERIOD / 1000).to_string())
            }
            None => Ok(()),
        },
        ("cpu", true) => match limits.millicpus {
            Some(share) => write("cpu.max", format!("{} {PERIOD}", u64::from(share) * PERIOD / 1000)),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// A group of version 1 has no processors until it is given some, and nothing can run in it. Elsewhere there are no such
/// files, and nothing happens.
fn fill_cpuset(directory: &Path) {
    let Some(parent) = directory.parent() else { return };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let is_empty = fs::read_to_string(directory.join(file)).is_ok_and(|text| text.trim().is_empty());
        if is_empty && let Ok(text) = fs::read_to_string(parent.join(file)) {
            // Who finds it empty says so better than we could.
            let _ = fs::write(directory.join(file), text.trim());
        }
    }
}

/// Lets `owner` make groups below and put processes there, and not change this one's limits.
fn hand_over(directory: &Path, owner: u32) -> io::Result<()> {
    let owner = Some(owner);
    std::os::unix::fs::chown(directory, owner, owner)?;
    for file in ["cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control"] {
        match std::os::unix::fs::chown(directory.join(file), owner, owner) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes a directory and locks it.
fn claim(directory: &Path) -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        make(directory)?;
        // Swept away already, or about to be: once more.
        let Ok(lock) = File::open(directory) else { continue };
        if lock.try_lock().is_err() {
            std::thread::yield_now();
            continue;
        }
        let locked = lock.metadata()?.ino();
        if fs::metadata(directory).is_ok_and(|found| found.ino() == locked) {
            return Ok(lock);
        }
    }
    Err(io::Error::other(format!("another process holds {}", directory.display())))
}

/// Removes what processes that are gone have left in `place`.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_str().is_some_and(is_ours) {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        if lock.try_lock().is_ok() {
            let _ = remove_tree(&entry.path());
        }
    }
}

/// Whether a directory is called `trellis-PID-START.NUMBER`.
fn is_ours(name: &str) -> bool {
    let mut parts = name.strip_prefix(PREFIX).unwrap_or_default().splitn(3, ['-', '.']);
    (0..3).all(|_| parts.next().is_some_and(|part| part.parse::<u64>().is_ok()))
}

/// Removes a group and those below. Their files go with them.
fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => {
            for entry in entries?.flatten() {
                if entry.file_type()?.is_dir() {
                    remove_tree(&entry.path())?;
                }
            }
        }
    }
    fs::remove_dir(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_a_process_are_found_in_both_versions() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      31 24 0:27 /docker/x /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let groups = "4:memory:/api/one\n3:cpu,cpuacct:/docker/x/y\n2:freezer:/\n0::/user.slice/a.scope\n";
        let found = directories(groups, mounts);
        let shown: Vec<_> = found
            .iter()
            .map(|(names, is_unified, path)| (names.join(","), *is_unified, path.to_str().unwrap()))
            .collect();
        assert_eq!(
            shown,
            [
                ("memory".into(), false, "/sys/fs/cgroup/memory/api/one"),
                ("cpu,cpuacct".into(), false, "/sys/fs/cgroup/cpu,cpuacct/y"),
                (String::new(), true, "/sys/fs/cgroup/unified/user.slice/a.scope"),
            ]
        );
    }

    #[test]
    fn limits_are_written_in_the_words_of_each_version() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { memory_mib: 64, processes: 7, millicpus: Some(1500), open_files: 9 };
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        for (controller, is_unified, file, text) in [
            ("memory", false, "memory.limit_in_bytes", "67108864"),
            ("memory", true, "memory.max", "67108864"),
            ("pids", true, "pids.max", "7"),
            ("cpu", false, "cpu.cfs_quota_us", "150000"),
            ("cpu", true, "cpu.max", "150000 100000"),
        ] {
            set(directory.path(), controller, is_unified, &limits).unwrap();
            assert_eq!(read(file), text);
        }
    }

    #[test]
    fn what_a_killed_process_left_is_swept_away_and_what_a_living_one_has_is_not() {
        let place = tempfile::tempdir().unwrap();
        // The numbers are those of no process here: the living one is in another pid namespace.
        let (killed, living) = ("trellis-4194305-1.0", "trellis-4194306-1.0");
        let lock = claim(&place.path().join(living)).unwrap();
        for name in [killed, living, "trellis-x", "other"] {
            fs::create_dir_all(place.path().join(name).join("host")).unwrap();
        }
        let left = || {
            sweep(place.path());
            let entries = fs::read_dir(place.path()).unwrap();
            let mut left: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            left.sort();
            left
        };
        assert_eq!(left(), ["other", living, "trellis-x"]);
        assert!(claim(&place.path().join(living)).is_err(), "nobody else gets it");
        drop(lock);
        assert_eq!(left(), ["other", "trellis-x"]);
    }
}
