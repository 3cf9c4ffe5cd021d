"""Fixtures of the end-to-end tests: a real `trellis` on free ports and a directory of its own."""

import pytest

import uses
from instance import Instance


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds")
    if not hasattr(config, "workerinput"):
        uses.forget()


def is_whole(config):
    """Whether this is a run of all tests."""
    return (config.args in (["e2e"], ["e2e/"]) and not config.option.keyword and not config.option.markexpr
            and not config.option.collectonly)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """At the end of the whole suite every command and flag that help shows has been run."""
    if hasattr(session.config, "workerinput") or not is_whole(session.config):
        return
    session.config.not_run = uses.missing(uses.PLACE / "trellis")
    if session.config.not_run and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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


def pytest_terminal_summary(terminalreporter, config):
    """What was not checked because the machine lacks something is said last, where nobody can miss it."""
    for words in getattr(config, "not_run", []):
        terminalreporter.write_line(f"NOT RUN by any test, though help shows it: {words}", red=True, bold=True)
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "NOT CHECKED" in reason:
            terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}", red=True, bold=True)
