#!/usr/bin/env python3
"""Drafts the description of an AWS service from botocore's model: `draft.py SERVICE [OPERATION ...]`.

Names, limits, wire forms, errors and pages come from the installed botocore; without operations, all of
the service's. What the model does not have is left to the author: `resource` and `authorise` lines (AWS's
service authorization reference), `secret` where the model says nothing, `let` for patterns that repeat.
"""

import argparse
import re

import botocore.session
from botocore.model import ListShape, MapShape, StructureShape

# Characters of a line of names.
WIDTH = 96
# An enumeration longer than this is described as any text.
MAX_LISTED_ENUM = 60
# What begins a look-ahead, which our patterns have not.
LOOK_AROUND = "(?!"
BUILTINS = {"string": "String", "integer": "Integer", "long": "Long", "float": "Float", "double": "Double",
            "boolean": "Boolean", "timestamp": "Timestamp", "blob": "Blob"}
FORMATS = {"iso8601": "iso8601", "unixTimestamp": "unix", "rfc822": "http"}
# Several protocols in one model: the first of these that is there.
PREFERRED = ["rest-json", "rest-xml", "json", "ec2", "query"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("service", help="as botocore files it, e.g. route53")
    parser.add_argument("operations", nargs="*")
    options = parser.parse_args()
    session = botocore.session.get_session()
    model = session.get_service_model(options.service)
    paginators = session.get_component("data_loader").load_service_model(options.service, "paginators-1")
    draft = Draft(model, paginators["pagination"])
    for name in options.operations or model.operation_names:
        draft.operation(name)
    print(draft.text())


class Draft:
    def __init__(self, model, paginators):
        self.model = model
        self.paginators = paginators
        self.protocol = next(p for p in PREFERRED if p in model.metadata.get("protocols", [model.metadata["protocol"]]))
        self.shapes = {}
        self.errors = {}
        self.operations = []

    def text(self):
        kinds = ["string", "enum", "number", "list", "struct"]
        parts = [self._head()]
        for kind in kinds:
            lines = [text for name, (its, text) in sorted(self.shapes.items()) if its == kind and text]
            separator = "\n\n" if kind == "struct" else "\n"
            parts += [separator.join(lines)] if lines else []
        parts += ["\n\n".join(text for _, text in sorted(self.errors.items()))] if self.errors else []
        return "\n\n".join(parts + self.operations)

    def _head(self):
        metadata = self.model.metadata
        protocol = f"json-{metadata['jsonVersion']}" if self.protocol == "json" else self.protocol
        signing = metadata.get("signingName", metadata["endpointPrefix"])
        head = [
            f"service {signing}",
            f"  id {metadata['serviceId']}",
            f"  endpoint {metadata['endpointPrefix']}",
            f"  protocol {'s3' if metadata['serviceId'] == 'S3' else protocol}",
            f"  version {metadata['apiVersion']}",
        ]
        head += [f"  namespace {metadata['xmlNamespace']}"] if "xmlNamespace" in metadata else []
        head += [f"  target {metadata['targetPrefix']}"] if "targetPrefix" in metadata else []
        return "\n".join(head)

    def operation(self, name):
        model = self.model.operation_model(name)
        http = model.http
        lines = [f"op {name} {http['method']} {http['requestUri']} {http.get('responseCode', 200)}"]
        lines += ["  unsigned"] if model.auth_type == "none" else []
        for keyword, shape in (("in", model.input_shape), ("out", model.output_shape)):
            if shape is not None and shape.members:
                lines += [f"  {keyword}", *self._members(shape, "    ", keyword == "in")]
        for shape in model.error_shapes:
            self._error(shape)
        lines += _wrapped("  errors", [shape.name for shape in model.error_shapes])
        lines += self._pages(name)
        self.operations.append("\n".join(lines))

    def _error(self, shape):
        if shape.name in self.errors:
            return
        self.errors[shape.name] = ""
        error = shape.metadata.get("error", {})
        status = error.get("httpStatusCode", 500 if shape._shape_model.get("fault") else 400)
        code = f" code={shape.error_code}" if shape.error_code != shape.name else ""
        self.errors[shape.name] = "\n".join([f"error {shape.name} {status}{code}", *self._members(shape, "  ", False)])

    def _pages(self, name):
        pages = self.paginators.get(name)
        if pages is None:
            return []
        some = lambda names: names if isinstance(names, list) else [names]
        named = [("in", "input_token"), ("out", "output_token"), ("limit", "limit_key"), ("items", "result_key"), ("more", "more_results")]
        found = {key: some(pages[theirs]) for key, theirs in named if theirs in pages}
        if not all(name.isidentifier() for names in found.values() for name in names):
            return [f"  # pages of {found}: a path is more than this language says"]
        return ["  pages " + " ".join(f"{key}={','.join(names)}" for key, names in found.items())]

    def _members(self, shape, indent, is_input):
        rows = []
        for name, member in shape.members.items():
            rows.append((name, self._type(member), self._words(shape, name, member, is_input)))
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        return [f"{indent}{a:{widths[0]}} {b:{widths[1]}} {c}".rstrip() for a, b, c in rows]

    def _words(self, parent, name, member, is_input):
        traits = member.serialization
        words = ["required"] if name in parent.required_members else []
        words += ["token"] if member.metadata.get("idempotencyToken") else []
        words += ["secret"] if member.metadata.get("sensitive") and member.type_name in ("string", "blob") else []
        location, wire = traits.get("location"), traits.get("name")
        if parent.serialization.get("payload") == name:
            stream = traits.get("streaming") or member.metadata.get("streaming")
            words.append("stream" if stream else "payload")
            location = None
        place = {"uri": "label", "querystring": "query", "header": "header", "statusCode": "status"}
        if location == "header":
            words.append(f"header={wire or name}")
        elif location == "querystring":
            words.append("query" if wire in (None, name) else f"query={wire}")
        elif location in place:
            words.append(place[location])
        if self.protocol == "ec2":
            return " ".join(words + self._ec2_names(name, traits))
        if location not in ("header", "querystring") and wire not in (None, name):
            words.append(f"wire={wire}")
        return " ".join(words)

    def _ec2_names(self, name, traits):
        wire = traits.get("name") or name
        habit = name[0].lower() + name[1:]
        form = traits.get("queryName") or wire[0].upper() + wire[1:]
        words = [] if wire == habit else [f"wire={wire}"]
        return words if form == wire[0].upper() + wire[1:] else [*words, f"form={form}"]

    def _type(self, shape):
        """The name of a shape; declares it when it is met first."""
        name, kind = shape.name, shape.type_name
        if kind in BUILTINS and not self._is_limited(shape):
            return BUILTINS[kind]
        name = re.sub(r"[^A-Za-z0-9]", "", name)
        if name in BUILTINS.values():
            name = f"Limited{name}"
        if name not in self.shapes:
            self.shapes[name] = ("", "")
            self.shapes[name] = self._declaration(name, shape)
        return name

    def _is_limited(self, shape):
        metadata = shape.metadata
        limits = any(key in metadata for key in ("min", "max"))
        enum = metadata.get("enum")
        pattern = metadata.get("pattern")
        listed = enum and len(enum) <= MAX_LISTED_ENUM
        return limits or bool(listed) or bool(pattern and r"\p{" not in pattern) or "timestampFormat" in shape.serialization

    def _declaration(self, name, shape):
        kind, metadata, traits = shape.type_name, shape.metadata, shape.serialization
        bounds = _bounds(metadata)
        if isinstance(shape, StructureShape):
            word = "union" if metadata.get("union") else "struct"
            return "struct", "\n".join([f"{word} {name}", *self._members(shape, "  ", False)])
        if isinstance(shape, ListShape):
            words = ["list", name, *bounds, "of", self._type(shape.member)]
            item = shape.member.serialization.get("name")
            flattened = traits.get("flattened")
            habit = "item" if self.protocol == "ec2" else None if flattened else "member"
            words += [f"item={item}"] if item and item != habit and self.protocol in ("ec2", "query", "rest-xml") else []
            return "list", " ".join(words + (["flattened"] if flattened else []))
        if isinstance(shape, MapShape):
            words = ["map", name, *bounds, "of", self._type(shape.key), self._type(shape.value)]
            for key, inner in (("key", shape.key), ("value", shape.value)):
                wire = inner.serialization.get("name", key)
                words += [f"{key}={wire}"] if wire != key else []
            return "list", " ".join(words + (["flattened"] if traits.get("flattened") else []))
        if kind == "string" and 0 < len(metadata.get("enum", [])) <= MAX_LISTED_ENUM:
            return "enum", "\n".join(_wrapped(f"enum {name}", metadata["enum"]))
        if kind == "string":
            pattern = metadata.get("pattern")
            words = ["string", name, *bounds]
            if pattern and LOOK_AROUND in pattern:
                return "string", f"# To be said without looking ahead (`name`?): {pattern}\n{' '.join(words)}"
            words += [f"/{_pattern(pattern)}/"] if pattern and r"\p{" not in pattern else []
            return "string", " ".join(words)
        if kind == "timestamp":
            return "number", f"timestamp {name} {FORMATS[traits['timestampFormat']]}"
        return "number", " ".join([kind, name, *bounds])


def _bounds(metadata):
    low, high = metadata.get("min"), metadata.get("max")
    if low is None and high is None:
        return []
    whole = lambda bound: "" if bound is None else str(int(bound))
    return [str(int(low)) if low == high else f"{whole(low)}..{whole(high)}"]


def _pattern(pattern):
    """Ours cover the whole text by themselves."""
    return re.sub(r"(?<!\\)\$$", "", pattern.removeprefix("^"))


def _wrapped(head, names):
    """`head` and `names` on as many lines as they need."""
    if not names:
        return []
    repeats = head.startswith("  ")
    lines, line = [], head
    for name in names:
        if len(line) + len(name) >= WIDTH:
            lines.append(line)
            line = head if repeats else " "
        line += f" {name}"
    return [*lines, line]


if __name__ == "__main__":
    main()
