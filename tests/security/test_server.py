"""The log-in of ``pykafka serve``: what somebody gets who has no password, and what becomes of those that there are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.frames import ask, authenticate, connect, handshake, plain
from tests.support.served import Served, refusal

pytest.importorskip("kio")

USER, PASSWORD = "alice", "secret"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server with two ports: with a log-in, and without."""
    users = tmp_path / "users"
    users.write_text(f"{USER}:{PASSWORD}\n")
    users.chmod(0o600)
    words = ("--users", str(users), "--listen", "127.0.0.1:0")
    with Served(tmp_path / "data", *words, listen="SASL_PLAINTEXT://127.0.0.1:0") as server:
        yield server
        code, told = server.stop()
        assert "unexpected" not in told, told
        assert code == 143, (code, told)


@pytest.mark.parametrize("key", [0, 1, 3, 10, 19, 22, 32, 36, 999])
def test_nothing_is_answered_before_the_log_in(served: Served, key: int) -> None:
    with connect(served.address) as client:
        assert ask(client, 18, 0) is not None
        assert ask(client, key, 0, bytes(40)) is None
    with connect(served.address) as client:
        assert handshake(client, "PLAIN") == 0
        assert ask(client, key if key != 36 else 3, 0, bytes(40)) is None
    with connect(served.addresses[1]) as client:
        assert ask(client, 3, 1, struct.pack(">i", 0)) is not None


def test_who_dawdles_and_who_speaks_nonsense_hold_up_nobody(served: Served) -> None:
    strangers = [connect(address) for address in served.addresses * 2 for _ in range(150)]  # more than are let stand
    for number, each in enumerate(strangers):
        each.sendall([b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x00"][number % 3])
    with connect(served.address) as client:
        assert handshake(client, "PLAIN") == 0
        found = authenticate(client, plain(USER, PASSWORD))
        assert found is not None and found[0] == 0
        assert ask(client, 18, 0) is not None
    for each in strangers:
        each.close()


def test_a_file_of_users_that_others_can_read_is_refused(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("alice:secret\n")
    users.chmod(0o640)
    words = ("--listen", "SASL_PLAINTEXT://127.0.0.1:0", "--users", str(users))
    assert f"chmod 600 {users}" in refusal(tmp_path / "data", *words)
    users.chmod(0o600)
    users.write_text("alice:secret\nsecret\n")
    assert "line 2" in refusal(tmp_path / "data", *words)
    users.write_text(f"alice:secret\n{USER}:x\n")
    assert "names user alice again" in refusal(tmp_path / "data", *words)
    users.write_text("\n")
    assert "names no user" in refusal(tmp_path / "data", *words)
