"""The frame of a Kafka tool: which options go together, what is there twice, and how an error ends."""

from __future__ import annotations

import io
from collections.abc import Callable

import click
import pytest

from pykafka_cli import KAFKA_TOOLS, main
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, OptionProblem, Refusal, UsageProblem
from pykafka_cli.java.json import NotJsonError
from pykafka_cli.java.properties import PropertiesError
from pykafka_cli.java.regex import InvalidRegexError
from pykafka_cli.java.text import split, split_at, whole
from pykafka_cli.tool.frame import (
    check_output,
    connection_options,
    duplicates,
    failing_as,
    not_with,
    one_action,
    one_line,
    only_with,
    output_option,
    repeats,
    require,
)
from pykafka_cli.tool.options import KafkaCommand, Options
from pykafka_store.errors import StoreError, UnknownTopicOrPartitionError

ACTIONS = ("list", "describe")


def outcome(body: Callable[[Options], None], *words: str) -> tuple[int, str]:
    """The exit code of a tool with that body, and the first line that it prints on stderr."""

    @click.command("tool", cls=KafkaCommand)
    @connection_options
    @click.option("--list", is_flag=True)
    @click.option("--describe", is_flag=True)
    @click.option("--topic")
    @output_option("The form.")
    def tool(env: Env, options: Options) -> None:
        """This tool helps to test."""
        body(options)

    stderr = io.StringIO()
    env = Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=stderr, environ={})
    return main.run(lambda: tool, "tool", list(words), env), stderr.getvalue().partition("\n")[0]


@pytest.mark.parametrize(
    ("body", "words", "message"),
    [
        (lambda options: require(options, "list", "topic"), ["--list"], 'Missing required argument "[topic]"'),
        (
            lambda options: not_with(options, "topic", "describe", "list"),
            ["--list", "--topic", "t"],
            'Option "[topic]" can\'t be used with option "[list]"',
        ),
        (
            lambda options: only_with(options, "topic", ACTIONS, "describe"),
            ["--topic", "t", "--list"],
            'Option "[topic]" can\'t be used with option "[list]"',
        ),
        (
            lambda options: one_action(options, ACTIONS),
            ["--list", "--describe"],
            "Command must include exactly one action: --list, --describe",
        ),
        (
            lambda options: one_action(options, ACTIONS, "--list or --describe"),
            [],
            "Command must include exactly one action: --list or --describe",
        ),
        (check_output, ["--output", "xml"], "--output must be one of text, table, json, not xml"),
    ],
)
def test_what_does_not_go_together_is_said_above_the_help(
    body: Callable[[Options], None], words: list[str], message: str
) -> None:
    assert outcome(body, *words) == (1, message)


def test_what_goes_together_passes() -> None:
    def body(options: Options) -> None:
        require(options, "list")
        not_with(options, "topic", "describe")
        only_with(options, "topic", ACTIONS, "list")
        assert one_action(options, ACTIONS) == "list"
        check_output(options)

    assert outcome(body, "--list", "--topic", "t", "--output", "json") == (0, "")


def test_values_that_are_there_more_than_once() -> None:
    assert repeats("abcabca") == ["a", "b", "c", "a"]
    assert duplicates("abcabca") == ["a", "b", "c"]
    assert duplicates(["b", "a", "a", "b"]) == ["a", "b"]
    assert duplicates([]) == []


@pytest.mark.parametrize(
    "error",
    [
        Refusal("no"),
        OptionProblem("no"),
        PropertiesError("no"),
        NotJsonError("no"),
        InvalidRegexError("("),
        UnknownTopicOrPartitionError("no"),
    ],
)
def test_a_tool_says_how_its_errors_end(error: Refusal | StoreError) -> None:
    def body(options: Options) -> None:
        with failing_as(one_line):
            raise error

    def in_its_frame(options: Options) -> None:
        with failing_as(lambda caught: CommandFailure(f"Error: {caught}", exit_code=3)):
            raise error

    assert outcome(body) == (1, str(error))
    assert outcome(in_its_frame) == (3, f"Error: {error}")


def test_a_usage_problem_is_none_of_its_errors() -> None:
    def body(options: Options) -> None:
        with failing_as(one_line):
            raise UsageProblem("which?")

    assert outcome(body) == (1, "which?")
    with pytest.raises(UsageProblem), failing_as(one_line):
        raise UsageProblem("which?")


def test_what_is_refused_outside_of_any_frame_is_one_line() -> None:
    def body(options: Options) -> None:
        raise PropertiesError("c.properties can't be read: No such file or directory")

    assert outcome(body) == (1, "c.properties can't be read: No such file or directory")


def test_every_tool_of_kafkas_has_its_program_and_nothing_else_has_one() -> None:
    for name in KAFKA_TOOLS:
        assert callable(getattr(main, f"kafka_{name.replace('-', '_')}"))
    for name in ("kafka_wait", "kafka_", "topics", "kafka-topics"):
        with pytest.raises(AttributeError, match=name):
            getattr(main, name)


def test_strings_are_split_and_numbers_read_as_java_does() -> None:
    assert [split(text, ",") for text in ("", ",", "a,,", ",a")] == [[""], [], ["a"], ["", "a"]]
    assert split_at("k = v =", r"\s*=\s*") == ["k", "v"]
    assert [whole(text) for text in ("+5", "-2147483648", "007")] == [5, -(2**31), 7]
    for text in ("", "²", "2147483648", "1_0", " 1"):
        with pytest.raises(Refusal, match="For input string: "):
            whole(text)
    assert whole("2147483648", 64) == 2**31
