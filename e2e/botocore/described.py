"""Our description, and the programs that decode and encode by it."""

import json
import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# Our signing name -> the name botocore files the service under.
MODEL_NAMES = {
    "vpc-lattice": "vpc-lattice",
    "ec2": "ec2",
    "sts": "sts",
    "tagging": "resourcegroupstaggingapi",
    "ram": "ram",
    "acm": "acm",
    "acm-pca": "acm-pca",
    "eks": "eks",
    "eks-auth": "eks-auth",
    "elasticloadbalancing": "elbv2",
    "iam": "iam",
    "lambda": "lambda",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "organizations": "organizations",
    "route53": "route53",
}


def descriptions():
    """The description of every service but the toy, which is nobody's but ours."""
    found = REPOSITORY.glob("crates/services/*/*.idl")
    return sorted(path for path in found if path.name != "toy.idl")


def build():
    """Builds the example programs; returns the directory they are in."""
    cargo = os.environ.get("CARGO", "cargo")
    # Of the whole workspace, as the tests were built: another selection of packages would compile what they need anew.
    command = [cargo, "build", "-q", "--workspace", "--examples", "--message-format=json"]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "dump_schema":
            return Path(message["executable"]).parent
    raise SystemExit("cargo did not say where it put dump_schema")


def schema(directory, files):
    """Every service described in `files` by its signing name."""
    text = subprocess.run([directory / "dump_schema", *files], stdout=subprocess.PIPE, check=True).stdout
    return {service["signing_name"]: service for service in json.loads(text)}


def implemented(directory):
    """Names of the operations the control plane has, by signing name."""
    return json.loads(subprocess.run([directory / "implemented"], stdout=subprocess.PIPE, check=True).stdout)


class Program:
    """One of the programs that answer each JSON line with one."""

    def __init__(self, path, files):
        self.process = subprocess.Popen(
            [path, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=10)
