"""A service is one crate and one line: the toy service, called with boto3's generic client."""

import contextlib
import json
import pathlib
import subprocess
import time

import boto3
import botocore.config
import botocore.exceptions
import botocore.session
import pytest

REPOSITORY = pathlib.Path(__file__).parent.parent
MODELS = pathlib.Path(__file__).parent / "toy"
KEY = ("AKIATESTTESTTESTTEST", "a-secret-that-is-only-used-in-tests")


def build():
    """The path of the example program that serves the toy service."""
    # Of the whole workspace, as the tests were built: another selection of packages would compile them anew.
    command = ["cargo", "build", "--quiet", "--workspace", "--example", "serve", "--message-format=json"]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(
        message["executable"] for message in messages
        if message.get("executable") and message["target"]["name"] == "serve")


@contextlib.contextmanager
def served():
    """The endpoint of a control plane of the toy service alone."""
    process = subprocess.Popen([build(), *KEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def client(endpoint, secret=KEY[1]):
    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.append(str(MODELS))
    return boto3.session.Session(botocore_session=session).client(
        "toy", region_name="us-east-1", endpoint_url=endpoint, aws_access_key_id=KEY[0],
        aws_secret_access_key=secret, config=botocore.config.Config(retries={"total_max_attempts": 1}))


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer


def test_one_crate_and_one_line_make_a_service_that_any_client_can_call():
    with served() as endpoint:
        toy = client(endpoint)
        made = toy.create_shelf(name="books", clientToken="once")["shelf"]
        assert made["arn"] == "arn:aws:toy:us-east-1:111122223333:shelf/books"
        assert made["status"] == "CREATING"

        # The idempotency token, from the description alone.
        assert toy.create_shelf(name="books", clientToken="once")["shelf"] == made
        assert refused(toy.create_shelf, name="other", clientToken="once")[:2] == ("ConflictException", 409)
        assert refused(toy.create_shelf, name="books")[:2] == ("ConflictException", 409)
        assert refused(toy.create_shelf, name="Not A Name")[:2] == ("ValidationException", 400)

        # The workflow.
        deadline = time.monotonic() + 30
        while toy.get_shelf(name="books")["shelf"]["status"] != "READY":
            assert time.monotonic() < deadline, "a shelf does not become READY"

        # Pages, and a token that is good for its list alone.
        for name in ("cups", "hats"):
            toy.create_shelf(name=name)
        pages = list(toy.get_paginator("list_shelves").paginate(PaginationConfig={"PageSize": 2}))
        assert [[shelf["name"] for shelf in page["shelves"]] for page in pages] == [["books", "cups"], ["hats"]]
        assert refused(toy.list_shelves, nextToken="Zm9v")[:2] == ("ValidationException", 400)

        # The quota, by a count that is kept.
        code, status, answer = refused(toy.create_shelf, name="more")
        assert (code, status) == ("ServiceQuotaExceededException", 402)
        assert (answer["serviceCode"], answer["quotaCode"]) == ("toy", "L-70E70E70")
        toy.delete_shelf(name="cups")
        toy.create_shelf(name="more")
        assert refused(toy.get_shelf, name="cups")[:2] == ("ResourceNotFoundException", 404)

        # Who calls.
        stranger = client(endpoint, secret="another-secret-that-is-not-the-key's")
        assert refused(stranger.list_shelves)[:2] == ("InvalidSignatureException", 403)
