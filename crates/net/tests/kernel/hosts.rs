//! What a host looks like from inside, and what becomes of plans that change or cannot be.

use std::collections::BTreeSet;

use trellis_net::FabricEvent;

use crate::entry::SELF;
use crate::machine::Machine;
use crate::plan::{add_host, add_server, fabric, instance_id, vpc, vpc_id};

#[test]
fn a_host_has_its_own_name_resolver_processes_and_interface() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_host(&mut plan, 1, "10.0.1.10", &["sleep", "1000"]);
    machine.apply(fabric(1, [plan]));
    let text = |command: &str| machine.run(&host, &["sh", "-c", command]).text;
    assert_eq!(text("cat /proc/sys/kernel/hostname"), "host-00000001");
    assert_eq!(
        text("cat /etc/resolv.conf"),
        "nameserver 169.254.169.253\nnameserver 10.0.0.2\noptions timeout:2 attempts:2"
    );
    assert_eq!(text("id -u"), "0");
    let interfaces = text("cat /proc/net/dev");
    assert!(interfaces.contains("eth0:") && interfaces.contains("lo:"), "{interfaces}");
    assert!(!interfaces.contains("b-"), "{interfaces}");
    assert_eq!(text("ip -o link show eth0 | grep -o 'mtu [0-9]*'"), "mtu 9001");
    // Where /proc may be mounted afresh, process 1 is the host's first. A container that covers parts of its own /proc
    // does not let anyone do that.
    let may_mount = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "true"])
        .stderr(std::process::Stdio::null())
        .status();
    if may_mount.is_ok_and(|status| status.success()) {
        assert_eq!(text("cat /proc/1/comm"), "trellis-host");
    }
    // The machine's own files are as they were.
    let outside = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    assert!(!outside.contains("169.254.169.253"), "{outside}");
}

#[test]
fn output_goes_to_the_log_and_the_exit_code_is_reported() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let first = add_host(&mut plan, 1, "10.0.1.10", &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    let second = add_host(&mut plan, 2, "10.0.1.11", &["no-such-program"]);
    let third = add_host(&mut plan, 3, "10.0.1.12", &["sh", "-c", "kill -TERM $$"]);
    machine.fabric.apply(fabric(1, [plan]));
    for (instance, code) in [(first.clone(), 7), (second, 127), (third, 128 + 15)] {
        let wanted = FabricEvent::HostExited { instance, code };
        if !machine.seen.contains(&wanted) {
            machine.wait_for(|event| *event == wanted);
        }
    }
    // What was written before an end may reach the log after the word of it.
    for (host, said) in [("host-00000001", "out\nerr\n"), ("host-00000002", "no-such-program")] {
        while !machine.log(host).contains(said) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    assert_eq!(machine.log("host-00000001"), "out\nerr\n");
    // The host outlives its command.
    assert_eq!(machine.run(&first, &["true"]).code, Some(0));
}

#[test]
fn a_command_does_not_see_the_keys_in_our_environment() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_host(&mut plan, 1, "10.0.1.10", &["env"]);
    machine.fabric.apply(fabric(1, [plan]));
    machine.wait_for(|event| *event == FabricEvent::HostExited { instance: host.clone(), code: 0 });
    let names: BTreeSet<String> = machine
        .log("host-00000001")
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.to_owned()))
        .collect();
    let allowed = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "LANG", "LC_ALL", "LC_CTYPE"];
    assert!(names.iter().all(|name| allowed.contains(&name.as_str())), "{names:?}");
}

#[test]
fn signals_to_the_first_process_reach_the_command() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let host = add_host(&mut plan, 1, "10.0.1.10", &["sh", "-c", script]);
    machine.apply(fabric(1, [plan]));
    while !machine.log("host-00000001").contains("ready") {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(machine.pid(&host) as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    machine.wait_for(|event| *event == FabricEvent::HostExited { instance: host.clone(), code: 3 });
}

#[test]
fn plans_converge_step_by_step() {
    let mut machine = Machine::start();
    machine.apply(fabric(1, []));
    let mut plan = vpc(1);
    machine.apply(fabric(2, [plan.clone()]));
    assert!(machine.seen.contains(&FabricEvent::VpcReady { vpc: vpc_id(1), revision: 2 }));
    let client = add_host(&mut plan, 1, "10.0.1.10", &[]);
    let server = add_server(&mut plan, 2, "10.0.2.10");
    machine.apply(fabric(3, [plan.clone(), vpc(2)]));
    assert!(machine.answer(&client, "10.0.2.10:8080").contains("answers 10.0.1.10"));
    // Another address: another host.
    let first = machine.pid(&server);
    add_server(&mut plan, 2, "10.0.2.11");
    machine.apply(fabric(4, [plan.clone(), vpc(2)]));
    assert_ne!(machine.pid(&server), first);
    assert!(machine.answer(&client, "10.0.2.11:8080").contains("at 10.0.2.11"));
    assert_ne!(machine.tool(&client, &["connect", "10.0.2.10:8080"]).code, Some(0));
    // The untouched host is the same all along.
    let gone = FabricEvent::HostGone { instance: client.clone() };
    assert!(!machine.seen.contains(&gone));
    plan.hosts.remove(&server);
    plan.subnets.retain(|_, subnet| subnet.cidr.to_string() == "10.0.1.0/24");
    machine.apply(fabric(5, [plan.clone()]));
    assert!(machine.seen.contains(&FabricEvent::HostGone { instance: server }));
    assert!(machine.seen.contains(&FabricEvent::VpcGone { vpc: vpc_id(2) }));
    assert_ne!(machine.tool(&client, &["ping", "10.0.2.1"]).code, Some(0));
    assert_eq!(machine.tool(&client, &["ping", "10.0.1.1"]).code, Some(0));
    machine.apply(fabric(6, []));
    assert!(machine.seen.contains(&gone));
    assert!(machine.seen.contains(&FabricEvent::VpcGone { vpc: vpc_id(1) }));
    // And back again, under the same ids.
    add_server(&mut plan, 2, "10.0.1.20");
    machine.apply(fabric(7, [plan]));
    assert!(machine.answer(&client, "10.0.1.20:8080").contains("at 10.0.1.20"));
}

#[test]
fn of_plans_that_overtake_each_other_only_the_last_remains() {
    let mut machine = Machine::start();
    for revision in 1..40 {
        let mut plan = vpc(1);
        for host in 1..=(revision * 7 % 5) {
            add_host(&mut plan, host, &format!("10.0.1.{}", 10 + (host + revision) % 9), &["sleep", "1000"]);
        }
        machine.fabric.apply(fabric(revision, [plan].into_iter().filter(|_| revision % 6 != 0)));
        std::thread::sleep(std::time::Duration::from_millis(revision * 5 % 17));
    }
    let mut plan = vpc(1);
    let last = add_host(&mut plan, 1, "10.0.1.30", &["sleep", "1000"]);
    machine.apply(fabric(40, [plan]));
    assert_eq!(machine.tool(&last, &["ping", "10.0.1.1"]).code, Some(0));
    // Of the others neither an address nor a cable nor a process is left.
    let path = machine.fabric.vpc_netns_path(&vpc_id(1)).unwrap();
    let own = std::process::id().to_string();
    let links = std::process::Command::new(SELF)
        .args(["tool", "enter-network", &own, path.to_str().unwrap(), "cat", "/proc/net/dev"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&links.stdout).matches("h-").count(), 1);
    let mut ready = BTreeSet::new();
    for event in &machine.seen {
        match event {
            FabricEvent::HostReady { instance, .. } => drop(ready.insert(instance.clone())),
            FabricEvent::HostGone { instance } => drop(ready.remove(instance)),
            FabricEvent::HostFailed { reason, .. } => panic!("{reason}"),
            _ => {}
        }
    }
    assert_eq!(ready, [last].into());
}

#[test]
fn one_that_cannot_be_made_holds_nobody_up() {
    let mut machine = Machine::start();
    let mut broken = vpc(1);
    broken.cidrs.clear();
    add_host(&mut broken, 9, "10.0.1.10", &[]);
    let mut sound = vpc(2);
    let outside = add_host(&mut sound, 1, "10.0.1.10", &[]);
    sound.hosts.get_mut(&outside).unwrap().address = "192.0.2.1".parse().unwrap();
    let unnameable = add_host(&mut sound, 2, "10.0.1.11", &[]);
    sound.hosts.get_mut(&unnameable).unwrap().name = "../escape".into();
    let client = add_host(&mut sound, 3, "10.0.1.12", &[]);
    add_server(&mut sound, 4, "10.0.1.13");
    machine.apply(fabric(1, [broken, sound]));
    assert!(machine.answer(&client, "10.0.1.13:8080").contains("answers 10.0.1.12"));
    let failed: BTreeSet<String> = machine
        .seen
        .iter()
        .filter_map(|event| match event {
            FabricEvent::VpcFailed { vpc, .. } => Some(vpc.to_string()),
            FabricEvent::HostFailed { instance, .. } => Some(instance.to_string()),
            _ => None,
        })
        .collect();
    let expected = [vpc_id(1).to_string(), instance_id(1).to_string(), instance_id(2).to_string()];
    assert_eq!(failed, expected.into());
}

#[test]
fn a_host_whose_first_process_is_killed_comes_back() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_server(&mut plan, 1, "10.0.1.10");
    machine.apply(fabric(1, [plan]));
    let first = machine.pid(&host);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    machine.wait_for(|event| matches!(event, FabricEvent::HostFailed { .. }));
    machine.wait_for(|event| matches!(event, FabricEvent::HostReady { .. }));
    assert_ne!(machine.pid(&host), first);
    assert!(machine.answer(&host, "10.0.1.10:8080").contains("answers"));
}

#[test]
fn many_vpcs_stand_side_by_side() {
    let mut machine = Machine::start();
    let plans: Vec<_> = (1..=60)
        .map(|number| {
            let mut plan = vpc(number);
            if number % 20 == 0 {
                add_server(&mut plan, number, "10.0.1.10");
            }
            plan
        })
        .collect();
    machine.apply(fabric(1, plans));
    for number in [20, 40, 60] {
        let text = machine.answer(&instance_id(number), "10.0.1.10:8080");
        assert_eq!(text, format!("host-{number:08x} answers 10.0.1.10 at 10.0.1.10"));
    }
    machine.apply(fabric(2, []));
    assert_eq!(machine.seen.iter().filter(|event| matches!(event, FabricEvent::VpcGone { .. })).count(), 60);
}
