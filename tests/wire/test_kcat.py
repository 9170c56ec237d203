"""kcat against ``pykafka serve``, where it is installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.support.served import PATIENCE, Served

pytestmark = pytest.mark.skipif(shutil.which("kcat") is None, reason="no kcat")


def _kcat(served: Served, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        ["kcat", "-b", served.address, *arguments], input=stdin, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lines_go_in_and_come_out(served: Served) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(10_000))
    _kcat(served, "-P", "-t", "lines", "-p", "0", stdin=lines)
    assert _kcat(served, "-C", "-t", "lines", "-e", "-q") == lines


def test_metadata_names_the_address(served: Served) -> None:
    assert f"broker 0 at {served.address} (controller)" in _kcat(served, "-L").decode()
