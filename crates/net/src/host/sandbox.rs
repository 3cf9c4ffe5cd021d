//! The file system of a host, built by its first process: the machine's programs to read, what it was given, and
//! for the rest files of its own that go with it.
//!
//! It is built in the host's own mount namespace as a tree beside the machine's, which then takes the machine's place;
//! nothing leads back. What is not put here does not exist for the host: the machine's data, homes, sockets and
//! devices, and this installation's keys among them.

pub(crate) mod filter;
pub(crate) mod rights;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use super::control::HostConfig;
use crate::mount_tree::{PLAIN, Tree};

/// Where the new tree is built. It is everywhere, and nothing in it is a part of the new one.
const STAGE: &str = "/tmp";

/// Where a command begins: empty, and its own.
pub(crate) const HOME: &str = "/root";

/// Programs and their libraries.
const PROGRAMS: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What programs look up in /etc and anyone may know. Whatever is not named here stays behind.
const CONFIGURATION: [&str; 38] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "default/locale",
    "fonts",
    "gai.conf",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "magic",
    "magic.mime",
    "mime.types",
    "networks",
    "nsswitch.conf",
    "os-release",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "profile",
    "profile.d",
    "protocols",
    "rpc",
    "services",
    "shells",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];

/// Names in /etc that begin so: the configuration of languages.
const LANGUAGES: [&str; 3] = ["java", "python", "node"];

/// Directories that are the host's own to write.
const WRITABLE: [(&str, u32); 4] = [("tmp", 0o1777), ("root", 0o700), ("run", 0o755), ("var", 0o755)];

/// Below /var.
const VAR: [(&str, u32); 6] =
    [("cache", 0o755), ("lib", 0o755), ("local", 0o755), ("log", 0o755), ("spool", 0o755), ("tmp", 0o1777)];

const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// For those who may make mounts and links, where the machine has them.
const PRIVILEGED_DEVICES: [&str; 3] = ["kmsg", "fuse", "net/tun"];

/// What of /proc is about the machine: covered, or not to be written.
const PROC_COVERED: [&str; 10] = [
    "acpi",
    "asound",
    "interrupts",
    "kcore",
    "keys",
    "latency_stats",
    "sched_debug",
    "scsi",
    "timer_list",
    "kmsg",
];
const PROC_READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

const NOTHING: Option<&str> = None;
const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Says of what went wrong what it was about.
fn about(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Makes the calling process's root what a host's should be, with the `trees` that `config` says where to put.
pub(super) fn build(config: &HostConfig, trees: Vec<Tree>) -> io::Result<()> {
    let stage = Path::new(STAGE);
    mount_new("tmpfs", stage, SAFE, "mode=0755,size=4m,nr_inodes=4096").map_err(about("begin a root"))?;
    writable(stage, config.sandbox.limits.memory_mib).map_err(about("make the host's own directories"))?;
    for name in PROGRAMS {
        show(&Path::new("/").join(name), &stage.join(name)).map_err(about(format!("show /{name}")))?;
    }
    configuration(stage, config).map_err(about("make /etc"))?;
    devices(stage, config.sandbox.is_privileged).map_err(about("make /dev"))?;
    kernel_files(stage, config.sandbox.is_privileged)?;

    // The old root is mounted on the new, and then taken off.
    chdir(stage)?;
    pivot_root(".", ".").map_err(io::Error::from).map_err(about("change the root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(io::Error::from).map_err(about("leave the machine's root"))?;
    chdir("/")?;

    for (tree, given) in trees.into_iter().zip(&config.trees) {
        put(tree, &given.target).map_err(about(given.target.display()))?;
        for hidden in &given.hidden {
            cover(hidden).map_err(about(hidden.display()))?;
        }
    }
    if config.sandbox.is_privileged {
        cgroups().map_err(about("make /sys/fs/cgroup"))?;
    }
    // What is left of the skeleton is nobody's to change.
    let fixed = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | SAFE;
    mount(NOTHING, "/", NOTHING, fixed, NOTHING)?;
    chdir(HOME)?;
    Ok(())
}

fn mount_new(kind: &str, target: &Path, flags: MsFlags, options: &str) -> io::Result<()> {
    Ok(mount(Some(kind), target, Some(kind), flags, Some(options))?)
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// One file system of a bounded size behind all that the host may write.
fn writable(stage: &Path, memory_mib: u64) -> io::Result<()> {
    let own = stage.join("own");
    fs::create_dir(&own)?;
    mount_new("tmpfs", &own, SAFE, &format!("mode=0755,size={}m", (memory_mib / 2).max(1)))?;
    for (name, mode) in WRITABLE.into_iter().chain([("shm", 0o1777)]) {
        make_directory(&own.join(name), mode)?;
    }
    for (name, mode) in VAR {
        make_directory(&own.join("var").join(name), mode)?;
    }
    make_directory(&own.join("run/lock"), 0o1777)?;
    symlink("/run", own.join("var/run"))?;
    symlink("/run/lock", own.join("var/lock"))?;
    for (name, _) in WRITABLE {
        put(Tree::of(&own.join(name))?, &stage.join(name))?;
    }
    make_directory(&stage.join("dev"), 0o755)?;
    put(Tree::of(&own.join("shm"))?, &stage.join("dev/shm"))?;
    umount2(&own, MntFlags::MNT_DETACH)?;
    fs::remove_dir(&own)?;
    // Where people put things; empty, for --mount.
    for name in ["home", "mnt", "opt", "srv", "etc", "proc", "sys"] {
        make_directory(&stage.join(name), 0o755)?;
    }
    Ok(())
}

/// Mounts `tree` on `target`, which is made when it is not there.
fn put(tree: Tree, target: &Path) -> io::Result<()> {
    let is_directory =
        nix::sys::stat::fstat(&tree).map(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)?;
    if is_directory {
        fs::create_dir_all(target)?;
    } else if !target.exists() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create(target)?;
    }
    tree.attach(target)
}

/// Has `target` show the machine's `source`, to be read. Nothing where there is no such thing.
fn show(source: &Path, target: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.is_symlink() {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        return symlink(fs::read_link(source)?, target);
    }
    let tree = Tree::of(source)?;
    tree.restrict(PLAIN | libc::MOUNT_ATTR_RDONLY)?;
    put(tree, target)
}

fn configuration(stage: &Path, config: &HostConfig) -> io::Result<()> {
    let (from, to) = (Path::new("/etc"), stage.join("etc"));
    for name in CONFIGURATION {
        show(&from.join(name), &to.join(name)).map_err(about(name))?;
    }
    for entry in fs::read_dir(from)?.flatten() {
        let name = entry.file_name();
        let is_language = |name: &str| LANGUAGES.iter().any(|language| name.starts_with(language));
        if name.to_str().is_some_and(is_language) {
            show(&entry.path(), &to.join(&name))?;
        }
    }
    let name = &config.name;
    let mut hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    for address in &config.addresses {
        hosts.push_str(&format!("{address} {name}\n"));
    }
    fs::write(to.join("hosts"), hosts)?;
    fs::write(to.join("hostname"), format!("{name}\n"))?;
    for file in ["passwd", "group"] {
        let known = fs::read_to_string(from.join(file)).unwrap_or_default();
        fs::write(to.join(file), of_the_system(&known))?;
    }
    symlink("/proc/self/mounts", to.join("mtab"))
}

/// The lines of a passwd or group file that are about the system, not about people.
fn of_the_system(file: &str) -> String {
    let is_of_it = |line: &&str| {
        let number = line.split(':').nth(2).and_then(|number| number.parse::<u32>().ok());
        number.is_some_and(|number| number < 1000 || number == 65534)
    };
    file.lines().filter(is_of_it).flat_map(|line| [line, "\n"]).collect()
}

fn devices(stage: &Path, is_privileged: bool) -> io::Result<()> {
    let dev = stage.join("dev");
    let privileged = PRIVILEGED_DEVICES.into_iter().filter(|_| is_privileged);
    for name in DEVICES.into_iter().chain(privileged) {
        let source = Path::new("/dev").join(name);
        if source.exists() {
            let tree = Tree::of(&source).map_err(about(name))?;
            tree.restrict(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC)?;
            put(tree, &dev.join(name)).map_err(about(name))?;
        }
    }
    fs::create_dir(dev.join("pts"))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount_new("devpts", &dev.join("pts"), flags, "newinstance,ptmxmode=0666,mode=0620")
        .map_err(about("pts"))?;
    for (name, to) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, dev.join(name))?;
    }
    Ok(())
}

/// /proc and /sys, of the host's own namespaces.
fn kernel_files(stage: &Path, is_privileged: bool) -> io::Result<()> {
    let (proc, sys) = (stage.join("proc"), stage.join("sys"));
    let safe = SAFE | MsFlags::MS_NOEXEC;
    if let Err(error) = mount_new("proc", &proc, safe, "") {
        // Refused in containers that cover parts of theirs; the machine's processes are then seen by number, no more.
        super::init::say(format_args!("no /proc of its own ({error}): the machine's is shown"));
        put(Tree::of(Path::new("/proc"))?, &proc).map_err(about("show /proc"))?;
    }
    let read_only = if is_privileged { MsFlags::empty() } else { MsFlags::MS_RDONLY };
    // As above; few programs miss it.
    let _ = mount_new("sysfs", &sys, safe | read_only, "");
    if is_privileged {
        return Ok(());
    }
    cover(&sys.join("firmware"))?;
    for name in PROC_COVERED {
        cover(&proc.join(name)).map_err(about(format!("cover /proc/{name}")))?;
    }
    for name in PROC_READ_ONLY {
        let path = proc.join(name);
        if path.exists() {
            let tree = Tree::of(&path)?;
            tree.restrict(PLAIN | libc::MOUNT_ATTR_NOEXEC | libc::MOUNT_ATTR_RDONLY)?;
            tree.attach(&path).map_err(about(format!("protect /proc/{name}")))?;
        }
    }
    Ok(())
}

/// Puts nothing over a directory or a file, where there is one.
fn cover(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => {
            mount_new("tmpfs", path, SAFE | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY, "mode=0555,size=4k")
        }
        _ => Tree::of(Path::new("/dev/null"))?.attach(path),
    }
}

/// The host's own cgroups, to make more in: the namespace's view of each hierarchy.
fn cgroups() -> io::Result<()> {
    let place = Path::new("/sys/fs/cgroup");
    if !place.is_dir() {
        return Ok(());
    }
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let names: Vec<&str> = groups.lines().filter_map(|line| line.split(':').nth(1)).collect();
    if names == [""] {
        // Version 2 alone.
        let _ = mount_new("cgroup2", place, SAFE | MsFlags::MS_NOEXEC, "");
        return Ok(());
    }
    mount_new("tmpfs", place, SAFE | MsFlags::MS_NOEXEC, "mode=0755,size=64k")?;
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        let directory = place.join(name.trim_start_matches("name="));
        fs::create_dir(&directory)?;
        let options = if name.starts_with("name=") { format!("none,{name}") } else { name.to_owned() };
        if mount_new("cgroup", &directory, SAFE | MsFlags::MS_NOEXEC, &options).is_err() {
            fs::remove_dir(&directory)?;
        }
    }
    Ok(())
}

/// Where something can be mounted in a host: an absolute path that does not go up, and is none of the kernel's own.
pub(crate) fn is_target(path: &Path) -> bool {
    let mut components = path.components();
    let is_absolute = components.next() == Some(Component::RootDir);
    let names: Vec<_> = components.collect();
    let kept = ["proc", "sys", "dev"].map(|name| Component::Normal(name.as_ref()));
    is_absolute
        && names.iter().all(|component| matches!(component, Component::Normal(_)))
        && names.first().is_some_and(|first| !kept.contains(first))
}

/// Becomes the host's root, whoever that is outside.
pub(super) fn become_root() -> io::Result<()> {
    // SAFETY: numbers and an empty list.
    unsafe {
        // Refused where the user who started us may not give groups up; then it has none but its own.
        let _ = libc::setgroups(0, std::ptr::null());
        Errno::result(libc::setresgid(0, 0, 0))?;
        Errno::result(libc::setresuid(0, 0, 0))?;
    }
    Ok(())
}

/// Where `path` of the machine is in the host that sees the machine's `source` at `target`.
pub(crate) fn seen_at(path: &Path, source: &Path, target: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(source).ok()?;
    Some(if rest.as_os_str().is_empty() { target.to_owned() } else { target.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_that_go_down_can_be_mounted_on() {
        for path in ["/data", "/usr/local/x", "/root", "/process"] {
            assert!(is_target(Path::new(path)), "{path}");
        }
        for path in ["", "/", "data", "/a/../b", "/proc", "/proc/sys", "/dev/x", "/sys"] {
            assert!(!is_target(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn people_are_not_in_the_passwd_file_of_a_host() {
        let known = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\nnobody:x:65534:65534::/:/x\nbroken\n";
        let shown = of_the_system(known);
        assert_eq!(shown, "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/x\n");
    }

    #[test]
    fn a_path_below_what_is_mounted_is_known_where_it_appears() {
        let seen = |path: &str| seen_at(Path::new(path), Path::new("/home/ann"), Path::new("/srv"));
        assert_eq!(seen("/home/ann/.trellis"), Some("/srv/.trellis".into()));
        assert_eq!(seen("/home/ann"), Some("/srv".into()));
        assert_eq!(seen("/home/bob"), None);
    }
}
