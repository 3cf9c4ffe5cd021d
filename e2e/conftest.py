"""Fixtures of the end-to-end tests: a real `trellis` on free ports and a directory of its own."""

import pytest

from instance import Instance


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One instance for every test of a worker process that only adds things of its own."""
    with Instance(tmp_path_factory.mktemp("shared")) as instance:
        yield instance


@pytest.fixture
def own(tmp_path):
    """An instance for one test that stops, kills or counts it."""
    with Instance(tmp_path) as instance:
        yield instance


def pytest_terminal_summary(terminalreporter):
    """What was not checked because the machine lacks something is said last, where nobody can miss it."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "NOT CHECKED" in reason:
            terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}", red=True, bold=True)
