"""Options and skips that all tests share."""

from __future__ import annotations

import os

import pytest

from tests.support import apache


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="write what the golden scripts print into them")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, with the reason, the tests that need Apache Kafka's own tools where these can't run.

    PYKAFKA_REQUIRE_APACHE=1 says that they must run here: then the reason is a failure.
    """
    if item.get_closest_marker("apache") is not None and (reason := apache.available()) is not None:
        if os.environ.get("PYKAFKA_REQUIRE_APACHE") == "1":
            pytest.fail(f"PYKAFKA_REQUIRE_APACHE=1, and there is {reason}")
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that tests recorded (``record_property("figure", ...)``), wherever they ran: a worker's own output is
    not shown.
    """
    reports = [report for each in ("passed", "failed") for report in terminalreporter.stats.get(each, ())]
    for text in (value for report in reports for name, value in report.user_properties if name == "figure"):
        terminalreporter.write_line(text)
