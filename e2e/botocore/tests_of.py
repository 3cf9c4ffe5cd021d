"""Where tests are: by their own name, and by the operation they call."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TEST = re.compile(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)|^def (test_\w+)", re.MULTILINE)


def sources():
    yield from sorted((REPOSITORY / "crates").glob("*/tests/**/*.rs"))
    yield from sorted((REPOSITORY / "crates").glob("services/*/tests/**/*.rs"))
    yield from sorted((REPOSITORY / "crates").glob("*/src/**/*.rs"))
    yield from sorted((REPOSITORY / "e2e").glob("*.py"))


def index():
    """Test name -> file, relative to the repository."""
    found = {}
    for path in sources():
        for match in TEST.finditer(path.read_text()):
            found.setdefault(match[1] or match[2], path.relative_to(REPOSITORY))
    return found


def link(index, test):
    """A Markdown link from a page in docs/."""
    return f"[{test}](../{index[test]})"


def of_operations(operations, crate):
    """Operation -> the first test of `crate` that calls it by name, in the file named after its noun if that has one."""
    texts = {path.stem: path.read_text() for path in sorted((REPOSITORY / "crates" / crate / "tests").glob("**/*.rs"))}
    return {operation: _test_of(operation, texts) for operation in operations}


def _test_of(operation, texts):
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    noun = lambda stem: re.sub(r"ies$", "y", stem).removesuffix("s")
    for stem in sorted(texts, key=lambda stem: len(stem) if noun(stem) in snake else 0, reverse=True):
        tests = [(match.start(), match[1]) for match in TEST.finditer(texts[stem]) if match[1]]
        for call in re.finditer(rf'"{operation}"', texts[stem]):
            before = [name for start, name in tests if start < call.start()]
            # A call above the first test is in something the tests share.
            if tests:
                return before[-1] if before else tests[0][1]
    return None
