"""A server that has imported the engine once and forks processes that use it, to be killed.

Run as a script. It reads commands from standard input, one JSON list a line: ``["start", role, argument, ...]``
answers with a process id, ``["kill", pid, ...]`` kills them and answers with how they ended when they are gone,
``["wait", pid]`` with how one ended, ``["ended"]`` with all that ended by themselves since. What a process has to say
(acknowledgements, what it read, an unexpected error) it appends to a file: bytes in the page cache outlive it.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil  # noqa: F401  # before a process gives up the right to read the library
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import cramjam  # noqa: F401

from pykafka_store.embedded.admin.topics import TopicAdmin  # noqa: F401
from pykafka_store.embedded.clients.copier import EmbeddedCopier  # noqa: F401  # imported once, before any fork
from pykafka_store.embedded.clients.member_consumer import MemberConsumer  # noqa: F401
from pykafka_store.embedded.clients.producer import EmbeddedProducer  # noqa: F401
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.database import GroupDatabase
from pykafka_store.embedded.locks import Locks
from pykafka_store.embedded.log.reader import LogReader  # noqa: F401
from pykafka_store.embedded.log.replica import ReplicaLog  # noqa: F401
from pykafka_store.embedded.replication.writer import PartitionWriter  # noqa: F401
from pykafka_store.errors import StoreError, TopicExistsError, UnknownTopicOrPartitionError
from pykafka_store.mirror import copying, mirroring, targets
from pykafka_store.model import Delivery, OffsetAt, SendFailure, TopicPartition
from tests.crash.sinkers import sinker
from tests.crash.sourcers import sourcer
from tests.support import in_process

AT_ONCE = {"linger.ms": "0"}
"""Settings of a producer that appends what it is sent before ``send`` returns."""


class Said:
    """A file that a process appends lines to; each is there when the call returns. ``lines_of`` reads them."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def __call__(self, line: str) -> None:
        os.write(self._file, line.encode() + b"\n")


def lines_of(said: Path) -> list[str]:
    """What a process said in whole lines; nothing where it did not come to open the file. A kill cuts a write short at
    a page's end, and a line with it.
    """
    return said.read_text().split("\n")[:-1] if said.exists() else []


# -------------------------------------------------------------------------------------------------------------- roles


def writer(directory: str, topic: str, number: int, seed: int, said: str) -> None:
    """Append for ever; say ``offset count`` of each acknowledged append. Record ``i`` of writer ``n`` is ``n:i:…``."""
    chance = random.Random(seed)
    say = Said(said)

    def on_delivery(delivery: Delivery) -> None:
        say(f"{delivery.base_offset} {delivery.record_count}")

    config = {**AT_ONCE, "compression.type": chance.choice(["none", "none", "lz4"])}
    producer = EmbeddedCluster(directory).producer(config, on_delivery=on_delivery)
    sent = 0
    while True:
        count = chance.choice([1, 1, 2, 5])
        values = [b"%d:%d:" % (number, sent + i) + b"x" * chance.randrange(120) for i in range(count)]
        sent += count
        producer.send(topic, values, partitions=0)


def replicated_writer(directory: str, topic: str, partitions: int, number: int, said: str) -> None:
    """Append for ever with acks=all, and go on after what is refused. Says ``partition offset first count`` of each
    acknowledged append; record ``i`` of writer ``n`` to partition ``p`` is ``n:p:i:…``.
    """
    chance = random.Random(number)
    say = Said(said)
    settled = [0] * partitions

    def on_delivery(delivery: Delivery) -> None:
        here = delivery.partition
        say(f"{here} {delivery.base_offset} {settled[here]} {delivery.record_count}")
        settled[here] += delivery.record_count

    def on_failure(failure: SendFailure) -> None:
        assert failure.partition is not None
        settled[failure.partition] += failure.record_count

    config = {"acks": "all", "delivery.timeout.ms": "4000", "linger.ms": "0", "request.timeout.ms": "2000"}
    producer = EmbeddedCluster(directory).producer(config, on_delivery=on_delivery, on_failure=on_failure)
    sent = [0] * partitions
    while True:
        here, count = chance.randrange(partitions), chance.choice([1, 5, 40])
        values = [b"%d:%d:%d:" % (number, here, sent[here] + i) + b"x" * chance.randrange(200) for i in range(count)]
        sent[here] += count
        producer.send(topic, values, partitions=here)


def watcher(directory: str, topic: str, partitions: int, said: str) -> None:
    """Read for ever; say ``partition offset value`` of each record seen."""
    say = Said(said)
    consumer = EmbeddedCluster(directory).consumer()
    consumer.assign({TopicPartition(topic, number): 0 for number in range(partitions)})
    while True:
        for run in consumer.poll(timeout=0.5):
            named = (value.split(b":x")[0].decode() for value in run.values if value is not None)
            say("\n".join(f"{run.partition} {at} {value}" for at, value in zip(run.offsets, named, strict=True)))


def scripted_writer(directory: str, topic: str, number: int, kill_at: int, how: str, said: str) -> None:
    """Append a few times and end, unless its disk kills it before."""
    say = Said(said)

    def on_delivery(delivery: Delivery) -> None:
        say(f"{delivery.base_offset} {delivery.record_count}")

    disk = DeadlyDisk(kill_at, how)
    producer = EmbeddedCluster(directory, disk=disk).producer(AT_ONCE, on_delivery=on_delivery)
    sent = 0
    for count in (1, 3, 1, 4, 2):
        producer.send(topic, [b"%d:%d:" % (number, sent + i) + b"y" * 90 for i in range(count)], partitions=0)
        sent += count
    producer.close()
    say(f"verbs {disk.verbs}")


def follower(directory: str, topic: str, offset: int, said: str) -> None:
    """Read for ever; say ``offset value`` of each record seen."""
    say = Said(said)
    consumer = EmbeddedCluster(directory).consumer()
    consumer.assign({TopicPartition(topic, 0): offset})
    while True:
        for run in consumer.poll(timeout=0.5):
            lines = (f"{at} {value!r}" for at, value in zip(run.offsets, run.values, strict=True))
            say("\n".join(lines))


def topic_maker(directory: str, number: int, seed: int, said: str) -> None:
    """Make and delete topics for ever, some by names that others use too; say what is tried and what was done."""
    chance = random.Random(seed)
    say = Said(said)
    cluster = EmbeddedCluster(directory)
    admin = cluster.admin()
    producer = cluster.producer(AT_ONCE, on_failure=lambda failure: None)
    for count in range(1 << 30):
        name = f"shared-{chance.randrange(3)}" if chance.random() < 0.3 else f"own-{number}-{count % 4}"
        say(f"trying {name} -")
        try:
            made = admin.create_topic(name, partitions=chance.randint(1, 3))
            say(f"made {name} {made.topic_id}")
            if chance.random() < 0.5:
                producer.send(name, [b"x"] * 3)
            if chance.random() < 0.3:
                admin.create_partitions(name, 4)
            if chance.random() < 0.7:
                say(f"trying {name} -")
                admin.delete_topic(name)
                say(f"deleted {name} {made.topic_id}")
        except TopicExistsError:
            if name.startswith("own") or chance.random() < 0.5:
                try:
                    admin.delete_topic(name)
                except UnknownTopicOrPartitionError:
                    assert name.startswith("shared")
        except UnknownTopicOrPartitionError:
            assert name.startswith("shared"), "nobody else deletes one's own topics"


def opener(directory: str, kill_at: int, how: str, said: str) -> None:
    """Open a data directory, making it, and a topic in it."""
    disk = DeadlyDisk(kill_at, how)
    with EmbeddedCluster(directory, disk=disk) as cluster:
        Said(said)("opened")
        cluster.admin().create_topic("t", partitions=2)
        Said(said)("made")
        cluster.admin().create_partitions("t", 3)
        Said(said)("extended")
        cluster.admin().delete_topic("t")
        Said(said)("deleted")
    Said(said)(f"verbs {disk.verbs}")


def quick_opener(directory: str, said: str) -> None:
    """Open a data directory that others make at the same time, and make a topic that others make too."""
    with EmbeddedCluster(directory) as cluster:
        try:
            Said(said)(f"made {cluster.admin().create_topic('t').topic_id}")
        except TopicExistsError:
            Said(said)(f"there {cluster.admin().describe_topics(['t'])[0].topic_id}")
        with cluster.producer(AT_ONCE) as producer:
            producer.send("t", [b"x"])


def groups_maker(directory: str, number: int, crowd: int) -> None:
    """Open the groups' database of a directory at the moment at which ``crowd`` processes do, which makes it."""
    open(os.path.join(directory, f"{number}.ready"), "x").close()
    while sum(name.endswith(".ready") for name in os.listdir(directory)) < crowd:
        pass
    GroupDatabase(directory).version()


def batch_writer(
    directory: str, topic: str, number: int, partitions: int, count: int, said: str, crowd: int = 1
) -> None:
    """Append ``count`` records to each of some partitions, a few at a time, and end.

    ``crowd`` writers, which say what they do in files of one directory, wait for one another before the first append,
    and again after each quarter, so that however busy the machine is, none is done before another begins.
    """
    say = Said(said)

    def meet(when: int) -> None:
        open(f"{said}.{when}", "x").close()
        while sum(name.endswith(f".{when}") for name in os.listdir(os.path.dirname(said))) < crowd:
            time.sleep(0.001)

    def on_delivery(delivery: Delivery) -> None:
        say(f"{delivery.partition} {delivery.base_offset} {delivery.record_count}")

    chance = random.Random(number)
    with EmbeddedCluster(directory) as cluster, cluster.producer(AT_ONCE, on_delivery=on_delivery) as producer:
        sent = [0] * partitions
        for quarter in range(1, 5):
            meet(quarter)
            while min(sent) < count * quarter // 4:
                partition = chance.randrange(partitions)
                size = min(chance.randint(1, 9), count - sent[partition])
                if size:
                    values = [b"%d:%d:" % (number, sent[partition] + i) for i in range(size)]
                    producer.send(topic, values, partitions=partition)
                    sent[partition] += size


def mirrorer(source: str, target: str, kill_at: int, how: str, said: str) -> None:
    """Mirror topic ``t``, each batch in an append of its own and often noted down, unless the disk kills it before."""
    copying.SMALL = 1
    targets.ToDirectory.save_every = 0.0
    say = Said(said)
    disk = DeadlyDisk(kill_at, how)
    with EmbeddedCluster(source) as origin, EmbeddedCluster(target, disk=disk) as goal:
        wanted = mirroring.Selection(topics=["t"], groups=["g"])
        into = targets.DirectoryTarget(goal)
        with mirroring.Mirror(origin, into, wanted, on_notice=say, on_error=say) as mirror:
            mirror.prepare(follow=False)
            mirror.run(lambda: False, lambda progress: None)
    say(f"verbs {disk.verbs}")


def lock_holder(directory: str, topic: str, said: str) -> None:
    """Take the lock of a topic's first partition and keep it."""
    cluster = EmbeddedCluster(directory)
    row = cluster.engine.catalog.topic(topic)
    assert row is not None
    with Locks(os.path.join(directory, "locks"), Disk(), Clock()).partition(row.id, 0):
        Said(said)("held")
        signal.pause()


def first_of_many(directory: str, number: int) -> None:
    """Open a data directory, or make it, and in it a topic; write ten records to another one that is shared."""
    with EmbeddedCluster(directory) as cluster:
        cluster.admin().create_topic(f"t{number}")
        with cluster.producer(AT_ONCE) as producer:
            for _ in range(10):
                producer.send("shared", [b"%d" % number])


def catalogue_holder(directory: str, said: str) -> None:
    """Begin a transaction of the catalogue and do not end it."""
    with EmbeddedCluster(directory).engine.catalog.transaction():
        Said(said)("held")
        signal.pause()


def without_rights(directory: str, topic: str, known: str, said: str) -> None:
    """As a user who may read a data directory and not write it: look at everything, then try to change things.

    ``known`` is another directory like it. It is looked at first, to load all of the library that this needs: the user
    may not be allowed to read that.
    """
    say = Said(said)
    _look_at(known, topic)
    _give_up_rights()
    try:
        say(json.dumps(_look_at(directory, topic)))
    except StoreError as error:
        say(f"refused: {error}")


def _give_up_rights() -> None:
    os.chdir("/")
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    tempfile.tempdir = "/tmp"


def follower_without_rights(directory: str, known: str, said: str) -> None:
    """Read every topic for ever as a user who may only read; say ``topic-partition value`` of each record. ``known`` is
    as above, with one record in it.
    """
    say = Said(said)
    with EmbeddedCluster(known, read_only=True) as cluster, cluster.consumer() as consumer:
        consumer.subscribe(pattern=re.compile(".*"), start=OffsetAt.EARLIEST)
        while not consumer.poll():
            pass
    _give_up_rights()
    consumer = EmbeddedCluster(directory).consumer()
    consumer.subscribe(pattern=re.compile(".*"), start=OffsetAt.EARLIEST)
    say("reads")
    while True:
        for records in consumer.poll(0.05):
            for value in records.values:
                say(f"{records.topic}-{records.partition} {(value or b'').decode()}")


def waiter_without_rights(directory: str, known: str, said: str, *words: str) -> None:
    """``pykafka wait`` as a user who may only read; says its exit code and what it prints."""
    say = Said(said)
    assert in_process.run("wait", *words, data_dir=Path(known)).code == 0
    _give_up_rights()
    say("waits")
    say(json.dumps(in_process.run("wait", *words, data_dir=Path(directory))))


def _look_at(directory: str, topic: str) -> dict[str, object]:
    with EmbeddedCluster(directory) as cluster:
        admin = cluster.admin()
        (found,) = admin.describe_topics([topic])
        here = TopicPartition(topic, 0)
        with cluster.consumer() as consumer:
            consumer.assign({here: 0})
            values = []
            while some := consumer.poll():
                values += [value.decode() for run in some for value in run.values if value is not None]
        answer: dict[str, object] = {
            "topics": [each.name for each in admin.list_topics()],
            "partitions": len(found.partitions),
            "brokers": list(admin.live_brokers()),
            "end": admin.list_offsets({here: OffsetAt.LATEST})[here],
            "by time": admin.list_offsets({here: 0})[here],
            "values": values,
        }
        changes: list[Callable[[], object]] = [
            cluster.producer,
            lambda: admin.create_partitions(topic, 9),
            lambda: admin.create_topic("another"),
            lambda: admin.delete_topic(topic),
        ]
        refusals = []
        for change in changes:
            try:
                change()
                refusals.append("")
            except StoreError as error:
                refusals.append(str(error))
        return {**answer, "refusals": refusals}


class DeadlyDisk(Disk):
    """The real disk, whose ``kill_at``-th verb (of those that change something) kills the process, kill -9.

    ``how``: ``before`` it does anything, in the ``middle`` (half of a write is there), or right ``after``. In the
    middle, only verbs that have one are counted: of the others nothing but what ``after`` leaves could be seen.
    """

    def __init__(self, kill_at: int, how: str) -> None:
        self.kill_at = kill_at
        self.how = how
        self.verbs = 0

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("alive")

    def _before(self, *, has_middle: bool = False) -> bool:
        """Count a verb; True if it is to die in its middle or after it."""
        if self.how == "middle" and not has_middle:
            return False
        self.verbs += 1
        if self.verbs - 1 != self.kill_at:
            return False
        if self.how == "before":
            self._die()
        return True

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        dies = bool(flags & os.O_CREAT) and self._before()
        descriptor = super().open(path, flags)
        if dies:
            self._die()
        return descriptor

    def write_at(self, descriptor: int, pieces: Sequence[bytes], position: int, path: str = "") -> int:
        # A kill does not stop the kernel within a page, so the one small record of state is whole or not there.
        dies = self._before(has_middle=not path.endswith("published-state"))
        if dies and self.how == "middle":
            data = b"".join(pieces)
            super().write_at(descriptor, [data[: len(data) // 2]], position, path)
            self._die()
        done = super().write_at(descriptor, pieces, position, path)
        if dies:
            self._die()
        return done

    def truncate(self, descriptor: int, size: int, path: str = "") -> None:
        dies = self._before()
        super().truncate(descriptor, size, path)
        if dies:
            self._die()

    def sync_directory(self, path: str) -> None:
        dies = self._before()
        super().sync_directory(path)
        if dies:
            self._die()

    def rename(self, old: str, new: str) -> None:
        dies = self._before()
        super().rename(old, new)
        if dies:
            self._die()

    def remove(self, path: str) -> None:
        dies = self._before()
        super().remove(path)
        if dies:
            self._die()

    def remove_tree(self, path: str) -> None:
        dies = self._before(has_middle=True)
        if dies and self.how == "middle":
            os.unlink(os.path.join(path, min(os.listdir(path))))
            self._die()
        super().remove_tree(path)
        if dies:
            self._die()

    def make_directory(self, path: str, *, parents: bool = True) -> None:
        dies = self._before()
        super().make_directory(path, parents=parents)
        if dies:
            self._die()


ROLES: dict[str, Callable[..., None]] = {
    role.__name__: role
    for role in (
        writer,
        replicated_writer,
        watcher,
        scripted_writer,
        batch_writer,
        follower,
        topic_maker,
        opener,
        quick_opener,
        groups_maker,
        mirrorer,
        first_of_many,
        lock_holder,
        catalogue_holder,
        without_rights,
        follower_without_rights,
        waiter_without_rights,
        sinker,
        sourcer,
    )
}


# -------------------------------------------------------------------------------------------------------------- server


def _play(role: Callable[..., None], arguments: list[object], errors: str) -> NoReturn:
    complain = Said(errors)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        role(*arguments)
    except KeyboardInterrupt:
        os._exit(130)
    except BaseException:
        complain(f"{role.__name__} {arguments}: {traceback.format_exc()}")
        os._exit(1)
    os._exit(0)


def _ended() -> list[tuple[int, int]]:
    """(process id, exit code or minus the signal) of each child that has ended and that nobody waited for."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        found.append((pid, os.waitstatus_to_exitcode(status)))


def serve(errors: str, roles: Mapping[str, Callable[..., None]] = ROLES) -> None:
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        answer: object = None
        if verb == "start":
            # No SIGINT before the role begins: it would be lost in what Python does after a fork.
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            answer = os.fork()
            if answer == 0:
                os.close(0)
                _play(roles[arguments[0]], arguments[1:], errors)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        elif verb == "kill":
            for pid in arguments:
                os.kill(pid, signal.SIGKILL)
            answer = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in arguments]
        elif verb == "ended":
            answer = _ended()
        elif verb == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class Forks:
    """The server, as a test uses it."""

    def __init__(self, errors: Path, program: str = __file__, environ: Mapping[str, str] | None = None) -> None:
        """``program`` is the script that serves, with roles of its own; ``environ`` is added to its environment."""
        self.errors = errors
        root = str(Path(__file__).resolve().parent.parent.parent)
        self._process = subprocess.Popen(
            [sys.executable, program, str(errors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                **(environ or {}),
                "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
            },
            start_new_session=True,
        )

    def _ask(self, *command: object) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the server of forks is gone"
        return json.loads(answer)

    def start(self, role: str, *arguments: object) -> int:
        pid = self._ask("start", role, *arguments)
        assert isinstance(pid, int)
        return pid

    def kill(self, *pids: int) -> list[int]:
        """Kill processes that nobody waited for yet, and wait until they are gone. Returns how each ended: one may have
        done so by itself.
        """
        answer = self._ask("kill", *pids)
        assert isinstance(answer, list)
        return answer

    def wait(self, pid: int) -> int:
        """The exit code, or minus the signal, when it has ended."""
        code = self._ask("wait", pid)
        assert isinstance(code, int)
        return code

    def ended(self) -> list[tuple[int, int]]:
        """(process id, exit code or minus the signal) of all that ended by themselves since this was last asked.

        Neither :meth:`kill` nor :meth:`wait` may be asked of these any more.
        """
        answer = self._ask("ended")
        assert isinstance(answer, list)
        return [(pid, code) for pid, code in answer]

    def complaints(self) -> str:
        """The tracebacks of all that ended in one."""
        return self.errors.read_text() if self.errors.exists() else ""

    def check_complaints(self) -> None:
        """Fail where one ended in a traceback, with all of it: what made it may be gone when somebody looks."""
        if complaints := self.complaints():
            raise AssertionError(complaints)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.killpg(self._process.pid, signal.SIGKILL)  # its children, too: they are of its session
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


if __name__ == "__main__":
    serve(sys.argv[1])
