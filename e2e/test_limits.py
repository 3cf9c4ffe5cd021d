"""Every limit of botocore's model, stepped over: the right exception, reason and field, and nothing changed.

The limits come from the model botocore carries, not from our description of it, so a limit we do not know is one
this test finds. Each operation gets a request with every member set, then one request for each way to break one limit.
"""

import copy
import pathlib
import re
import sys

import botocore.config
import botocore.exceptions
import botocore.session
import pytest

from instance import Instance

sys.path.append(str(pathlib.Path(__file__).parent / "botocore"))
from samples import Maximal  # noqa: E402

SERVICE = "vpc-lattice"


def load_shapes():
    """The raw model, its shapes in the form `samples` takes."""
    raw = botocore.session.Session().get_data(f"{SERVICE}/2022-11-30/service-2")
    shapes = {}
    for name, shape in raw["shapes"].items():
        shapes[name] = {
            **shape,
            "range": (shape.get("min"), shape.get("max")),
            "pattern": shape.get("pattern"),
            "values": shape.get("enum"),
            "element": shape.get("member", {}).get("shape"),
            "key": shape.get("key", {}).get("shape"),
            "value": shape.get("value", {}).get("shape"),
            "members": shape.get("members", {}),
        }
    return raw["operations"], shapes


OPERATIONS, SHAPES = load_shapes()
SAMPLER = Maximal({"shapes": SHAPES})


def steps_over(shape, value):
    """Values just past each limit of `shape`, each with the name of the limit."""
    low, high = shape["range"]
    kind = shape["type"]
    if kind == "string":
        if shape["values"]:
            yield "values", "NOT_A_VALUE"
        elif low:
            yield "min length", value[:1] * (low - 1)
        if high is not None and not shape["values"]:
            yield "max length", (value[:1] or "a") * (high + 1)
        if shape["pattern"]:
            texts = (character * max(low or 1, 1) for character in "☃ \n")
            yield from (("pattern", text) for text in texts if not re.search(shape["pattern"], text))
    elif kind in ("integer", "long"):
        if low is not None:
            yield "min", low - 1
        if high is not None:
            yield "max", high + 1
    elif kind == "list":
        if low:
            yield "min items", value[: low - 1]
        if high is not None:
            yield "max items", (value * (high + 1))[: high + 1]
    elif kind == "map":
        if high is not None:
            first = next(iter(value.values()))
            yield "max items", {f"key{n}": first for n in range(high + 1)}


def broken(name, value, path, location=None):
    """(path, limit, whole) for every limit below the shape `name`; `whole` puts the broken part in its place."""
    shape = SHAPES[name]
    for limit, wrong in steps_over(shape, value):
        # An empty label is another path, and an empty query parameter is left out by clients.
        if not (location in ("uri", "querystring") and wrong in ("", [])):
            yield path, limit, wrong
    if shape["type"] == "structure":
        for member, content in value.items():
            declared = shape["members"][member]
            inside = broken(declared["shape"], content, [*path, member], declared.get("location"))
            for where, limit, part in inside:
                yield where, limit, {**value, member: part}
            if member in shape.get("required", ()) and declared.get("location") != "uri":
                yield [*path, member], "required", {k: v for k, v in value.items() if k != member}
    elif shape["type"] == "list" and value:
        for where, limit, part in broken(shape["element"], value[0], path):
            yield where, limit, [part, *value[1:]]
    elif shape["type"] == "map" and value:
        key, content = next(iter(value.items()))
        rest = {k: v for k, v in value.items() if k != key}
        for where, limit, part in broken(shape["key"], key, path):
            yield where, limit, {part: content, **rest}
        for where, limit, part in broken(shape["value"], content, path):
            yield where, limit, {key: part, **rest}


def cases(operation):
    input_shape = OPERATIONS[operation]["input"]["shape"]
    seen = set()
    for variant in range(4):
        SAMPLER.variant = variant
        request = SAMPLER.value(input_shape)
        for path, limit, parameters in broken(input_shape, request, []):
            if (tuple(path), limit) not in seen:
                seen.add((tuple(path), limit))
                yield path, limit, parameters


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    with Instance(tmp_path_factory.mktemp("limits")) as instance:
        yield instance


@pytest.fixture(scope="module")
def client(untouched):
    session = botocore.session.Session()
    return session.create_client(
        SERVICE, region_name="us-east-1", endpoint_url=untouched.endpoint,
        aws_access_key_id=untouched.variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=untouched.variables["AWS_SECRET_ACCESS_KEY"],
        config=botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1}))


def call(client, operation, parameters):
    method = client.meta.method_to_api_mapping
    name = next(python for python, api in method.items() if api == operation)
    return getattr(client, name)(**copy.deepcopy(parameters))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_each_limit_of_an_operation_stepped_over_is_named_and_changes_nothing(client, operation):
    wrong = []
    for path, limit, parameters in cases(operation):
        case = f"{'.'.join(path)} {limit}"
        try:
            call(client, operation, parameters)
            wrong.append(f"{case}: accepted")
            continue
        except botocore.exceptions.ClientError as error:
            response = error.response
        code, status = response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]
        fields = [field["name"] for field in response.get("fieldList", [])]
        if (code, status, response.get("reason")) != ("ValidationException", 400, "fieldValidationFailed"):
            wrong.append(f"{case}: {status} {code} {response.get('reason')}: {response['Error']['Message']}")
        elif not any(path[-1] in field for field in fields):
            wrong.append(f"{case}: the fields named are {fields}")
    assert not wrong, "\n".join(wrong)


def test_after_every_limit_was_stepped_over_the_installation_is_empty(client):
    lists = [
        name for name in OPERATIONS
        if name.startswith("List") and not OPERATIONS[name]["input"]["shape"] == "ListTagsForResourceRequest"
        and not SHAPES[OPERATIONS[name]["input"]["shape"]].get("required")
    ]
    assert len(lists) >= 6
    for name in lists:
        try:
            items = call(client, name, {})["items"]
        except botocore.exceptions.ClientError as error:
            # Some lists want to be told of what.
            assert error.response["Error"]["Code"] == "ValidationException", name
            continue
        assert items == [], name


def test_there_are_limits_to_step_over():
    assert sum(1 for operation in OPERATIONS for _ in cases(operation)) > 500
