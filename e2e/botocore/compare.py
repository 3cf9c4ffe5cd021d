"""Our description of a service against botocore's model of it."""

import functools
import random
import re

import botocore.session
from botocore.model import ListShape, MapShape, StringShape, StructureShape

import samples

# What the pattern of an IP address has, of any version.
ADDRESS = "fe80:("
# Texts tried on a pattern of theirs and ours.
PATTERN_SAMPLES = 120
# An enumeration longer than this may be described as any text.
MAX_LISTED_ENUM = 60


# Protocols in whose XML or forms lists and maps have element names.
ON_XML_WIRES = ("ec2", "query", "rest-xml", "s3")


def load_model(name):
    return botocore.session.get_session().get_service_model(name)


class Comparison:
    """Collects every difference; `complete` asks for every member of what is described."""

    def __init__(self, ours, model, complete):
        self.ours = ours
        self.model = model
        self.complete = complete
        self.protocol = ours["protocol"]
        self.differences = []
        self.seen = set()
        loader = botocore.session.get_session().get_component("data_loader")
        self.paginators = loader.load_service_model(model.service_name, "paginators-1")["pagination"]

    def differ(self, where, what):
        self.differences.append(f"{self.ours['signing_name']}: {where}: {what}")

    def equal(self, where, what, ours, theirs):
        if ours != theirs:
            self.differ(where, f"{what} is {ours!r}, the model says {theirs!r}")

    def run(self):
        self._header()
        for name in self.ours["operations"]:
            if name in self.model.operation_names:
                self._operation(name)
            else:
                self.differ(name, "the model has no such operation")
        return self.differences

    def _header(self):
        metadata = self.model.metadata
        self.equal("service", "id", self.ours["id"], metadata["serviceId"])
        signing = metadata.get("signingName", metadata["endpointPrefix"])
        self.equal("service", "signing name", self.ours["signing_name"], signing)
        self.equal("service", "endpoint", self.ours["endpoint_prefix"], metadata["endpointPrefix"])
        self.equal("service", "version", self.ours["version"], metadata["apiVersion"])
        self.equal("service", "target", self.ours["target_prefix"], metadata.get("targetPrefix"))
        self.equal("service", "namespace", self.ours["xml_namespace"].rstrip("/"), self._namespace().rstrip("/"))
        protocols = [
            f"json-{metadata['jsonVersion']}" if protocol == "json" else protocol
            for protocol in metadata["protocols"]
        ]
        if self.protocol not in protocols and not (self.protocol == "s3" and metadata["serviceId"] == "S3"):
            self.differ("service", f"protocol {self.protocol} is none of {protocols}")

    def _operation(self, name):
        ours, theirs = self.ours["operations"][name], self.model.operation_model(name)
        self.equal(name, "method", ours["method"], theirs.http["method"])
        self.equal(name, "path", ours["uri"], theirs.http["requestUri"])
        self.equal(name, "status", ours["status"], theirs.http.get("responseCode", 200))
        self.equal(name, "unsigned", ours["unsigned"], theirs.auth_type == "none")
        for direction in ("input", "output"):
            self._shape(f"{name}.{direction}", ours[direction], getattr(theirs, f"{direction}_shape"), direction)
        codes = sorted({shape.name for shape in theirs.error_shapes})
        self.equal(name, "errors", sorted(ours["errors"]), codes)
        for shape in theirs.error_shapes:
            if shape.name in self.ours["errors"]:
                self._error(shape)
        self._paging(name, ours["paging"])

    def _error(self, theirs):
        ours = self.ours["errors"][theirs.name]
        error = theirs.metadata.get("error", {})
        status = error.get("httpStatusCode", 500 if theirs._shape_model.get("fault") else 400)
        self.equal(theirs.name, "status", ours["status"], status)
        self.equal(theirs.name, "code", ours["code"], theirs.error_code)
        self._shape(theirs.name, ours["shape"], theirs, "output")

    def _paging(self, name, ours):
        theirs = self.paginators.get(name)
        if theirs is None:
            return
        some = lambda names: names if isinstance(names, list) else [names]
        # A path, or one name or another, is more than our descriptions say.
        if any(not name.isidentifier() for name in some(theirs["result_key"]) + some(theirs["output_token"])):
            return
        expected = {
            "input_tokens": some(theirs["input_token"]),
            "output_tokens": some(theirs["output_token"]),
            "limit": theirs.get("limit_key"),
            "items": some(theirs["result_key"]),
            "more": theirs.get("more_results"),
        }
        self.equal(name, "paging", ours, expected)

    def _shape(self, where, name, theirs, direction):
        if (name, theirs and theirs.name, direction) in self.seen:
            return
        self.seen.add((name, theirs and theirs.name, direction))
        ours = self.ours["shapes"][name]
        if theirs is None:
            if ours["members"]:
                self.differ(where, "the model has nothing here")
            return
        if ours["type"] != theirs.type_name:
            return self.differ(where, f"is a {ours['type']}, the model says {theirs.type_name}")
        if isinstance(theirs, StructureShape):
            self._structure(where, ours, theirs, direction)
        elif isinstance(theirs, ListShape):
            self._list(where, ours, theirs, direction)
        elif isinstance(theirs, MapShape):
            self._range(where, ours, theirs)
            if self.protocol in ON_XML_WIRES:
                traits = theirs.serialization
                self.equal(where, "flattened", ours["flattened"], bool(traits.get("flattened")))
                self.equal(where, "key name", ours["key_name"], theirs.key.serialization.get("name", "key"))
                self.equal(where, "value name", ours["value_name"], theirs.value.serialization.get("name", "value"))
            self._shape(f"{where}.key", ours["key"], theirs.key, direction)
            self._shape(f"{where}.value", ours["value"], theirs.value, direction)
        elif isinstance(theirs, StringShape):
            self._string(where, ours, theirs, direction)
        elif theirs.type_name in ("integer", "long", "float", "double", "blob"):
            self._range(where, ours, theirs)
        elif theirs.type_name == "timestamp":
            self.equal(where, "format", ours["format"], theirs.serialization.get("timestampFormat"))

    def _structure(self, where, ours, theirs, direction):
        self.equal(where, "union", ours["union"], bool(theirs.metadata.get("union")))
        for name, shape in theirs.members.items():
            member = ours["members"].get(name)
            if member is None:
                if self.complete:
                    self.differ(f"{where}.{name}", "is not described")
                continue
            self._member(f"{where}.{name}", name, member, shape, theirs, direction)
        for name in ours["members"]:
            if name not in theirs.members:
                self.differ(f"{where}.{name}", "is not in the model")

    def _member(self, where, name, member, shape, parent, direction):
        traits = shape.serialization
        self.equal(where, "required", member["required"], name in parent.required_members)
        is_payload = parent.serialization.get("payload") == name
        self.equal(where, "location", member["location"], "payload" if is_payload else traits.get("location"))
        if is_payload:
            stream = bool(shape.serialization.get("streaming") or shape.metadata.get("streaming"))
            self.equal(where, "stream", member["stream"], stream)
        self.equal(where, "idempotency token", member["token"], bool(shape.metadata.get("idempotencyToken")))
        if direction == "input" and self.protocol in ("ec2", "query"):
            location_name = traits.get("name")
            if self.protocol == "ec2":
                capital = location_name and location_name[0].upper() + location_name[1:]
                self.equal(where, "form name", member["form"], traits.get("queryName") or capital or name)
            else:
                self.equal(where, "form name", member["form"], location_name or name)
        else:
            self.equal(where, "wire name", member["wire"], traits.get("name") or name)
        self._shape(where, member["shape"], shape, direction)

    def _list(self, where, ours, theirs, direction):
        self._range(where, ours, theirs)
        if self.protocol in ON_XML_WIRES:
            flattened = bool(theirs.serialization.get("flattened"))
            self.equal(where, "flattened", ours["flattened"], flattened)
            # EC2 forms count elements without naming them.
            if direction == "output" or self.protocol != "ec2":
                item = theirs.member.serialization.get("name", None if flattened else "member")
                self.equal(where, "element name", ours["item"], item)
        self._shape(f"{where}[]", ours["element"], theirs.member, direction)

    def _string(self, where, ours, theirs, direction):
        values = list(theirs.enum or [])
        if ours["values"] or len(values) <= MAX_LISTED_ENUM:
            self.equal(where, "values", sorted(ours["values"]), sorted(values))
        # A listed value is as long as it is.
        if not ours["values"] and (self.protocol != "ec2" or ours["range"] != [None, None]):
            self._range(where, ours, theirs)
        self._pattern(where, ours["pattern"], theirs.metadata.get("pattern"), direction)

    def _namespace(self):
        """Where the whole model names none, as in REST-XML, the bodies of its requests do."""
        inputs = [operation.get("input", {}) for operation in self.model._service_description["operations"].values()]
        named = [described["xmlNamespace"]["uri"] for described in inputs if "xmlNamespace" in described]
        return self.model.metadata.get("xmlNamespace") or next(iter(named), "")

    def _range(self, where, ours, theirs):
        # A length of at least nothing is no limit.
        expected = [theirs.metadata.get("min"), theirs.metadata.get("max")]
        self.equal(where, "range", ours["range"], expected)

    def _pattern(self, where, ours, theirs, direction):
        """Same verdict on texts made along either pattern and on texts near those."""
        # What we answer with is made by us; a pattern may be left out there.
        # Classes of Unicode characters and addresses are not in our patterns; the operations check them.
        if ours is None and theirs is not None and (r"\p{" in theirs or ADDRESS in theirs):
            return
        if ours is None and (theirs in (None, r"[\s\S]*") or direction == "output"):
            return
        if ours is None or theirs is None:
            return self.differ(where, f"pattern is {ours!r}, the model says {theirs!r}")
        difference = _pattern_difference(ours, theirs)
        if difference is not None:
            self.differ(where, difference)


@functools.cache
def _pattern_difference(ours, theirs):
    rng = random.Random(ours)
    matched = 0
    for count in range(PATTERN_SAMPLES):
        text = samples.from_pattern(ours if count % 2 else theirs, rng)
        if count % 4 > 1:
            text = samples.near(text, rng)
        verdict = re.fullmatch(theirs, text) is not None
        matched += verdict
        if (re.fullmatch(ours, text) is not None) != verdict:
            return f"pattern {ours} differs from {theirs} on {text!r}"
    return None if matched else f"no text was found that matches {theirs}"
