"""Options and skips that all tests share."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import apache, postgres
from tests.support.apache_tools import Tools
from tests.support.signals import take_signals_back

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", help="write what the golden scripts print into them")


def pytest_configure() -> None:
    """In every process of the run: workers of xdist read this file, too."""
    take_signals_back()
    # How fast examples are drawn and run is the machine's matter, which does other things as well.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
    if stale := stale_modules():
        raise pytest.UsageError(
            f"{', '.join(stale)}: compiled in place before the source was changed, so that would not be tested. "
            "PYKAFKA_COMPILE=1 pip install -e . compiles again, and without PYKAFKA_COMPILE takes the compiled away."
        )


def stale_modules() -> list[str]:
    """The modules that an editable installation compiled, and whose source is another now (store/build_hook.py)."""
    record = ROOT / "store/pykafka_compiled.json"
    if not record.exists():
        return []
    checksums: dict[str, int] = json.loads(record.read_text("utf-8"))
    return [name for name, checksum in checksums.items() if zlib.crc32((ROOT / name).read_bytes()) != checksum]


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


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """PostgreSQL. PYKAFKA_REQUIRE_POSTGRES=1 says that it must be here: then the reason why it is not is a failure."""
    if (reason := postgres.available()) is not None:
        if os.environ.get("PYKAFKA_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"PYKAFKA_REQUIRE_POSTGRES=1, and there is {reason}")
        pytest.skip(reason)
    with postgres.Server() as running:
        yield running


@pytest.fixture(scope="session")
def java() -> Iterator[Tools]:
    """Apache's tools in one Java machine; to which cluster they talk, each command line says."""
    with Tools() as tools:
        yield tools
