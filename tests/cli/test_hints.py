"""What was probably meant: the last line of a command that was given a name that nothing has."""

from __future__ import annotations

import io
import random
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_store.open import open_cluster
from pykafka_store.spelling import LOOKED_AT, nearest
from tests.support import in_process
from tests.support.in_process import Done


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("tpoic", ["topic", "partition"], "topic"),
        ("Order", ["orders", "payments"], "orders"),
        ("retnetion.ms", ["retention.ms", "retention.bytes"], "retention.ms"),
        ("topics", ["topics"], "topics"),
        ("foo", ["topic", "orders"], None),
        ("orders-1", ["orders-2", "orders-13"], None),
        ("orders-1", ["orders"], None),
        ("ordrs-1", ["orders-2", "payments"], "orders-2"),
        ("", ["orders"], None),
        ("orders", [], None),
    ],
)
def test_the_name_that_was_probably_meant(word: str, known: list[str], meant: str | None) -> None:
    assert nearest(word, known) == meant


def test_of_very_many_names_the_first_are_compared() -> None:
    chance = random.Random(1)
    many = ["".join(chance.choices(string.ascii_lowercase, k=12)) for _ in range(LOOKED_AT)]
    assert nearest("orderz", [*many[:-1], "orders"]) == "orders"
    assert nearest("orderz", [*many, "orders"]) is None


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a tool over a directory with two topics and a group."""
    with open_cluster(tmp_path / "data") as cluster:
        cluster.admin().create_topic("orders")
        cluster.admin().create_topic("payments")
        with cluster.consumer({"group.id": "billing"}) as consumer:
            consumer.subscribe(["orders"])
            consumer.poll(0.05)
            consumer.commit()
    return lambda tool, *arguments: in_process.run(f"kafka-{tool}", *arguments, data_dir=tmp_path / "data")


def on_terminal(name: str, *arguments: str) -> Done:
    """A command whose stderr is a terminal."""
    stdout, stderr = io.BytesIO(), io.StringIO()
    stderr.isatty = lambda: True  # type: ignore[method-assign]
    env = Env(stdin=io.BytesIO(), stdout=stdout, stderr=stderr, environ={})
    code = main.run(lambda: main.load_command(name), f"kafka-{name}", list(arguments), env)
    return Done(stdout.getvalue().decode(), stderr.getvalue(), code)


def test_on_a_terminal_the_message_comes_last_and_the_help_is_named() -> None:
    done = on_terminal("console-consumer", "--tpic", "orders")
    assert done.stderr == (
        "tpic is not a recognized option\nDid you mean --topic? kafka-console-consumer --help lists the options.\n"
    )
    done = on_terminal("console-producer", "--sync")
    assert (done.code, done.stderr) == (
        1, 'Missing required argument "[topic]"\nkafka-console-producer --help lists the options.\n'
    )  # fmt: skip


def test_help_that_was_asked_for_is_shown_on_a_terminal_too() -> None:
    for arguments in (["--help"], []):
        done = on_terminal("console-consumer", *arguments)
        assert done.stderr.startswith("This tool helps to read data from Kafka topics")
        assert "--from-beginning" in done.stderr


def test_elsewhere_the_help_follows_as_in_kafkas_tools(run: Run) -> None:
    done = run("console-consumer", "--tpic", "orders")
    assert done.stderr.startswith("tpic is not a recognized option\nDid you mean --topic?\nUsage: ")
    done = run("console-consumer", "--nothing-like-it")
    assert done.stderr.startswith("nothing-like-it is not a recognized option\nUsage: ")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("topics -topc orders", "Did you mean --topic?"),
        ("topics --lst=yes", "Did you mean --list?"),
        ("topics --describe --topic ordrs", "Did you mean orders?"),
        ("topics --delete --topic order", "Did you mean orders?"),
        ("topics --create --topic new --config retnetion.ms=1", "Did you mean retention.ms?"),
        ("get-offsets --topic ordrs", "Did you mean orders?"),
        ("configs --describe --topic ordrs", "Did you mean orders?"),
        ("configs --alter --topic ordrs --add-config retention.ms=1", "Did you mean orders?"),
        ("configs --alter --topic orders --add-config retention.mss=1", "Did you mean retention.ms?"),
        ("configs --describe --group biling", "Did you mean billing?"),
        ("consumer-groups --describe --group biling", "Did you mean billing?"),
        ("consumer-groups --delete --group biling", "Did you mean billing?"),
        ("consumer-groups --delete-offsets --group biling --topic orders", "Did you mean billing?"),
        ("cluster cluster-di", "Did you mean cluster-id?"),
        ("cluster cluster-id --data-dri x", "Did you mean --data-dir?"),
    ],
)
def test_a_misspelt_name_ends_with_what_was_meant(run: Run, line: str, hint: str) -> None:
    done = run(*line.split())
    assert done.stderr.splitlines()[-1] == hint
    assert hint not in done.stdout


@pytest.mark.parametrize("word", ["topcs", "kafka-topics", "kafka-topics.sh", "kafka-tpics.sh"])
def test_a_misspelt_subcommand(word: str) -> None:
    stderr = io.StringIO()
    env = Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=stderr, environ={})
    assert main.run(main.pykafka_group, "pykafka", [word, "--list"], env) == 2
    assert stderr.getvalue().endswith(f"Error: No such command '{word}'.\nDid you mean topics?\n")


def test_what_kafka_ignores_is_a_warning_that_names_what_was_meant(run: Run) -> None:
    done = run(
        "console-producer", "--topic", "orders", "--reader-property", "parse.keys=true", "--reader-property", "a.b=c",
        "--command-property", "linger.msec=5", "--command-property", "schema.registry.url=x",
    )  # fmt: skip
    assert done.stderr.splitlines()[:2] == [
        "WARNING: no property of the reader, and ignored: parse.keys (did you mean parse.key?), a.b",
        "WARNING: no setting of Kafka's producer, and ignored: linger.msec (did you mean linger.ms?), "
        "schema.registry.url",
    ]
    done = run(
        "console-consumer", "--topic", "orders", "--exit-at-end", "--formatter-property", "print.kye=true",
        "--command-property", "basic.auth.credentials.source=x",
    )  # fmt: skip
    assert done.code == 0
    assert done.stderr.splitlines() == [
        "WARNING: no setting of Kafka's consumer, and ignored: basic.auth.credentials.source",
        "WARNING: no property of the formatter, and ignored: print.kye (did you mean print.key?)",
        "Processed a total of 0 messages",
    ]
