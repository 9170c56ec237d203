"""The command itself: where it listens, what it runs, how it ends, what it refuses."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from pykafka_store.wire.doors import SEND_BUFFER, listen_on
from tests.support.console import produce, values
from tests.support.frames import ask, connect
from tests.support.served import PATIENCE, Served

JOIN_GROUP, API_VERSIONS = 11, 18


def _run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "pykafka_cli", "serve", "--data-dir", str(directory), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_it_in_good_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with Served(tmp_path / "data") as server:
        assert server.stop(number) == (code, "")


UNHEARD = """
import signal, sys, threading
from pykafka_cli.errors import Terminated
from pykafka_cli.tool.server import serve_until_told
from pykafka_store.open import serve_data_directory
from pykafka_store.settings.listeners import Listener
from tests.support.frames import ask, connect

server = serve_data_directory(sys.argv[1], [Listener("127.0.0.1", 0)])

def strike():
    with connect("{}:{}".format(*server.address)) as client:
        ask(client, 18, 0)
        for _ in range(100_000):  # or not at all, where the kernel does not say
            if "epoll" in open(f"/proc/self/task/{main}/wchan").read():
                break
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        ended.wait()

main = threading.get_native_id()
ended = threading.Event()
striker = threading.Thread(target=strike)
striker.start()
try:
    serve_until_told(server)
except Terminated:
    print("terminated")
ended.set()
"""
"""A signal that does not interrupt the wait for clients, as one that comes just before it: another thread has it."""


@pytest.mark.skipif(not Path("/proc/self/wchan").exists(), reason="needs to see that it waits: /proc/PID/wchan")
def test_a_signal_that_interrupts_no_wait_ends_it_all_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNHEARD, str(tmp_path / "data")], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("terminated\n", "")


def _sockets(process: int) -> list[str]:
    """What a process has open that is a socket."""
    found = []
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(each))
    return [each for each in found if each.startswith("socket:")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs to see what is open: /proc/PID/fd")
def test_more_signals_while_it_ends_are_heard_without_a_word(tmp_path: Path) -> None:
    """The wait for its command is behind the closing of what a signal would wake."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = f"trap '' TERM INT; echo listening on $PYKAFKA_BOOTSTRAP; read line <{gate}"
    with Served(tmp_path / "data", "--exec", command) as server:
        with open(gate, "w"):  # its command is at work
            server.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + PATIENCE
            while _sockets(server.process.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            for number in (signal.SIGTERM, signal.SIGINT):
                server.process.send_signal(number)
        assert server.stop() == (143, "")


def test_a_second_server_is_refused_by_name_and_may_come_when_the_first_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with Served(directory) as server:
        done = _run(directory, "--listen", "127.0.0.1:0")
        assert done.returncode == 1
        assert f"{directory} is served by another pykafka serve already".encode() in done.stderr
        server.stop(signal.SIGKILL)
    with Served(directory) as server:
        assert server.stop() == (143, "")


def test_an_address_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with Served(tmp_path / "data") as server:
        done = _run(tmp_path / "other", "--listen", server.address)
        assert done.returncode == 1
        assert done.stderr.decode().startswith(f"KafkaStorageException: can't listen on {server.address}: ")
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("address", ["0.0.0.0:0", "nonsense", ":9092", "127.0.0.1:99999"])
def test_an_address_that_others_reach_needs_a_word_and_one_that_is_none_is_refused(
    tmp_path: Path, address: str
) -> None:
    done = _run(tmp_path / "data", "--listen", address)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert f"--listen {address}".encode() in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_command_gets_the_address_and_its_exit_code_is_the_servers(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    script = (
        f"{sys.executable} -c 'import socket, os; "
        'host, port = os.environ["PYKAFKA_BOOTSTRAP"].split(":"); '
        "socket.create_connection((host, int(port))).close()' && "
        'echo "$KAFKA_BOOTSTRAP_SERVERS" "$SPRING_KAFKA_BOOTSTRAP_SERVERS" && exit 7'
    )
    done = _run(directory, "--listen", "127.0.0.1:0", "--exec", script)
    assert done.returncode == 7
    first, second = done.stdout.decode().split()
    assert first == second and first.startswith("127.0.0.1:")
    assert _run(directory, "--listen", "127.0.0.1:0", "--exec", "exit 0").returncode == 0


def _ask(address: str, frame: bytes) -> bytes:
    """Send a request and return the answer without its length; empty where the connection is closed instead."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(struct.pack(">i", len(frame)) + frame)
        try:
            size = client.recv(4, socket.MSG_WAITALL)
            return client.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL) if size else b""
        except ConnectionError:
            return b""


def test_api_versions_of_a_version_that_is_too_new_is_answered_in_version_0(served: Served) -> None:
    answer = _ask(served.address, struct.pack(">hhih", 18, 99, 7, -1) + b"anything")
    assert struct.unpack_from(">ihi", answer) == (7, 35, (len(answer) - 10) // 6)


@pytest.mark.parametrize(
    "frame",
    [
        struct.pack(">hhih", 3, 99, 7, -1),  # a version that is too new
        struct.pack(">hhih", 999, 0, 7, -1),  # no such request
        struct.pack(">hhih", 3, 1, 7, -1) + b"\x7f\xff\xff\xff",  # two thousand million topics
        struct.pack(">hhih", 0, 9, 7, -1) + b"\xff" * 40,
    ],
)
def test_a_request_that_can_not_be_closes_its_connection_and_no_other(served: Served, frame: bytes) -> None:
    host, _, port = served.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as other:
        assert _ask(served.address, frame) == b""
        asked = struct.pack(">hhih", 18, 0, 9, -1)
        other.sendall(struct.pack(">i", len(asked)) + asked)
        assert other.recv(8, socket.MSG_WAITALL)[4:] == struct.pack(">i", 9)


@pytest.mark.parametrize("size", [-1, 0, 7, 1 << 30])
def test_a_length_that_can_not_be_closes_the_connection(served: Served, size: int) -> None:
    host, _, port = served.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(struct.pack(">i", size) + b"\x00" * 8)
        assert client.recv(1) == b""


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="no limits of other processes here")
def test_too_many_connections_wait_and_hold_up_nobody(served: Served) -> None:
    host, _, port = served.address.rpartition(":")
    asked = struct.pack(">ihhih", 10, 18, 0, 9, -1)
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as first:
        first.sendall(asked)
        assert first.recv(8, socket.MSG_WAITALL)[4:] == struct.pack(">i", 9)
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (40, 40))
        others = [socket.create_connection((host, int(port)), timeout=PATIENCE) for _ in range(60)]
        late = others.pop()
        late.sendall(asked)
        first.recv(1 << 16)
        first.sendall(asked)
        assert first.recv(8, socket.MSG_WAITALL)[4:] == struct.pack(">i", 9)
        for each in others:
            each.close()
        with late:
            assert late.recv(8, socket.MSG_WAITALL)[4:] == struct.pack(">i", 9)


def test_what_is_written_beside_it_and_without_it_is_one_log(tmp_path: Path) -> None:
    client = pytest.importorskip("confluent_kafka")
    directory = tmp_path / "data"
    assert produce(directory, "before\n", "--topic", "log").code == 0
    with Served(directory) as server:
        producer = client.Producer({"bootstrap.servers": server.address})
        producer.produce("log", b"through it", partition=0)
        assert producer.flush(PATIENCE) == 0
        assert produce(directory, "beside it\n", "--topic", "log").code == 0
        server.stop()
    assert produce(directory, "after\n", "--topic", "log").code == 0
    assert values(directory, "log") == [b"before", b"through it", b"beside it", b"after"]


def test_a_client_is_sent_to_by_as_large_a_buffer_as_a_broker_has() -> None:
    with listen_on("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()) as client:
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted, socket.socket() as asked:
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            sizes = [each.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for each in (accepted, asked, client)]
    assert sizes[0] == sizes[1] != sizes[2]


def test_it_ends_where_its_directory_was_removed_and_made_anew(tmp_path: Path) -> None:
    """It would go on to acknowledge what nobody finds."""
    with Served(tmp_path / "data") as server, connect(server.address) as client:
        joining = struct.pack(">h1sih", 1, b"g", 30_000, 0) + struct.pack(">h8si", 8, b"consumer", 1)
        subscription = struct.pack(">hii", 0, 0, 0)
        joining += struct.pack(">h5si", 5, b"range", len(subscription)) + subscription
        answer = ask(client, JOIN_GROUP, 0, joining)
        assert answer is not None and struct.unpack_from(">h", answer) == (0,)
        shutil.rmtree(tmp_path / "data")
        with open_cluster(tmp_path / "data") as cluster:
            cluster.admin().create_topic("anew")
            cluster.admin().alter_group_offsets("g", {TopicPartition("anew", 0): 0})
        assert ask(client, API_VERSIONS, 0) is None
        code, told = server.ended()
    assert code == 1
    assert told.count("\n") == 1 and "its directory was made anew" in told
