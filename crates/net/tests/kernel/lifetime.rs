//! Nothing is left behind, however the owner ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trellis_net::{Fabric, FabricEvent, FabricOptions};

use crate::entry::SELF;
use crate::machine::Machine;
use crate::plan::{add_host, add_server, fabric, vpc, vpc_id};

/// How long the kernel may take to clean up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that has a fabric with two VPCs and two hosts, says so, and waits to be killed.
pub(crate) fn own_a_fabric(directory: &Path) -> ! {
    let options = FabricOptions::new(directory.join("run"), directory.join("logs"));
    let (fabric_, mut events) = Fabric::start(options).unwrap();
    let mut first = vpc(1);
    add_server(&mut first, 1, "10.0.1.10");
    let mut second = vpc(2);
    add_host(&mut second, 2, "10.0.1.10", &["sh", "-c", "setsid sleep 1000 & sleep 1000"]);
    fabric_.apply(fabric(1, [first, second]));
    let mut line = String::new();
    while let Some(event) = events.blocking_recv() {
        match event {
            FabricEvent::HostReady { pid, .. } => line.push_str(&format!("/proc/{pid}/ns ")),
            FabricEvent::Converged { .. } => break,
            _ => {}
        }
    }
    for vpc in [vpc_id(1), vpc_id(2)] {
        let path = fabric_.vpc_netns_path(&vpc).unwrap();
        line.push_str(&format!("{} ", path.parent().unwrap().display()));
    }
    println!("{line}");
    std::thread::sleep(Duration::from_secs(600));
    std::process::exit(0)
}

/// The network and process namespaces under each of these `/proc/.../ns`.
fn namespaces<'a>(directories: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let ours = ["net", "pid"].map(|kind| fs::read_link(format!("/proc/self/ns/{kind}")).unwrap());
    directories
        .flat_map(|directory| {
            ["net", "pid"].map(|kind| fs::read_link(format!("{directory}/{kind}")).unwrap())
        })
        .filter(|link| !ours.contains(link))
        .map(|link| link.to_string_lossy().into_owned())
        .collect()
}

/// Which threads of the machine are in one of `namespaces`.
fn inhabitants(namespaces: &BTreeSet<String>) -> Vec<String> {
    let entries = |path: &str| fs::read_dir(path).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for process in entries("/proc").filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit()) {
        for thread in entries(&format!("{}/task", process.path().display())) {
            for kind in ["net", "pid"] {
                let link = fs::read_link(thread.path().join("ns").join(kind)).unwrap_or_default();
                if namespaces.contains(&*link.to_string_lossy()) {
                    found.push(format!("{} in {}", thread.path().display(), link.display()));
                }
            }
        }
    }
    found
}

#[test]
fn killing_the_owner_leaves_no_process_and_no_namespace() {
    let directory = tempfile::tempdir().unwrap();
    let mut owner = Command::new(SELF)
        .args(["tool", "own-a-fabric", directory.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let namespaces = namespaces(line.split_ascii_whitespace());
    // Of two hosts the network and the processes, of two VPCs the network.
    assert_eq!(namespaces.len(), 6, "{line}");
    assert!(inhabitants(&namespaces).len() >= 6);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = inhabitants(&namespaces);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn shutting_down_ends_every_host_and_vpc() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_server(&mut plan, 1, "10.0.1.10");
    machine.apply(fabric(1, [plan, vpc(2)]));
    let pid = machine.pid(&host);
    let path = machine.fabric.vpc_netns_path(&vpc_id(1)).unwrap();
    let directories = [format!("/proc/{pid}/ns"), path.parent().unwrap().display().to_string()];
    let namespaces = namespaces(directories.iter().map(String::as_str));
    assert!(machine.fabric.shutdown());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    // A thread that has said its last word may still be on its way out.
    let deadline = Instant::now() + PATIENCE;
    while !inhabitants(&namespaces).is_empty() {
        assert!(Instant::now() < deadline, "{:#?}", inhabitants(&namespaces));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read_dir(machine.directory.path().join("run")).unwrap().count(), 0);
}
