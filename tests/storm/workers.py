"""Who works in the storm: processes that use the engine as a program would, and tell each thing that they were told.

Run as a script this is a server of forks (tests/crash/forks.py). A worker appends what happened to a file of its own, a
JSON list a line, before it goes on: what it said before a kill stands. It goes on after any StoreError, which is what
faults are allowed to cause; anything else that is raised ends it, and the storm with it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.errors import StoreError, TopicExistsError, UnknownTopicOrPartitionError
from pykafka_store.model import ConfigResource, Delivery, OffsetAt, Records, SendFailure, TopicPartition
from tests.crash.forks import Said, serve
from tests.storm.faults import Faults, arm
from tests.storm.records import Name, name_of, value_of
from tests.support.signals import take_signals_back

STEADY = ("steady-one", "steady-three")
"""Topics that nothing is ever taken from."""
SHORT, KEYED = "short", "keyed"
"""Topics that retention takes from, at the front, and compaction, all but the newest record of a key."""
TOPICS = (*STEADY, SHORT, KEYED)
KEYS = 15

TOOLS = [
    "broker-api-versions", "brokers", "configs", "console-consumer", "console-producer", "consumer-groups",
    "delete-records", "doctor", "get-offsets", "leader-election", "log-dirs", "maintain", "mirror",
    "reassign-partitions", "topics",
]  # fmt: skip


class Place(NamedTuple):
    """The files of a storm, all below one directory."""

    directory: str

    @property
    def world(self) -> str:
        """What calls may fail upon ends in a slash, so that nothing else begins with it."""
        return f"{self.directory}/world/"

    @property
    def data(self) -> str:
        return f"{self.world}data"

    @property
    def mirrored(self) -> str:
        return f"{self.world}mirrored"

    @property
    def clock(self) -> str:
        return f"{self.directory}/clock"

    def said(self, number: int, role: str) -> str:
        return f"{self.directory}/history/{number:06d}-{role}.jsonl"

    def output(self, number: int) -> tuple[str, str]:
        """What a tool's stdout and stderr go to."""
        return f"{self.directory}/tools/{number:06d}.out", f"{self.directory}/tools/{number:06d}.err"


class Worker:
    """What all of them have: a place, chance, and a voice."""

    def __init__(self, role: str, directory: str, number: int, seed: int, faults: list[int]) -> None:
        self.place = Place(directory)
        self.number = number
        self.chance = random.Random(seed)
        self.interrupted = False
        self._said = Said(self.place.said(number, role))
        if role != "tool":
            # Between two turns: one that struck after a poll would have a member commit what nobody told of.
            signal.signal(signal.SIGINT, self._interrupt)
        arm(self.place.world, self.place.clock, Faults(*faults))

    def _interrupt(self, *_: object) -> None:
        self.interrupted = True

    def turns(self, count: int) -> Iterator[None]:
        """So many, or fewer if SIGINT comes."""
        for _ in range(count):
            if self.interrupted:
                return
            yield

    def say(self, *words: object) -> None:
        self._said(json.dumps(words, separators=(",", ":")))

    def sessions(self, session: Callable[[EmbeddedCluster, str], None]) -> None:
        """Have session after session with the cluster, until killed or interrupted. Each has a name of its own."""
        for count, _ in enumerate(self.turns(1 << 30)):
            try:
                with EmbeddedCluster(self.place.data) as cluster:
                    session(cluster, f"{self.number}.{count}")
            except StoreError as error:
                self.say("refused", type(error).__name__, str(error))
                time.sleep(0.05)  # what failed may fail again at once, and the machine has other work

    def partitions(self, cluster: EmbeddedCluster, topic: str) -> int:
        return len(cluster.admin().describe_topics([topic])[0].partitions)

    def tell(self, what: str, run: Records) -> None:
        """Of records that were read: where they stand, and what they are. One that was changed ends the worker."""
        names = [name_of(value) for value in run.values]
        assert all(name.belongs(run.topic, run.partition) for name in names), (run, names)
        assert [key.decode() for key in run.keys if key is not None] == [name.key for name in names if name.key != "-"]
        self.say(what, run.topic, run.partition, list(run.offsets), [f"{name.writer}:{name.number}" for name in names])


# -------------------------------------------------------------------------------------------------------------- roles


def producer(*where: object) -> None:
    """Says ``ack topic partition offset first keys writer acks`` of each acknowledged run of records."""
    worker = Worker("producer", *where)  # type: ignore[arg-type]
    chance = worker.chance

    def session(cluster: EmbeddedCluster, writer: str) -> None:
        sent: dict[tuple[str, int], list[str]] = defaultdict(list)
        """The keys of all records so far."""
        settled: dict[tuple[str, int], int] = defaultdict(int)

        def on_delivery(done: Delivery) -> None:
            here = done.topic, done.partition
            first = settled[here]
            settled[here] += done.record_count
            worker.say("ack", *here, done.base_offset, first, sent[here][first : settled[here]], writer, config["acks"])

        def on_failure(failure: SendFailure) -> None:
            assert failure.partition is not None
            worker.say("failed", failure.topic, failure.partition, str(failure.error))
            settled[failure.topic, failure.partition] += failure.record_count

        config = {
            "acks": chance.choice(["all", "1"]),
            "compression.type": chance.choice(["none", "none", "lz4", "zstd", "gzip", "snappy"]),
            "batch.size": chance.choice(["16384", "600"]),
            "delivery.timeout.ms": "4000",
            "request.timeout.ms": "2000",
            "linger.ms": "0",
        }
        counts = {topic: worker.partitions(cluster, topic) for topic in TOPICS}
        with cluster.producer(config, on_delivery=on_delivery, on_failure=on_failure) as made:
            for _ in worker.turns(chance.choice([3, 30, 300])):
                topic = chance.choice(TOPICS)
                here = topic, chance.randrange(counts[topic])
                names = [
                    Name(writer, *here, len(sent[here]) + i, f"k{chance.randrange(KEYS)}")
                    for i in range(chance.choice([1, 1, 5, 40]))
                ]
                sent[here] += [name.key for name in names]
                values = [value_of(name, chance.choice([0, 50, 50, 2000])) for name in names]
                made.send(topic, values, keys=[name.key.encode() for name in names], partitions=here[1])
                time.sleep(chance.choice([0, 0, 0.002, 0.02]))  # not all of them write all the time

    worker.sessions(session)


def reader(*where: object) -> None:
    """Says ``saw topic partition offsets names`` of all that it reads, without a group."""
    worker = Worker("reader", *where)  # type: ignore[arg-type]
    chance = worker.chance

    def session(cluster: EmbeddedCluster, _name: str) -> None:
        topic = chance.choice(TOPICS)
        start = chance.choice([OffsetAt.EARLIEST, OffsetAt.LATEST])
        with cluster.consumer() as consumer:
            consumer.assign({TopicPartition(topic, n): start for n in range(worker.partitions(cluster, topic))})
            for _ in worker.turns(chance.choice([5, 50])):
                for run in consumer.poll(0.1, 500):
                    worker.tell("saw", run)

    worker.sessions(session)


def member(*where: object) -> None:
    """Says ``gave group topic partition offsets names`` of all that the group gives it, before it polls again."""
    *common, group, strategy = where
    worker = Worker("member", *common)  # type: ignore[arg-type]
    chance = worker.chance

    def session(cluster: EmbeddedCluster, _name: str) -> None:
        auto = chance.random() < 0.5
        config = {
            "group.id": str(group),
            "partition.assignment.strategy": str(strategy),
            "auto.offset.reset": "earliest",
            "session.timeout.ms": "2000",
            "heartbeat.interval.ms": "100",
            "enable.auto.commit": str(auto).lower(),
            "auto.commit.interval.ms": "100",
        }
        with cluster.consumer(config) as consumer:
            consumer.subscribe(list(STEADY))
            for _ in worker.turns(chance.choice([5, 50, 200])):
                for run in consumer.poll(0.2, 300):
                    worker.tell(f"gave {group}", run)
                if not auto and chance.random() < 0.3:
                    consumer.commit()

    worker.sessions(session)


def observer(*where: object) -> None:
    """Says ``offsets {partition: [first, end]}``, ``led {partition: [leader, epoch, in sync, eligible]}`` and
    ``committed group {partition: offset}``, again and again.
    """
    *common, groups = where
    worker = Worker("observer", *common)  # type: ignore[arg-type]
    assert isinstance(groups, list)

    def session(cluster: EmbeddedCluster, _name: str) -> None:
        admin = cluster.admin()
        for _ in range(50):
            every = [TopicPartition(topic, n) for topic in TOPICS for n in range(worker.partitions(cluster, topic))]
            # The start first: what retention takes meanwhile must not seem to lie beyond the end.
            starts = admin.list_offsets(dict.fromkeys(every, OffsetAt.EARLIEST))
            ends = admin.list_offsets(dict.fromkeys(every, OffsetAt.LATEST))
            found = {str(each): [starts[each], ends[each]] for each in every}
            known = {
                name: span for name, span in found.items() if not any(isinstance(each, Exception) for each in span)
            }
            worker.say("offsets", known)
            led = {
                f"{topic.name}-{each.partition}": [each.leader, each.leader_epoch, each.isr, each.elr]
                for topic in admin.describe_topics(TOPICS)
                for each in topic.partitions
            }
            worker.say("led", led)
            for group in groups:
                committed = admin.group_offsets(group)
                worker.say("committed", group, {str(each): at.offset for each, at in committed.items()})
            time.sleep(0.05)

    worker.sessions(session)


def maker(*where: object) -> None:
    """Makes, extends, sets, fills, reads and deletes topics that are its own, and its predecessors' under this slot.

    Says ``try name`` before each change, and then ``made name id``, ``extended name count``, ``set name value``,
    ``filled name count writer``, ``holds name names``, ``value name value``, ``deleted name``.
    """
    *common, slot = where
    worker = Worker(f"maker{slot}", *common)  # type: ignore[arg-type]
    chance = worker.chance

    def session(cluster: EmbeddedCluster, writer: str) -> None:
        admin = cluster.admin()
        name = f"made-{slot}-{chance.randrange(2)}"
        worker.say("try", name)
        try:
            made = admin.create_topic(name, partitions=chance.randint(1, 2), replication_factor=chance.randint(1, 2))
        except TopicExistsError:
            worker.say("there", name)
        else:
            worker.say("made", name, made.topic_id)
            fill(cluster, name, writer)
            if chance.random() < 0.5:
                worker.say("try", name)
                admin.create_partitions(name, 3)
                worker.say("extended", name, 3)
            if chance.random() < 0.5:
                value = str(chance.randint(1, 1000))
                worker.say("try", name)
                admin.incremental_alter_configs(ConfigResource("topic", name), {"flush.messages": value})
                worker.say("set", name, value)
                described = admin.describe_configs(ConfigResource("topic", name))
                worker.say("value", name, *(each.value for each in described if each.name == "flush.messages"))
        worker.say("try", name)
        try:
            admin.delete_topic(name)
            worker.say("deleted", name)
        except UnknownTopicOrPartitionError:
            worker.say("gone", name)

    def fill(cluster: EmbeddedCluster, name: str, writer: str) -> None:
        names = [Name(writer, name, 0, i, "-") for i in range(chance.randint(1, 30))]
        with cluster.producer() as made:
            made.send(name, [value_of(each, 100) for each in names], partitions=0)
        worker.say("filled", name, len(names), writer)
        with cluster.consumer() as consumer:
            here = TopicPartition(name, 0)
            consumer.assign({here: OffsetAt.EARLIEST})
            end = consumer.end_offsets([here])[here]
            empty = 0  # a poll of somebody who was frozen meanwhile, or whose clock was moved, may find nothing
            while consumer.position(here) < end and empty < 10:
                runs = consumer.poll(1.0)
                empty += not runs
                for run in runs:
                    worker.tell("holds", run)
            worker.say("read", name, consumer.position(here), end)

    worker.sessions(session)


def tool(directory: str, number: int, seed: int, faults: list[int], words: list[str], stdin: str) -> None:
    """One of the command line's tools, ending as it ends. ``stdin`` is a file's name."""
    take_signals_back()
    worker = Worker("tool", directory, number, seed, faults)
    worker.say("tool", words)
    out, err = worker.place.output(number)
    program, *arguments = words
    with open(stdin, "rb") as source, open(out, "wb") as stdout, open(err, "w") as stderr:
        environ = {"PYKAFKA_DATA_DIR": worker.place.data, "PYKAFKA_DEBUG": "1", "PYKAFKA_STRICT_EXIT": "1"}
        env = Env(stdin=source, stdout=stdout, stderr=stderr, environ=environ)
        code = main.run(lambda: main.load_command(program), program, arguments, env)
    worker.say("exit", code)
    os._exit(code)


ROLES: dict[str, Callable[..., None]] = {
    role.__name__: role for role in (producer, reader, member, observer, maker, tool)
}


if __name__ == "__main__":
    for name in TOOLS:
        main.load_command(name)  # imported once, before any fork
    serve(sys.argv[1], ROLES)
