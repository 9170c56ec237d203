"""Whatever a user's file, option or directory holds, a tool ends with 0 or 1 and a line, and never with a bug's 70."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykafka_store.embedded.cluster import EmbeddedCluster
from tests.fuzz.test_parsers import spoilt
from tests.support.console import produce
from tests.support.in_process import Done, run

PARTITIONS = b'{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[0],"log_dirs":["any"]}]}'
OFFSETS = b'{"version":1,"partitions":[{"topic":"t","partition":0,"offset":1}]}'
TOPICS = b'{"version":1,"topics":[{"topic":"t"}]}'
LINE = b'{"topic":"t","partition":0,"key":"k","value":"v","headers":[["h","x"]],"timestamp":5}\n'

FEW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.sampled_from(["t", 0, 1])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["version", "partitions", "topics", "topic", "partition", "replicas", "offset", "log_dirs"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())


def require_foreseen(done: Done) -> None:
    assert done.code in (0, 1), done
    assert "Traceback" not in done.stderr + done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of file that a data directory has."""
    data = tmp_path_factory.mktemp("fuzzed") / "d"
    with EmbeddedCluster(str(data)) as cluster:
        cluster.admin().create_topic("t", partitions=2, configs={"internal.segment.bytes": "300"})
        with cluster.producer({"compression.type": "gzip"}) as producer:
            for number in range(6):
                producer.send("t", [b"value %d" % number] * 4, keys=[b"key"] * 4, partitions=0)
        with cluster.consumer({"group.id": "g", "auto.offset.reset": "earliest"}) as consumer:
            consumer.subscribe(["t"])
            consumer.poll(10.0)
            consumer.commit()
    return data


@pytest.mark.parametrize(
    ("tool", "arguments", "seed"),
    [
        ("kafka-reassign-partitions", ["--execute", "--additional", "--reassignment-json-file"], PARTITIONS),
        ("kafka-reassign-partitions", ["--verify", "--reassignment-json-file"], PARTITIONS),
        ("kafka-reassign-partitions", ["--cancel", "--reassignment-json-file"], PARTITIONS),
        ("kafka-reassign-partitions", ["--generate", "--broker-list", "0", "--topics-to-move-json-file"], TOPICS),
        ("kafka-leader-election", ["--election-type", "preferred", "--path-to-json-file"], PARTITIONS),
        ("kafka-delete-records", ["--offset-json-file"], OFFSETS),
        ("kafka-consumer-groups", ["--reset-offsets", "--group", "g", "--dry-run", "--from-file"], b"t,0,1\n"),
        ("kafka-configs", ["--describe", "--entity-type", "topics", "--command-config"], b"a=b\n"),
        ("kafka-configs", ["--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config-file"], b"a=b\n"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_file_that_is_named_is_read_or_refused(
    directory: Path, tmp_path: Path, tool: str, arguments: list[str], seed: bytes
) -> None:
    path = tmp_path / "named"

    @FEW
    @given(data=st.one_of(spoilt([seed]), JSON, st.binary(max_size=60)))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        require_foreseen(run(tool, *arguments, str(path), data_dir=directory))

    check()


@pytest.mark.parametrize(
    ("tool", "arguments", "seeds"),
    [
        ("kafka-topics", ["--list", "--topic"], ["t", "[a-z]+", "(?i)T"]),
        ("kafka-topics", ["--create", "--if-not-exists", "--topic", "u", "--config"], ["retention.ms=1", "a=b"]),
        ("kafka-topics", ["--create", "--topic", "t", "--replica-assignment"], ["0:0,0", "0"]),
        ("kafka-configs", ["--alter", "--entity-type", "topics", "--entity-name", "t", "--add-config"], ["a=[b,c]"]),
        ("kafka-consumer-groups", ["--reset-offsets", "--group", "g", "--all-topics", "--to-datetime"],
         ["2024-01-01T00:00:00.000"]),
        ("kafka-consumer-groups", ["--reset-offsets", "--group", "g", "--all-topics", "--by-duration"], ["P1DT2H"]),
        ("kafka-consumer-groups", ["--reset-offsets", "--group", "g", "--to-earliest", "--topic"], ["t:0,1"]),
        ("kafka-consumer-groups", ["--describe", "--group"], ["g"]),
        ("kafka-get-offsets", ["--topic-partitions"], ["t:0-1", "t.*:0,1-"]),
        ("kafka-get-offsets", ["--time"], ["-1", "latest", "5"]),
        ("kafka-console-consumer", ["--topic", "t", "--exit-at-end", "--formatter-property"], ["key.separator=x"]),
        ("kafka-console-consumer", ["--topic", "t", "--exit-at-end", "--command-property"], ["group.id=g"]),
        ("kafka-console-consumer", ["--topic", "t", "--partition", "0", "--exit-at-end", "--offset"], ["1", "latest"]),
    ],
    ids=lambda value: f"{value[0]}{value[-1]}" if isinstance(value, list) else None,
)  # fmt: skip
def test_the_value_of_an_option_is_taken_or_refused(
    directory: Path, tool: str, arguments: Sequence[str], seeds: Sequence[str]
) -> None:
    @FEW
    @given(text=st.one_of(spoilt([seed.encode() for seed in seeds]).map(lambda data: data.decode("utf-8", "replace")),
                          st.text(max_size=20)))  # fmt: skip
    def check(text: str) -> None:
        require_foreseen(run(tool, *arguments, text.replace("\x00", ""), data_dir=directory))

    check()


@pytest.mark.parametrize(
    ("arguments", "seed"),
    [
        (["--input", "json"], LINE),
        (["--reader-property", "parse.key=true", "--reader-property", "parse.headers=true"], b"h:1,i:2\tk\tv\n"),
    ],
)
def test_lines_are_taken_or_refused(tmp_path: Path, arguments: list[str], seed: bytes) -> None:
    @FEW
    @given(data=st.one_of(spoilt([seed, seed * 3]), JSON, st.binary(max_size=60)))
    def check(data: bytes) -> None:
        require_foreseen(produce(tmp_path / "d", data, "--topic", "t", *arguments))

    check()


# ----------------------------------------------------------------------------------------------- a spoilt directory


READING = [
    ["kafka-console-consumer", "--topic", "t", "--from-beginning", "--exit-at-end"],
    ["kafka-topics", "--describe"],
    ["kafka-get-offsets"],
    ["kafka-consumer-groups", "--describe", "--all-groups"],
    ["kafka-log-dirs", "--describe"],
    ["doctor"],
    ["maintain"],
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("words", READING, ids=lambda words: words[0])
def test_a_directory_with_spoilt_files_is_read_or_refused(directory: Path, tmp_path: Path, words: list[str]) -> None:
    """One file of it at a time, whatever it is: catalogue, groups, logs, indexes, states, checkpoints, leases."""
    files = sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    # The shared memory of SQLite's is made anew by whoever is first, and mapped by whoever lives.
    files = [path for path in files if not path.name.endswith(("-shm", "-reserve", ".lock"))]
    assert len(files) > 12

    @settings(FEW, max_examples=40)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        copy = tmp_path / "d"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(directory, copy)
        name = data.draw(st.sampled_from(files))
        content = (directory / name).read_bytes()
        start = data.draw(st.integers(0, len(content)))
        spoilt_tail = data.draw(spoilt([content[start : start + 200]]))
        (copy / name).write_bytes(content[:start] + spoilt_tail + content[start + 200 :])
        require_foreseen(run(words[0], *words[1:], data_dir=copy))

    check()
