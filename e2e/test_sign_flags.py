"""The flags of `trellis sign` that no service is needed for: where it listens, whose keys it has, to whom it sends."""

import contextlib
import os
import signal
import subprocess

import pytest

from instance import TRELLIS, eventually, free_port

AUTHORITY = "arn:aws:acm-pca:us-east-1:111122223333:certificate-authority/11111111-2222-3333-4444-555555555555"


def curl(url, *flags):
    """Status and body; 0 without an answer."""
    done = subprocess.run(["curl", "-sS", "-m", "10", *flags, "-w", "\n%{http_code}", url], capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return int(status or 0), body


@pytest.fixture
def sign(tmp_path):
    """Starts a signing proxy that finds region and keys in a profile; its port, and that of its metrics."""
    (tmp_path / "credentials").write_text("[app]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = secret\n")
    (tmp_path / "config").write_text("[profile app]\nregion = eu-west-1\n")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    variables |= {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_CONFIG_FILE": str(tmp_path / "config"),
                  "AWS_EC2_METADATA_DISABLED": "true"}
    with contextlib.ExitStack() as ends:

        def start(*flags, profile=("--profile", "app")):
            port, metrics = free_port(), free_port()
            process = subprocess.Popen(
                [TRELLIS, "sign", *profile, "--listen", f"127.0.0.1:{port}", "--metrics-listen", f"127.0.0.1:{metrics}",
                 "--workers", "2", "--drain-seconds", "1", *flags],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)

            def end():
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=20)

            ends.callback(end)
            return process, port, metrics

        yield start


def test_it_listens_where_it_is_told_and_sends_to_whom_it_may(sign):
    process, port, metrics = sign("--ca", "/etc/ssl/certs/ca-certificates.crt", "--allow-destination", "127.0.0.0/8")
    assert process.stdout.readline() == f"trellis sign is ready: 127.0.0.1:{port}\n"
    eventually(lambda: curl(f"http://127.0.0.1:{metrics}/ready") == (200, "ok\n"))
    closed = free_port()
    status, body = curl(f"http://127.0.0.1:{closed}/", "-x", f"http://127.0.0.1:{port}")
    assert status == 502 and f"cannot be reached at 127.0.0.1 port {closed}" in body, body


def test_nobody_but_services_is_sent_a_signature(sign):
    process, port, metrics = sign("--ca", "/etc/ssl/certs/ca-certificates.crt")
    assert process.stdout.readline().startswith("trellis sign is ready: ")
    eventually(lambda: curl(f"http://127.0.0.1:{metrics}/ready") == (200, "ok\n"))
    status, body = curl(f"http://127.0.0.1:{free_port()}/", "-x", f"http://127.0.0.1:{port}")
    assert status not in (0, 200) and "--allow-destination" in body, (status, body)


def test_an_endpoint_of_acm_pca_that_does_not_answer_is_named(sign):
    process, port, metrics = sign("--ca", AUTHORITY, "--ca-endpoint", "http://127.0.0.1:1")
    assert process.stdout.readline().startswith("trellis sign is ready: ")
    told = eventually(lambda: (answer := curl(f"http://127.0.0.1:{metrics}/ready"))[0] == 503 and answer[1])
    assert "cannot be asked for its certificate: http://127.0.0.1:1/ cannot be reached" in told, told


def test_without_a_region_anywhere_it_says_how_to_give_one(sign):
    process, _, _ = sign(profile=())
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0 and "--region" in said and "panicked" not in said, said
