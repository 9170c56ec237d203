"""A fuzzer that coverage guides, by hand: ``python tests/fuzz/run.py TARGET [SECONDS]``, with atheris installed.

TARGET is a name of targets.py. What it finds is printed with the bytes that it found it by: they become a test.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["pykafka_store", "pykafka_cli"]):
    from tests.fuzz.targets import TARGETS, attempt


def main(name: str, seconds: str = "60") -> None:
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, seed in enumerate(TARGETS[name][1]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-close_fd_mask=0"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={corpus}/", str(corpus)], lambda data: attempt(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
