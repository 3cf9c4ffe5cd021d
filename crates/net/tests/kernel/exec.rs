//! Commands run inside hosts and routers from another process.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::entry::SELF;
use crate::machine::{Machine, Ran};
use crate::plan::{add_host, fabric, vpc, vpc_id};

#[test]
fn the_exit_code_of_a_command_is_what_a_shell_would_say() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_host(&mut plan, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plan]));
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["no-such-program"], 127),
        (&["/no/such/program"], 127),
        (&["/etc/passwd"], 126),
        (&[], 127),
        (&[""], 127),
    ] {
        let ran = machine.run(&host, command);
        assert_eq!(ran.code, Some(code), "{command:?} {ran:?}");
    }
}

#[test]
fn a_command_gets_the_environment_it_is_given_our_streams_and_where_it_exists_our_directory() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_host(&mut plan, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plan]));
    let directory = machine.directory.path().to_str().unwrap().to_owned();
    let mut command = machine.entering(
        &host,
        &["sh", "-c", "echo $WORD $SECRET; pwd; cat; exec grep -c . /proc/self/status >/dev/null"],
    );
    let input = std::fs::write(machine.directory.path().join("input"), "from stdin")
        .map(|()| std::fs::File::open(machine.directory.path().join("input")).unwrap());
    command.env("WORD", "seen").env("SECRET", "unseen").current_dir("/usr/bin").stdin(input.unwrap());
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.text, "seen\n/usr/bin\nfrom stdin");
    assert_eq!(ran.code, Some(0));
    let mut elsewhere = machine.entering(&host, &["pwd"]);
    assert_eq!(Ran::from(elsewhere.current_dir(&directory).output().unwrap()).text, "/root");
}

#[test]
fn signals_sent_to_the_entering_process_reach_the_command() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_host(&mut plan, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plan]));
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = machine.entering(&host, &["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_host_that_is_gone_cannot_be_entered() {
    let mut machine = Machine::start();
    let mut plan = vpc(1);
    let host = add_host(&mut plan, 1, "10.0.1.10", &[]);
    machine.apply(fabric(1, [plan]));
    machine.apply(fabric(2, []));
    let ran = machine.run(&host, &["true"]);
    assert_eq!(ran.code, Some(125));
    assert!(ran.text.contains("gone"), "{ran:?}");
}

#[test]
fn a_router_can_be_looked_at() {
    let mut machine = Machine::start();
    machine.apply(fabric(1, [vpc(1)]));
    let path = machine.fabric.vpc_netns_path(&vpc_id(1)).unwrap();
    let ran = Ran::from(
        Command::new(SELF)
            .args(["tool", "enter-network", &std::process::id().to_string(), path.to_str().unwrap()])
            .args(["cat", "/proc/net/fib_trie"])
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, Some(0));
    for address in ["169.254.171.0", "169.254.169.253", "10.0.0.2", "10.0.1.1", "10.0.2.1"] {
        assert!(ran.text.contains(address), "{address} in {}", ran.text);
    }
    assert_eq!(machine.fabric.vpc_netns_path(&vpc_id(2)), None);
}
