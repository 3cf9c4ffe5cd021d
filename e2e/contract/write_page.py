#!/usr/bin/env python3
"""Makes docs/data-plane.md of rows.py, and checks that every test it names exists, and docs/security.md.

Ends with 1 when a test is missing or the page is stale; --write brings the page up to date.
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "botocore"))
import tests_of  # noqa: E402
from rows import SECTIONS  # noqa: E402

PAGE = tests_of.REPOSITORY / "docs/data-plane.md"
SECURITY = tests_of.REPOSITORY / "docs/security.md"
HEAD = """# The data plane, row by row

Written by `e2e/contract/write_page.py --write` from `e2e/contract/rows.py`; `make test` checks that every test named
here exists and runs them all. A row without a test is not there; the last column says what is missing.
"""


# The test that runs h2spec, and sees that every case which a row names has run and passed.
H2SPEC = "test_h2spec_finds_nothing_wrong"


def is_case(test):
    return re.fullmatch(r"h2spec \w+/[\d.]+/\d+", test) is not None


def shown_by(index, tests):
    """Links to tests, the cases of h2spec first and in one."""
    cases = [test.removeprefix("h2spec ") for test in tests if is_case(test)]
    if cases:
        yield f"h2spec {', '.join(cases)}: " + tests_of.link(index, H2SPEC)
    yield from (tests_of.link(index, test) for test in tests if test in index)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write docs/data-plane.md")
    options = parser.parse_args()

    index = tests_of.index()
    wrong = []
    lines = [HEAD]
    for title, rows in SECTIONS:
        lines += [f"## {title}", "", "| what | shown by | not there |", "|---|---|---|"]
        for statement, tests, missing in rows:
            wrong += [f"no test is called {test}" for test in tests if test not in index and not is_case(test)]
            if not tests and not missing:
                wrong.append(f"neither shown nor said to be missing: {statement}")
            shown = "<br>".join(shown_by(index, tests))
            lines.append(f"| {statement} | {shown or '–'} | {missing or ''} |")
        lines.append("")
    text = "\n".join(lines)
    if options.write:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append(f"{PAGE.name} is stale: run {Path(__file__).name} --write")
    named = re.findall(r"\[(\w+)\]\(\.\./[\w/]+\.(?:rs|py)\)", SECURITY.read_text())
    wrong += [f"{SECURITY.name}: no test is called {test}" for test in named if test not in index]
    for line in wrong:
        print(line)
    rows = [row for _, rows in SECTIONS for row in rows]
    print(f"{len(rows)} rows, {sum(row[2] is None for row in rows)} of them whole; {len(wrong)} errors")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
