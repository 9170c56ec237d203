"""A plugin of pytest: the fixture ``kafka``, a directory of logs for one test, found by every command the test starts;
and ``kafka_server``, the same with a port for Kafka clients of any language.

    def test_orders_are_billed(kafka):
        kafka.seed("orders", ["tea", "milk"])
        subprocess.run(["./bill.sh"], check=True)     # calls kafka-console-consumer.sh --group billing, and so on
        kafka.wait_lag("billing")
        assert kafka.values("bills") == ["tea", "milk"]

    def test_the_application(kafka_server):
        run_application({"bootstrap.servers": kafka_server.bootstrap_servers})
        assert kafka_server.json("bills") == [{"sum": 3.5}]

pytest reads this file in every run, so that it imports what it needs where it needs it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pykafka_store.api import Cluster

PAUSE = 0.02
"""Seconds between two looks of ``wait_lag``."""


class KafkaDirectory:
    """A directory of logs, and the cluster that it is to commands and clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bootstrap_server = f"file:{directory}"
        """For ``--bootstrap-server``, and ``pykafka_store.open_cluster``."""
        self.environ: Mapping[str, str] = {"PYKAFKA_DATA_DIR": str(directory), "PYKAFKA_EMBED": "*"}
        """By these a command finds the directory, whatever address it names. The test's own process has them too."""

    def open(self) -> Cluster:
        """The cluster, for what the methods here do not do; to be closed, by ``with``."""
        from pykafka_store.open import open_cluster

        return open_cluster(self.bootstrap_server)

    def seed(
        self,
        topic: str,
        values: Iterable[str | bytes | dict[str, Any] | list[Any] | None],
        *,
        keys: Sequence[str | bytes | None] | None = None,
        partitions: int | None = None,
    ) -> None:
        """Append records, in their order. Text is UTF-8; an object or a list is its JSON. A topic that is missing is
        made, with so many ``partitions``. Raises a StoreError of pykafka_store.errors where a record is refused.
        """
        from pykafka_store.errors import TopicExistsError, UnknownTopicOrPartitionError

        with self.open() as cluster:
            try:
                cluster.admin().describe_topics([topic])
            except UnknownTopicOrPartitionError:
                with contextlib.suppress(TopicExistsError):  # what the test has started was first
                    cluster.admin().create_topic(topic, partitions=partitions)
            with cluster.producer() as producer:
                columns = None if keys is None else [_bytes(key) for key in keys]
                producer.send(topic, [_bytes(value) for value in values], keys=columns)

    def values(self, topic: str) -> list[str | None]:
        """The values that the topic holds now, as text: partition by partition, in order within each.

        Raises UnknownTopicOrPartitionError where there is no such topic, UnicodeDecodeError for a value that is no
        UTF-8.
        """
        return self._read(topic, bytes.decode)

    def json(self, topic: str) -> list[Any]:
        """The values that the topic holds now, each read as JSON; None for null. Raises as ``values``, and
        json.JSONDecodeError, which names the record.
        """
        import json

        return self._read(topic, json.loads)

    def wait_lag(self, group: str, lag: int = 0, *, topic: str | None = None, timeout: float = 30.0) -> None:
        """Wait until the group has so many records left to read, or fewer: of the ``topic``, or of all that it has to
        do with. Fails the test, with what is missing, after ``timeout`` seconds. As ``pykafka wait --lag``.
        """
        from pykafka_cli.commands.wait import Wanted, what_lacks

        wanted = Wanted(() if topic is None else (topic,), 1, 0, (group,), lag, False, 0)
        deadline = time.monotonic() + timeout
        with self.open() as cluster:
            while (lacking := what_lacks(cluster.admin(), wanted)) is not None:
                if time.monotonic() >= deadline:
                    pytest.fail(f"after {timeout:g} s: {lacking}", pytrace=False)
                time.sleep(PAUSE)

    def _read(self, topic: str, read: Callable[[bytes], Any]) -> list[Any]:
        """Every value as ``read`` takes it; None for null. An error of that has the record's place in its text."""
        import json

        found = []
        for place, value in self._raw(topic):
            try:
                found.append(None if value is None else read(value))
            except UnicodeDecodeError as error:
                error.reason += f" ({place})"
                raise
            except json.JSONDecodeError as error:
                raise json.JSONDecodeError(f"{place}: {error.msg}", error.doc, error.pos) from None
        return found

    def _raw(self, topic: str) -> Iterator[tuple[str, bytes | None]]:
        """Each record's place, in words, and its value."""
        from pykafka_store.model import OffsetAt, TopicPartition

        with self.open() as cluster, cluster.consumer() as consumer:
            (described,) = cluster.admin().describe_topics([topic])
            for each in described.partitions:
                partition = TopicPartition(topic, each.partition)
                consumer.assign({partition: OffsetAt.EARLIEST})
                end = consumer.end_offsets([partition])[partition]
                while consumer.position(partition) < end:
                    for records in consumer.poll(1.0):
                        for offset, value in zip(records.offsets, records.values, strict=True):
                            yield f"topic {topic}, partition {partition.partition}, offset {offset}", value


class KafkaServer(KafkaDirectory):
    """A directory of logs, and a port on it: a process of its own, which ``pykafka serve`` is."""

    def __init__(self, directory: Path) -> None:
        """Raises RuntimeError with what it says where it does not start."""
        import subprocess
        import sys

        from pykafka_cli.tool.server import ADDRESS_VARIABLES

        super().__init__(directory)
        words = ["serve", "--data-dir", str(directory), "--listen", "127.0.0.1:0"]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pykafka_cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(self.stop() or "pykafka serve ended at once")
        self.bootstrap_servers = line.split()[2].rstrip(",")
        """The address, for any client's ``bootstrap.servers``."""
        self.environ = {**self.environ, **dict.fromkeys(ADDRESS_VARIABLES, self.bootstrap_servers)}

    def stop(self) -> str:
        """End the server; what it said on stderr. The directory stays as it is."""
        self._process.terminate()
        return self._process.communicate()[1]


def _bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _let_commands_find(made: KafkaDirectory, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For this test its commands find the directory, and the shell finds the commands."""
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    for name, value in made.environ.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def kafka_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all tools, by the names with ``.sh`` and without."""
    from pykafka_cli.tool.programs import write_programs

    made = tmp_path_factory.mktemp("kafka-bin")
    write_programs(str(made), with_pykafka=True)
    return made


@pytest.fixture
def kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka_programs: Path) -> KafkaDirectory:
    """A directory of logs that is empty, and this test's alone; the commands that the test starts find it, and are on
    its PATH, whether or not a virtual environment is active.
    """
    made = KafkaDirectory(tmp_path / "kafka")
    _let_commands_find(made, kafka_programs, monkeypatch)
    return made


@pytest.fixture
def kafka_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka_programs: Path) -> Iterator[KafkaServer]:
    """A directory of logs with a port, which is this test's alone. Its address is in the environment too, by the names
    that ``pykafka serve --exec`` has, and the tools are on PATH. What the server says is in the test's captured stderr.
    """
    import sys

    made = KafkaServer(tmp_path / "kafka")
    _let_commands_find(made, kafka_programs, monkeypatch)
    try:
        yield made
    finally:
        sys.stderr.write(made.stop())
