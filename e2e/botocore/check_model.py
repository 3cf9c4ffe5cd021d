#!/usr/bin/env python3
"""Checks our description of each AWS API against botocore's model of it.

Operation by operation and member by member, then by round trips through botocore's own serialisers
and parsers. Prints which operations of each model are described; ends with 1 at any difference.
The model comes from the installed botocore and is never kept here. docs/operations.md is the same listing for
readers; a stale one is a difference, and --write brings it up to date.
"""

import argparse
import sys
from pathlib import Path

import botocore

import compare
import described
import round_trip
import tests_of

PAGE = described.REPOSITORY / "docs/operations.md"
PAGE_HEAD = [
    "# Operations",
    "",
    "Written by `e2e/botocore/check_model.py --write` from the description in `crates/api/idl` and from what the",
    "control plane says it implements; `make test` compares both with botocore's model. An operation that is not",
    "there yet is decoded and checked like any other, then refused with an error that says so.",
]

# Of these every operation must be described, not only what is described be right.
WHOLE_SERVICES = {"vpc-lattice"}
# Of these we describe the members we support; of all others every member.
PARTIAL_MEMBERS = {"ec2"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, help="directory of the built example programs")
    parser.add_argument("files", nargs="*", type=Path, help="descriptions to check instead of those of the services")
    parser.add_argument("--quiet", action="store_true", help="do not list operations")
    parser.add_argument("--write", action="store_true", help="write docs/operations.md")
    options = parser.parse_args()

    directory = options.programs or described.build()
    files = options.files or described.descriptions()
    services = described.schema(directory, files)
    implemented = {} if options.files else described.implemented(directory)
    differences = []
    page = list(PAGE_HEAD)
    for name, service in services.items():
        model = compare.load_model(described.MODEL_NAMES[name])
        states = operation_states(service, model, implemented.get(name, []))
        differences += list_operations(service, states, options.quiet)
        page += page_section(name, states)
        differences += compare.Comparison(service, model, name not in PARTIAL_MEMBERS).run()
        with described.Program(directory / "decode_request", files) as decoder:
            differences += round_trip.requests(service, decoder)
        with described.Program(directory / "encode_response", files) as encoder:
            differences += round_trip.responses(service, encoder)

    text = "\n".join(page) + "\n"
    if options.files:
        pass
    elif options.write:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        differences.append(f"{PAGE.name} is stale: run check_model.py --write")

    for difference in differences:
        print(f"DIFFERENT {difference}")
    total = sum(len(service["operations"]) for service in services.values())
    print(
        f"{total} operations of {len(services)} services against botocore {botocore.__version__}: "
        f"{len(differences)} differences"
    )
    return 1 if differences else 0


def operation_states(service, model, implemented):
    """Operation -> `implemented`, `described` (decoded and checked, then refused) or `-`."""
    ours = service["operations"]
    names = model.operation_names if service["signing_name"] in WHOLE_SERVICES else sorted(ours)
    stray = set(implemented) - set(ours)
    assert not stray, f"implemented but not described: {stray}"
    return {
        name: "implemented" if name in implemented else "described" if name in ours else "-" for name in names
    }


def list_operations(service, states, quiet):
    """Prints the operations; returns those that should be described and are not."""
    name = service["signing_name"]
    count = sum(state == "implemented" for state in states.values())
    print(f"{name}: {count} operations implemented, {len(service['operations'])} described")
    if not quiet:
        for operation, state in states.items():
            print(f"  {state:11} {operation}")
    return [f"{name}: {operation} is not described" for operation, state in states.items() if state == "-"]


def page_section(name, states):
    """The operations of one service as Markdown."""
    count = sum(state == "implemented" for state in states.values())
    crate = f"services/{name}" if (tests_of.REPOSITORY / "crates/services" / name / "tests").is_dir() else "control"
    index, shown = tests_of.index(), tests_of.of_operations(states, crate)
    rows = [
        f"| {operation} | {'yes' if state == 'implemented' else 'not yet'} |"
        f" {tests_of.link(index, shown[operation]) if shown[operation] else ''} |"
        for operation, state in states.items()
    ]
    head = ["| operation | implemented | shown by, among others |", "|---|---|---|"]
    return ["", f"## {name}: {count} of {len(states)}", "", *head, *rows]


if __name__ == "__main__":
    sys.exit(main())
