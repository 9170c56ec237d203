"""Consumers in processes of their own, that a test starts, talks to, freezes and kills.

A fork server has everything imported: a member costs milliseconds. Each member reports what happens to it through a
pipe, at once and with the monotonic clock, which all processes of a machine share; and it takes orders through another.
Nothing here sleeps to wait for something: `Fleet.until` waits for a condition, and listens meanwhile.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 60.0
"""Seconds that a condition is waited for, unless told otherwise: far more than any promise, for a busy machine."""


class Event(NamedTuple):
    """Something that a member reported. ``at``: seconds, monotonic, taken by the member when it happened."""

    at: float
    what: str
    """``joined``, ``assigned``, ``revoked``, ``lost``, ``delivered``, ``polled``, ``done``, ``closed``, ``failed``."""
    data: Any


Partition = tuple[str, int]


class Delivered(NamedTuple):
    """A run of records, as a member's poll returned it: offsets ``first`` to ``last``, none left out."""

    at: float
    partition: Partition
    first: int
    last: int
    keys: list[str]
    values: list[str]


class Member:
    """One consumer process, as seen from the test."""

    def __init__(self, fleet: Fleet, name: str, pid: int, reports: int, orders: int) -> None:
        self.name = name
        self.pid = pid
        self.events: list[Event] = []
        self.owned: set[Partition] = set()
        """By what it last reported."""
        self.alive = True
        self.frozen = False
        self._fleet = fleet
        self._reports = reports
        self._orders = orders
        self._rest = b""

    def __repr__(self) -> str:
        return self.name

    # ------------------------------------------------------------------------------------------------------- told

    def of(self, *what: str) -> list[Event]:
        return [event for event in self.events if event.what in what]

    @property
    def delivered(self) -> list[Delivered]:
        found = []
        for event in self.of("delivered"):
            topic, number, *rest = event.data
            found.append(Delivered(event.at, (topic, number), *rest))
        return found

    @property
    def values(self) -> list[str]:
        return [value for run in self.delivered for value in run.values]

    def take_in(self) -> None:
        """Read what has been reported; the pipe's end means that the process is gone."""
        while True:
            try:
                data = os.read(self._reports, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._end()
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                event = Event(*json.loads(line))
                self.events.append(event)
                if event.what == "assigned":
                    self.owned |= {(topic, number) for topic, number in event.data}
                elif event.what in {"revoked", "lost"}:
                    self.owned -= {(topic, number) for topic, number in event.data}

    def _end(self) -> None:
        self.alive = self.frozen = False
        self._fleet.forget(self, self._reports)
        os.close(self._reports)
        os.close(self._orders)

    # ------------------------------------------------------------------------------------------------------- asked

    def order(self, what: str, *data: Any) -> None:
        if self.alive:
            with suppress(BrokenPipeError):  # it has ended just now
                os.write(self._orders, json.dumps([what, *data]).encode() + b"\n")

    def ask(self, what: str, *data: Any) -> Any:
        """Have something done between two polls; the answer is its result, or the name of its error."""
        asked = len(self.of("done"))
        self.order(what, *data)
        self._fleet.until(lambda: len(self.of("done")) > asked or not self.alive, f"{self} does {what}")
        assert self.alive, f"{self} died: {self.events[-1:]}"
        return self.of("done")[asked].data

    def kill(self) -> float:
        """kill -9; when that was."""
        return self._signal(signal.SIGKILL)

    def freeze(self) -> float:
        self.frozen = True
        return self._signal(signal.SIGSTOP)

    def thaw(self) -> float:
        self.frozen = False
        return self._signal(signal.SIGCONT)

    def terminate(self) -> float:
        return self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> float:
        at = time.monotonic()
        if self.alive:
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.pid, number)
        return at

    def close(self) -> None:
        """Have it close its consumer and end. Does not wait."""
        self.order("close")


class Fleet:
    """All members of a test, over one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.members: list[Member] = []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        theirs.close()
        self._selector = selectors.DefaultSelector()

    @property
    def alive(self) -> list[Member]:
        return [member for member in self.members if member.alive]

    def start(
        self,
        *topics: str,
        config: Mapping[str, str] | None = None,
        pattern: str | None = None,
        poll: float = 0.05,
        max_records: int | None = None,
        values: bool = False,
        assign: Sequence[tuple[str, int, int]] | None = None,
    ) -> Member:
        """A consumer in group g that begins at the earliest record, unless ``config`` says otherwise.

        ``poll``: the timeout of each poll. ``values``: whether deliveries tell keys and values. ``assign``: (topic,
        partition, offset)s to read instead of subscribing.
        """
        given = {"group.id": "g", "auto.offset.reset": "earliest", **(config or {})}
        spec = {
            "directory": str(self.directory),
            "config": {name: value for name, value in given.items() if value is not None},
            "topics": topics,
            "pattern": pattern,
            "poll": poll,
            "max_records": max_records,
            "values": values,
            "assign": assign,
        }
        reports, report = os.pipe()
        order, orders = os.pipe()
        try:
            socket.send_fds(self._socket, [json.dumps(spec).encode()], [report, order])
            pid = int(self._socket.recv(64))
        finally:
            os.close(report)
            os.close(order)
        os.set_blocking(reports, False)
        member = Member(self, f"m{len(self.members)}", pid, reports, orders)
        self.members.append(member)
        self._selector.register(reports, selectors.EVENT_READ, member)
        return member

    def listen(self, seconds: float = 0.0) -> None:
        """Take in what is reported, for so long."""
        end = time.monotonic() + seconds
        while True:
            for key, _ in self._selector.select(max(0.0, end - time.monotonic())):
                key.data.take_in()
            if time.monotonic() >= end:
                return

    def until(self, condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> float:
        """Listen until a condition holds; how long it took. Fails with ``what`` was waited for."""
        start = time.monotonic()
        while True:
            self.listen()
            if condition():
                return time.monotonic() - start
            if time.monotonic() > start + seconds:
                raise AssertionError(f"after {seconds} s still not: {what}\n{self.report()}")
            self._selector.select(0.01)

    def report(self) -> str:
        """What the members have told last, for a failed test."""
        lines = []
        for member in self.members:
            state = "frozen" if member.frozen else "alive" if member.alive else "gone"
            last = [f"{event.what} {str(event.data)[:120]}" for event in member.events[-6:]]
            owned = " ".join(f"{topic}-{number}" for topic, number in sorted(member.owned))
            lines.append(f"{member} pid {member.pid} {state}, owned: {owned}; last: {last}")
        return "\n".join(lines)

    def forget(self, _member: Member, reports: int) -> None:
        self._selector.unregister(reports)

    def close(self) -> None:
        for member in self.alive:
            with suppress(ProcessLookupError):  # about to be gone by itself
                os.kill(member.pid, signal.SIGKILL)
        self.until(lambda: not self.alive, "all members are gone")
        self._socket.close()
        self._server.wait(DEADLINE)
        self._selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# ------------------------------------------------------------------------------------------------- in the fork server


def serve(descriptor: int) -> None:
    """Fork a member for each request, until the test is gone."""
    import pykafka_store.embedded.clients.member_consumer  # noqa: F401
    from pykafka_store.open import open_cluster

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for exit codes: no zombies
    requests = socket.socket(fileno=descriptor)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 2)
        if not message:
            return
        report, order = descriptors
        pid = os.fork()
        if not pid:
            requests.close()
            code = 1
            try:
                _Serving(json.loads(message), report, order).run(open_cluster)
                code = 0
            except KeyboardInterrupt:
                pass
            finally:
                os._exit(code)
        os.close(report)
        os.close(order)
        requests.send(str(pid).encode())


class _Serving:
    """The life of a member."""

    def __init__(self, spec: dict[str, Any], report: int, order: int) -> None:
        self.spec = spec
        self._report = report
        self._order = order
        self._waiting = b""
        self._ending = False
        self._held = False
        os.set_blocking(order, False)

    def tell(self, what: str, data: Any = None) -> None:
        line = json.dumps([time.monotonic(), what, data]).encode() + b"\n"
        while line:
            line = line[os.write(self._report, line) :]

    def run(self, open_cluster: Callable[[str], Any]) -> None:
        spec = self.spec
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "_ending", True))
        try:
            with open_cluster(spec["directory"]) as cluster, cluster.consumer(spec["config"]) as consumer:
                consumer.on_rebalance(
                    *(lambda partitions, what=what: self.tell(what, list(partitions)) for what in _CALLBACKS)
                )
                self._begin(consumer)
                self.tell("joined")
                while not self._ending:
                    asked = self._obey(consumer)
                    if self._held:
                        time.sleep(0.005)
                        continue
                    for records in consumer.poll(spec["poll"], spec["max_records"]):
                        self._deliver(records)
                    if asked:
                        self.tell("polled")
                consumer.close()
                self.tell("closed")
        except Exception as error:
            self.tell("failed", [type(error).__name__, str(error)])
            raise

    def _begin(self, consumer: Any) -> None:
        import re

        from pykafka_store.model import TopicPartition

        spec = self.spec
        if spec["assign"] is not None:
            consumer.assign({TopicPartition(topic, number): offset for topic, number, offset in spec["assign"]})
        else:
            consumer.subscribe(spec["topics"], pattern=re.compile(spec["pattern"]) if spec["pattern"] else None)

    def _deliver(self, records: Any) -> None:
        first, last = records.offsets[0], records.offsets[-1]
        assert list(records.offsets) == list(range(first, last + 1)), records
        shown = self.spec["values"]
        keys = [(key or b"").decode() for key in records.keys] if shown else []
        values = [value.decode() for value in records.values] if shown else []
        self.tell("delivered", [records.topic, records.partition, first, last, keys, values])

    def _obey(self, consumer: Any) -> bool:
        """Do what was ordered meanwhile. The test's end of the pipe being closed means that the test is gone."""
        try:
            data = os.read(self._order, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            raise KeyboardInterrupt
        *lines, self._waiting = (self._waiting + data).split(b"\n")
        for line in lines:
            self._do(consumer, *json.loads(line))
        return bool(lines)

    def _do(self, consumer: Any, what: str, *data: Any) -> None:
        from pykafka_store.errors import StoreError
        from pykafka_store.model import TopicPartition

        result: Any = None
        if what == "close":
            self._ending = True
        elif what == "hold":  # as an application does that is busy with a batch
            self._held = True
        elif what == "go on":
            self._held = False
        try:
            if what == "commit":
                consumer.commit({TopicPartition(*each): offset for each, offset in data[0]} if data else None)
        except StoreError as error:
            result = type(error).__name__
        self.tell("done", result)


_CALLBACKS = ("assigned", "revoked", "lost")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
