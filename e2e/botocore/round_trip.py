"""botocore's serialisers against our decoding, our encoding against botocore's parsers.

`requests()` and `responses()` yield one line for everything that was lost. `wire_request()` is also
for other tests that want what a client would put on the wire for an operation.
"""

import base64
import datetime
from urllib.parse import urlsplit

import botocore.parsers
import botocore.session
from botocore.awsrequest import AWSRequest, prepare_request_dict

from described import MODEL_NAMES
from samples import Maximal

# Never connected to; botocore wants one to write a URL.
ENDPOINT = "http://127.0.0.1:4560"


def client(signing_name):
    session = botocore.session.Session()
    return session.create_client(
        MODEL_NAMES[signing_name],
        region_name="us-east-1",
        endpoint_url=ENDPOINT,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="example",
    )


def wire_request(made_client, operation, parameters):
    """What botocore puts on the wire for a call, not signed."""
    model = made_client.meta.service_model.operation_model(operation)
    serialized = made_client._serializer.serialize_to_request(parameters, model)
    prepare_request_dict(serialized, endpoint_url=ENDPOINT, context={})
    prepared = AWSRequest(
        method=serialized["method"],
        url=serialized["url"],
        data=serialized["body"],
        headers=serialized["headers"],
    ).prepare()
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    return {
        "method": prepared.method,
        "path": url.path,
        "query": url.query,
        "headers": {name: _text(value) for name, value in prepared.headers.items()},
        "body": _text(body),
    }


def requests(service, decoder):
    """Every described operation with every member set, through our decoder."""
    made_client = client(service["signing_name"])
    for operation, description in service["operations"].items():
        for variant in range(_variants(service, description["input"])):
            expected = Maximal(service, variant).value(description["input"])
            model = made_client.meta.service_model.operation_model(operation)
            request = wire_request(made_client, operation, _for_client(expected, model.input_shape))
            answer = decoder.ask({"service": service["signing_name"], **request})
            where = f"{service['signing_name']}: {operation} request"
            if "error" in answer:
                yield f"{where}: {answer['error']}"
            elif answer["operation"] != operation:
                yield f"{where}: understood as {answer['operation']}"
            else:
                yield from _losses(where, expected, answer["input"])


def _for_client(value, shape):
    """`value` as botocore's users give it: what is base64 on our side is bytes on theirs."""
    kind = shape.type_name if shape is not None else None
    if kind == "structure":
        return {name: _for_client(member, shape.members.get(name)) for name, member in value.items()}
    if kind == "list":
        return [_for_client(item, shape.member) for item in value]
    if kind == "map":
        return {key: _for_client(item, shape.value) for key, item in value.items()}
    return base64.b64decode(value) if kind == "blob" else value


def responses(service, encoder):
    """Every described operation's answer with every member set, through botocore's parser."""
    made_client = client(service["signing_name"])
    models = made_client.meta.service_model
    parser = made_client._response_parser
    for operation, description in service["operations"].items():
        model = models.operation_model(operation)
        for variant in range(_variants(service, description["output"])):
            expected = Maximal(service, variant).value(description["output"])
            order = {"service": service["signing_name"], "operation": operation, "output": expected}
            answer = encoder.ask(order)
            where = f"{service['signing_name']}: {operation} response"
            for problem in answer["problems"]:
                yield f"{where}: {problem}"
            if answer["status"] != description["status"]:
                yield f"{where}: status {answer['status']}"
            parsed = parser.parse(_response(answer), model.output_shape)
            if not parsed.pop("ResponseMetadata", {}).get("RequestId"):
                yield f"{where}: no request id"
            yield from _losses(where, expected, _plain(parsed))
        yield from _errors(service, encoder, parser, model, operation)


def _errors(service, encoder, parser, model, operation):
    names = service["operations"][operation]["errors"] or [None]
    for name in names:
        described = service["errors"].get(name, {"code": "SomeFault", "status": 400, "shape": None})
        members = Maximal(service).value(described["shape"]) if described["shape"] else {}
        message_name = "Message" if "Message" in members else "message"
        retry_after = members.pop("retryAfterSeconds", None)
        members.pop(message_name, None)
        error = {
            "code": described["code"],
            "status": described["status"],
            "message": "what is <wrong> & \"why\"",
            "members": members,
        }
        if retry_after is not None:
            error["retry_after"] = members["retryAfterSeconds"] = abs(retry_after)
            error["members"] = {k: v for k, v in members.items() if k != "retryAfterSeconds"}
        order = {"service": service["signing_name"], "operation": operation, "error": error}
        answer = encoder.ask(order)
        where = f"{service['signing_name']}: {operation} error {described['code']}"
        if answer["status"] != described["status"]:
            yield f"{where}: status {answer['status']}"
        response = _response(answer)
        parsed = parser.parse(response, model.output_shape)
        if parsed["Error"].get("Code") != described["code"]:
            yield f"{where}: code {parsed['Error'].get('Code')!r}"
        if parsed["Error"].get("Message") != error["message"]:
            yield f"{where}: message {parsed['Error'].get('Message')!r}"
        if not parsed["ResponseMetadata"].get("RequestId"):
            yield f"{where}: no request id"
        shape = model.service_model.shape_for_error_code(described["code"]) if name else None
        if shape is not None:
            modelled = _plain(parser.parse(response, shape))
            # In XML the message is `Message`, whatever the model calls it; it was compared above.
            is_json = "json" in service["protocol"]
            expected = {**members, message_name: error["message"]} if is_json else members
            yield from _losses(where, expected, {k: modelled[k] for k in expected if k in modelled})


def _response(answer):
    from botocore.compat import HTTPHeaders

    headers = HTTPHeaders.from_dict(answer["headers"])
    return {"status_code": answer["status"], "headers": headers, "body": answer["body"].encode()}


def _variants(service, name, seen=None):
    """How many values it takes to set every member of every union below a shape."""
    seen = seen if seen is not None else set()
    if name in seen:
        return 1
    seen.add(name)
    shape = service["shapes"][name]
    members = shape.get("members", {})
    below = [member["shape"] for member in members.values()]
    below += [shape[part] for part in ("element", "value") if part in shape]
    most = max((_variants(service, inner, seen) for inner in below), default=1)
    return max(most, len(members)) if shape.get("union") else most


def _losses(where, expected, found):
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in expected.keys() | found.keys():
            if name not in found:
                yield f"{where}.{name}: lost"
            elif name not in expected:
                yield f"{where}.{name}: came from nowhere"
            else:
                yield from _losses(f"{where}.{name}", expected[name], found[name])
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (one, other) in enumerate(zip(expected, found)):
            yield from _losses(f"{where}[{index}]", one, other)
    elif expected != found or type(expected) is not type(found):
        yield f"{where}: {expected!r} became {found!r}"


def _plain(value):
    """Parsed values in the form our descriptions have them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items() if name != "ResponseMetadata"}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime.datetime):
        utc = value.astimezone(datetime.timezone.utc)
        return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _text(value):
    return value.decode() if isinstance(value, (bytes, bytearray)) else str(value)
