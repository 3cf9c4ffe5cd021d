#!/usr/bin/env python3
"""Checks our description of each AWS API against botocore's model of it.

Operation by operation and member by member, then by round trips through botocore's own serialisers
and parsers. Prints which operations of each model are described; ends with 1 at any difference.
The model comes from the installed botocore and is never kept here.
"""

import argparse
import sys
from pathlib import Path

import botocore

import compare
import described
import round_trip

# Of these every operation must be described, not only what is described be right.
WHOLE_SERVICES = {"vpc-lattice"}
# Of these we describe the members we support; of all others every member.
PARTIAL_MEMBERS = {"ec2"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=Path, help="directory of the built example programs")
    parser.add_argument("--quiet", action="store_true", help="do not list operations")
    options = parser.parse_args()

    directory = options.programs or described.build()
    services = described.schema(directory)
    differences = []
    for name, service in services.items():
        model = compare.load_model(described.MODEL_NAMES[name])
        differences += list_operations(service, model, options.quiet)
        differences += compare.Comparison(service, model, name not in PARTIAL_MEMBERS).run()
        with described.Program(directory / "decode_request") as decoder:
            differences += round_trip.requests(service, decoder)
        with described.Program(directory / "encode_response") as encoder:
            differences += round_trip.responses(service, encoder)

    for difference in differences:
        print(f"DIFFERENT {difference}")
    total = sum(len(service["operations"]) for service in services.values())
    print(
        f"{total} operations of {len(services)} services against botocore {botocore.__version__}: "
        f"{len(differences)} differences"
    )
    return 1 if differences else 0


def list_operations(service, model, quiet):
    """Prints the model's operations; yields those that should be described and are not."""
    name = service["signing_name"]
    ours = service["operations"]
    print(f"{name}: {len(ours)} of {len(model.operation_names)} operations described")
    missing = []
    for operation in model.operation_names:
        if operation not in ours and name in WHOLE_SERVICES:
            missing.append(f"{name}: {operation} is not described")
        if not quiet:
            print(f"  {'described' if operation in ours else '-        '} {operation}")
    return missing


if __name__ == "__main__":
    sys.exit(main())
