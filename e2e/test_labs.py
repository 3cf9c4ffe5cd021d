"""The labs as they are typed, from the first cluster to the clean-up. Each checks itself what it promises."""

import os
import pathlib
import subprocess

from api_server import CACHE
from cluster import programs
from instance import PROGRAM, PYTHON, ROOT


def run(lab, directory):
    folder = programs()
    assert (folder / "helm").exists(), f"{folder} has no helm: run scripts/kubernetes --helm"
    tools = directory / "bin"
    tools.mkdir()
    # The program itself: an image is made of it.
    (tools / "trellis").symlink_to(pathlib.Path(PROGRAM).resolve())
    (tools / "aws").symlink_to(pathlib.Path(PYTHON).with_name("aws"))
    environment = {**os.environ, "PATH": f"{tools}:{folder}:{os.environ['PATH']}", "HOME": str(directory),
                   "XDG_CACHE_HOME": str(CACHE), "TERM": "dumb"}
    done = subprocess.run([ROOT / "labs" / lab], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_lab_2(tmp_path):
    told = run("lab-2", tmp_path)
    assert "Hello from demo-cluster1-v1" in told and "Hello from demo-cluster2-v1" in told
    assert told.count("\nAccessDeniedException: User: arn:aws:sts::") == 2
    assert told.count("\nAccessDeniedException: User: anonymous") == 1


def test_lab_3(tmp_path):
    told = run("lab-3", tmp_path)
    assert "api.example.com/v2/env" in told and '{"POD":"demo-app-b-' in told
