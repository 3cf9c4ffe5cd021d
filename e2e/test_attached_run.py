"""`trellis run` without -d: one command, on the caller's terminal, in a host that lives as long as it does."""

import json
import os
import pty
import select
import signal
import subprocess

import pytest

from instance import TRELLIS, eventually, unique


@pytest.fixture(scope="module")
def subnet(shared):
    return shared.vpc()[1]


def as_a_shell_would():
    """Signals do what they do by default, also where the tests run in the background or under nohup."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def attached(shared, subnet, *command, name=None, **more):
    """`trellis run` as a child process."""
    words = [TRELLIS, "run", "--data-dir", str(shared.data), "--subnet", subnet, "--name", name or unique("attached")]
    return subprocess.Popen([*words, "--", *command], text=True, preexec_fn=as_a_shell_would, **more)


def run(shared, subnet, *command, **more):
    """The same to its end: exit status, standard output."""
    process = attached(shared, subnet, *command, stdout=subprocess.PIPE, **more)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


def names(shared):
    return [host["name"] for host in json.loads(shared.cli("ps", "--json").stdout)]


def test_the_command_runs_once(shared, subnet):
    name, path = unique("once"), f"/tmp/{unique('starts')}"
    # The second is there for whatever else would run it, too.
    code, out = run(shared, subnet, "sh", "-c", f"echo x >>{path}; sleep 1; cat {path}; rm {path}", name=name)
    assert (code, out) == (0, "x\n")
    log = shared.data / f"hosts/{name}.log"
    assert not log.exists() or log.read_text() == ""
    assert name not in names(shared)


def test_a_server_finds_its_port_free_and_its_host_alive(shared, subnet):
    script = ("import socket, time; s = socket.create_server(('', 8080)); time.sleep(1)\n"
              "socket.create_connection(('127.0.0.1', 8080)); print(s.accept()[1][0])")
    assert run(shared, subnet, "python3", "-c", script) == (0, "127.0.0.1\n")


@pytest.mark.parametrize("command, status", [
    (("true",), 0), (("sh", "-c", "exit 7"), 7), (("sh", "-c", "kill -KILL $$"), 137),
    (("no-such-command",), 127), (("/etc/passwd",), 126)])
def test_the_exit_status_is_the_command_s(shared, subnet, command, status):
    name = unique("ends")
    assert run(shared, subnet, *command, name=name, stderr=subprocess.DEVNULL) == (status, "")
    assert name not in names(shared)


def test_standard_input_is_the_caller_s(shared, subnet):
    process = attached(shared, subnet, "cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    out, _ = process.communicate("from here\n", timeout=60)
    assert (process.returncode, out) == (0, "from here\n")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_trellis_run_reaches_the_command(shared, subnet, sent):
    name = sent.name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 3' {name}; echo ready; while :; do sleep 0.05; done"
    process = attached(shared, subnet, "sh", "-c", script, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(sent)
    assert process.stdout.read() == f"got {name}\n"
    assert process.wait(30) == 3


def test_the_host_goes_with_a_trellis_run_that_is_killed(shared, subnet):
    name = unique("killed")
    process = attached(shared, subnet, "sleep", "1000", name=name)
    eventually(lambda: name in names(shared))
    process.kill()
    process.wait(10)
    eventually(lambda: name not in names(shared), what="the host gone")


class Terminal:
    """`trellis run` as the first process of a session with a terminal of its own."""

    def __init__(self, shared, subnet, *command):
        words = [TRELLIS, "run", "--data-dir", str(shared.data), "--subnet", subnet, "--name", unique("tty"), "--"]
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            as_a_shell_would()
            os.execv(TRELLIS, [*map(str, words), *command])
        self.seen = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def saw(self, text):
        if text not in self.seen and select.select([self.master], [], [], 0.1)[0]:
            self.seen += os.read(self.master, 4096).decode(errors="replace")
        return text in self.seen

    def expect(self, text):
        eventually(lambda: self.saw(text), 30, f"{text!r} on the terminal")

    def end(self, typed=""):
        """Its exit status. What is `typed` is typed until it ends: a shell that has not yet seen its last job end stays
        for the first time it is told to go."""
        def ended():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return [status] if pid else typed and self.type(typed)

        [status] = eventually(ended, 30, "the end of the command")
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)


def test_the_caller_s_terminal_is_the_command_s(shared, subnet):
    terminal = Terminal(shared, subnet, "sh", "-c", "test -t 0 && test -t 1 && echo on a terminal; read word; echo heard $word; exit 5")
    terminal.expect("on a terminal")
    terminal.type("hello\n")
    terminal.expect("heard hello")
    assert terminal.end() == 5


def test_control_c_interrupts_the_command_once(shared, subnet):
    script = "import signal, sys, time\nseen = []\nsignal.signal(signal.SIGINT, lambda *_: seen.append(1))\nprint('ready', flush=True)\n" \
             "while not seen: time.sleep(0.01)\ntime.sleep(0.3)\nprint('interrupts', len(seen)); sys.exit(9)"
    terminal = Terminal(shared, subnet, "python3", "-c", script)
    terminal.expect("ready")
    terminal.type("\x03")
    terminal.expect("interrupts 1")
    assert terminal.end() == 9


def test_a_shell_has_job_control(shared, subnet):
    terminal = Terminal(shared, subnet, "bash", "--norc", "-i")
    terminal.expect("bash-")
    terminal.type("echo begun $((20+1)); sleep 1000\n")
    terminal.expect("begun 21")
    # Until the shell has started the next program it is the shell's own, and nothing to it.
    eventually(lambda: terminal.type("\x1a") or terminal.saw("Stopped"), what="the program stopped")
    terminal.type("kill %1; wait %1; echo back $((20+2))\n")
    terminal.expect("back 22")
    assert terminal.end("exit 4\n") == 4


def test_a_detached_host_is_named_and_lives_on(shared, subnet):
    name = unique("detached")
    out = shared.cli("run", "--detach", "--subnet", subnet, "--name", name, "--", "sleep", "1000").stdout
    [host] = [host for host in json.loads(shared.cli("ps", "--json").stdout) if host["name"] == name]
    assert out == host["instance"] + "\n"
    assert shared.cli("rm", name).stdout == name + "\n"


def test_a_router_is_looked_at_with_the_machine_s_own_programs(shared):
    vpc, _ = shared.vpc()
    look = ["exec", "--vpc", vpc, "--", "cat", "/proc/net/fib_trie"]
    eventually(lambda: "10.0.1.1" in shared.cli(*look, check=False).stdout, what="the subnet in the router")
    assert "169.254.171.0" in shared.cli(*look).stdout
    assert shared.cli("exec", "--vpc", vpc, "--", "pwd").stdout.strip() == os.getcwd()
