#!/usr/bin/env python3
"""DNS answers per second of CPU, beside unbound: `make bench-dns`.

Both are authorities for the same records on the loopback interface and are asked by dnsperf in turn, round after round, so
that whatever else the machine does meets both. What counts is the CPU time of the server's own process, not the wall's.
The same run shows what many records cost and how long a change takes to be answered inside a VPC.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "e2e"))
from instance import PYTHON, Instance, eventually, unique  # noqa: E402

APEX = "bench.example"
# Of Route 53's API: records in one call.
BATCH = 1000


def address(number):
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def cpu_seconds(pid):
    """User and system time of a process and its threads so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


class Unbound:
    """One thread, no cache to speak of in front of its local zone, which has the same records."""

    def __init__(self, directory, records):
        self.port = free_port()
        directory = pathlib.Path(directory)
        program = shutil.which("unbound") or "/usr/sbin/unbound"
        lines = "".join(f'  local-data: "h{number}.{APEX}. 300 IN A {address(number)}"\n' for number in range(records))
        (directory / "unbound.conf").write_text(f"""server:
  interface: 127.0.0.1@{self.port}
  do-daemonize: no
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 0
  num-threads: 1
  access-control: 127.0.0.0/8 allow
  local-zone: "{APEX}." static
{lines}remote-control:
  control-enable: no
""")
        self.log = open(directory / "unbound.log", "wb")
        self.process = subprocess.Popen([program, "-c", directory / "unbound.conf"], stdout=self.log, stderr=self.log)
        self.pid = self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def answered(port, name, kind="A"):
    done = subprocess.run(["dig", "@127.0.0.1", "-p", str(port), "+norecurse", "+short", "+tries=1", "+time=1", name, kind],
                          capture_output=True, text=True)
    return done.stdout.strip()


def perf(port, questions, seconds):
    """Answers that dnsperf got in so many seconds."""
    done = subprocess.run(["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", questions, "-l", str(seconds), "-c", "8",
                           "-q", "64", "-T", "1"], capture_output=True, text=True, check=True)
    said = done.stdout
    lost = int(re.search(r"Queries lost:\s+(\d+)", said)[1])
    completed = int(re.search(r"Queries completed:\s+(\d+)", said)[1])
    right = int(re.search(r"NOERROR (\d+)", said)[1])
    assert right == completed, said
    return completed, lost


def fill(instance, zone, records):
    route53 = instance.client("route53")
    began = time.monotonic()
    for start in range(0, records, BATCH):
        changes = [{"Action": "CREATE", "ResourceRecordSet": {
            "Name": f"h{number}.{APEX}", "Type": "A", "TTL": 300, "ResourceRecords": [{"Value": address(number)}]}}
            for number in range(start, min(start + BATCH, records))]
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return time.monotonic() - began


# Asks the VPC's resolver until the address is the one expected: the time of the first such answer.
WATCH = r"""
import socket, struct, sys, time
name, expected = sys.argv[1], socket.inet_aton(sys.argv[2])
question = b"".join(bytes([len(l)]) + l.encode() for l in name.split(".")) + b"\0" + struct.pack("!HH", 1, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)
print("asking", flush=True)
while True:
    s.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + question, ("169.254.169.253", 53))
    if s.recv(4096)[-4:] == expected:
        print(time.clock_gettime(time.CLOCK_MONOTONIC), flush=True); break
    time.sleep(0.001)
"""


def delay(instance, client, route53, zone, value):
    """Milliseconds from the answer of the call to the first answer inside the VPC that has the change."""
    watch = subprocess.Popen([*instance.prefix, os.environ["TRELLIS_BIN"], "exec", "--data-dir", instance.data, client, "--",
                              PYTHON, "-c", WATCH, f"change.{APEX}", value], stdout=subprocess.PIPE, text=True)
    assert watch.stdout.readline() == "asking\n"
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [{
        "Action": "UPSERT", "ResourceRecordSet": {"Name": f"change.{APEX}", "Type": "A", "TTL": 1,
                                                  "ResourceRecords": [{"Value": value}]}}]})
    returned = time.clock_gettime(time.CLOCK_MONOTONIC)
    seen = float(watch.stdout.readline())
    watch.wait(10)
    return max(0.0, (seen - returned) * 1000)


def measure(records, options):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        questions = directory / "questions"
        order = [f"h{number}.{APEX} A" for number in range(records)]
        random.Random(1).shuffle(order)
        questions.write_text("\n".join(order) + "\n")
        port = free_port()
        (directory / "trellis").mkdir()
        instance = Instance(directory / "trellis", "--dns-listen", f"127.0.0.1:{port}", "--quota", "L-E209CC9F=1000000")
        with instance:
            route53 = instance.client("route53")
            empty = resident_mib(instance.process.pid)
            zone = route53.create_hosted_zone(Name=APEX, CallerReference=unique("zone"))["HostedZone"]["Id"]
            took = fill(instance, zone, records)
            last = f"h{records - 1}.{APEX}"
            eventually(lambda: answered(port, last) == address(records - 1), timeout=120, what="the last record")
            vpc, subnet = instance.vpc()
            private = route53.create_hosted_zone(Name=APEX, CallerReference=unique("zone"),
                                                 VPC={"VPCRegion": "us-east-1", "VPCId": vpc})["HostedZone"]["Id"]
            fill(instance, private, records)
            client = instance.host(subnet)
            delays = [delay(instance, client, route53, private, f"10.200.0.{number + 1}") for number in range(20)]
            unbound = Unbound(directory, records)
            try:
                eventually(lambda: answered(unbound.port, last) == address(records - 1), timeout=120, what="unbound")
                servers = {"trellis": (instance.process.pid, port), "unbound": (unbound.pid, unbound.port)}
                rounds = {name: [] for name in servers}
                for number in range(options.rounds + 1):
                    for name, (pid, at) in servers.items():
                        before = cpu_seconds(pid)
                        completed, lost = perf(at, questions, options.seconds)
                        used = cpu_seconds(pid) - before
                        # The first round warms up.
                        if number:
                            rounds[name].append({"answers": completed, "lost": lost, "cpu_seconds": round(used, 3),
                                                 "per_cpu_second": round(completed / used)})
                memory = {name: round(resident_mib(pid)) for name, (pid, _) in servers.items()}
            finally:
                unbound.stop()
    return {
        "records": records,
        "per_cpu_second": {name: round(statistics.median(one["per_cpu_second"] for one in of)) for name, of in rounds.items()},
        "rounds": rounds,
        "memory_mib": memory,
        "memory_of_records_mib": round(memory["trellis"] - empty),
        "fill_seconds": round(took, 1),
        "change_to_answer_ms": {"median": round(statistics.median(delays), 1), "most": round(max(delays), 1), "of": len(delays)},
    }


def page(results, options):
    lines = [
        "# DNS", "",
        "Written by `make bench-dns`. Public zones on the authoritative port beside unbound "
        "with the same records in a local zone; dnsperf asks both in turn on the loopback interface, eight sockets, "
        f"{options.rounds} rounds of {options.seconds} s after one to warm up. What is compared is answers for each second of "
        "the server's CPU time, the median of the rounds.", "",
        "| records | Trellis, answers per CPU second | unbound | Trellis, MiB | of them for two zones of so many records | change to answer, ms: median, most of 20 |",
        "|---|---|---|---|---|---|",
    ]
    for one in results:
        delays = one["change_to_answer_ms"]
        lines.append(f"| {one['records']:,} | {one['per_cpu_second']['trellis']:,} | {one['per_cpu_second']['unbound']:,} | "
                     f"{one['memory_mib']['trellis']:,} | {one['memory_of_records_mib']:,} | {delays['median']}, {delays['most']} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/dns.md and dns.json")
    options = parser.parse_args()
    results = []
    for records in options.records:
        results.append(measure(records, options))
        print(json.dumps({key: value for key, value in results[-1].items() if key != "rounds"}), flush=True)
    if options.write:
        folder = ROOT / "docs/benchmarks"
        (folder / "dns.json").write_text(json.dumps(results, indent=1) + "\n")
        (folder / "dns.md").write_text(page(results, options))
    else:
        print(page(results, options))


if __name__ == "__main__":
    main()
