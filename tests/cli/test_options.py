"""Command lines are read by jopt-simple's rules, as Apache Kafka's tools read them, and end as theirs do.

The messages and their streams are those of Kafka 4.3.1's tools, taken from runs of these.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import click
import pytest

from pykafka_cli import KAFKA_VERSION
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, OptionProblem, Refusal, UsageProblem
from pykafka_cli.main import run
from pykafka_cli.tool.frame import connection_options
from pykafka_cli.tool.options import INTEGER, LONG, KafkaCommand, Options, examples, parse_words
from pykafka_store.errors import InvalidConfigError
from pykafka_store.open import open_cluster

Body = Callable[[Env, Options], None]


def command(body: Body, **settings: Any) -> KafkaCommand:
    @click.command("tool", cls=KafkaCommand, epilog=examples("tool --list"), **settings)
    @connection_options
    @click.option("--list", is_flag=True, help="A flag.")
    @click.option("--topic", help="One value.")
    @click.option("--partition", type=INTEGER, help="A number.")
    @click.option("--timeout-ms", type=LONG, default=1000, help="A number with a default.")
    @click.option("--config", multiple=True, help="Several values.")
    @click.option("--producer.config", "producer_config", help="A dot in its name.")
    @click.option("--codec", is_flag=False, flag_value="gzip", default="none", help="A value that may be left out.")
    def tool(env: Env, options: Options) -> None:
        """This tool helps to test.

        More about it.
        """
        body(env, options)

    return tool


class Ran:
    """A run of the command in a world of its own."""

    def __init__(
        self,
        *arguments: str,
        body: Body = lambda _env, _options: None,
        environ: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        stdout, stderr = io.BytesIO(), io.StringIO()
        env = Env(stdin=io.BytesIO(), stdout=stdout, stderr=stderr, environ=environ or {})
        self.code = run(lambda: command(body, **settings), "tool", list(arguments), env)
        self.out, self.err = stdout.getvalue().decode(), stderr.getvalue()


def read(*arguments: str) -> Options:
    """What a command is handed for these words."""
    handed: list[Options] = []
    ran = Ran(*arguments, body=lambda _env, options: handed.append(options))
    assert (ran.code, ran.err) == (0, "")
    return handed[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--topic", "a"),
        ("--topic=a",),
        ("-topic", "a"),
        ("-topic=a",),
        ("word", "--topic", "a", "another"),
        ("--topic", "a", "--", "--foo"),
    ],
)
def test_the_spellings_of_an_option(arguments: tuple[str, ...]) -> None:
    assert read(*arguments).text("topic") == "a"


def test_a_required_argument_is_the_next_word_whatever_it_is() -> None:
    options = read("--topic", "--list", "--partition", "-5", "--config", "--")
    assert options.text("topic") == "--list"
    assert options.integer("partition") == -5
    assert options.texts("config") == ["--"]
    assert not options.has("list")


def test_only_the_first_equals_sign_ends_the_name() -> None:
    assert read("--config=a=b=c", "--config=", "--config", "d=e").texts("config") == ["a=b=c", "", "d=e"]


def test_an_argument_that_may_be_left_out_is_taken_if_it_is_no_option() -> None:
    assert read().text("codec") == "none"
    assert read("--codec").text("codec") == "gzip"
    assert read("--codec", "--list").text("codec") == "gzip"
    assert read("--codec", "zstd").text("codec") == "zstd"
    assert read("--codec", "-").text("codec") == "-"
    assert read("--codec=-x").text("codec") == "-x"


def test_a_flag_may_be_repeated_and_drops_what_follows_its_equals_sign() -> None:
    assert read("--list", "--list=no").has("list")


def test_what_is_given_is_known_from_what_is_a_default() -> None:
    assert (read().has("timeout-ms"), read().integer("timeout-ms")) == (False, 1000)
    assert (read("--timeout-ms", "1000").has("timeout-ms"), read().maybe_integer("partition")) == (True, None)
    assert read("--producer.config", "f").text("producer.config") == "f"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "foo is not a recognized option"),
        (["--foo=bar"], "foo is not a recognized option"),
        (["--t", "x"], "t is not a recognized option"),
        (["-foo"], "f is not a recognized option"),
        (["-5"], "5 is not a recognized option"),
        (["--list", "--topic"], "Option topic requires an argument"),
        (["--help", "--foo"], "foo is not a recognized option"),
    ],
)
def test_what_the_parser_refuses(words: list[str], message: str) -> None:
    ran = Ran(*words, bad_options=CommandFailure)
    assert (ran.code, ran.out, ran.err) == (1, "", f"{message}\n")


def test_a_tool_that_shows_its_help_after_a_bad_option() -> None:
    ran = Ran("--foo", bad_options=UsageProblem)
    assert ran.code == 1
    assert ran.err.startswith("foo is not a recognized option\nUsage: tool [OPTIONS]\n")


@pytest.mark.parametrize(
    ("arguments", "name", "message"),
    [
        (("--partition", "abc"), "partition", "Cannot parse argument 'abc' of option partition"),
        (("--partition", "1_0"), "partition", "Cannot parse argument '1_0' of option partition"),
        (("--partition", " 1"), "partition", "Cannot parse argument ' 1' of option partition"),
        (("--partition", ""), "partition", "Cannot parse argument '' of option partition"),
        (("--partition", "2147483648"), "partition", "Cannot parse argument '2147483648' of option partition"),
        (("--partition", "1", "--partition", "x"), "partition", "Cannot parse argument 'x' of option partition"),
        (
            ("--timeout-ms", "-9223372036854775809"),
            "timeout-ms",
            "Cannot parse argument '-9223372036854775809' of option timeout-ms",
        ),
        (
            ("--partition", "1", "--partition", "2"),
            "partition",
            "Found multiple arguments for option partition, but you asked for only one",
        ),
    ],
)
def test_a_bad_value_is_noticed_when_it_is_read(arguments: tuple[str, ...], name: str, message: str) -> None:
    assert Ran(*arguments).code == 0
    ran = Ran(*arguments, body=lambda _env, options: print(options.integer(name)))
    assert (ran.code, ran.out, ran.err) == (1, "", f"{message}\n")
    with pytest.raises(OptionProblem, match="argument"):
        read(*arguments).maybe_integer(name)


def test_numbers_as_java_reads_them() -> None:
    assert read("--partition", "+7").integer("partition") == 7
    assert read("--partition", "-2147483648").integer("partition") == -(2**31)
    assert read("--timeout-ms", "9223372036854775807").integer("timeout-ms") == 2**63 - 1


def test_help_is_printed_on_stderr_and_exits_1() -> None:
    ran = Ran("--help", "--list")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("This tool helps to test.\nUsage: tool [OPTIONS]\n\n  More about it.\n\nOptions:\n")
    assert ran.err.endswith("Examples:\n    tool --list\n")


def test_no_arguments_print_the_help_under_a_line_of_their_own() -> None:
    ran = Ran(no_arguments="Test something.")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Test something.\nUsage: tool [OPTIONS]\n")


def test_the_version_is_printed_on_stdout_before_anything_is_checked() -> None:
    ran = Ran("--version", "--list", body=lambda _env, _options: pytest.fail("it ran"))
    assert (ran.code, ran.out, ran.err) == (0, f"{KAFKA_VERSION}\n", "")


def test_a_usage_problem_in_the_command_shows_the_help() -> None:
    def body(_env: Env, _options: Options) -> None:
        raise UsageProblem('Missing required argument "[topic]"')

    ran = Ran("--list", body=body)
    assert ran.code == 1
    assert ran.err.startswith('Missing required argument "[topic]"\nUsage: tool [OPTIONS]\n')


def test_a_name_that_is_not_declared_is_the_programmers_error() -> None:
    with pytest.raises((AssertionError, KeyError)):
        read().has("tpoic")
    with pytest.raises((AssertionError, KeyError)):
        read().maybe_text("tpoic")


def test_words_that_are_no_options_are_kept_apart() -> None:
    declared = {"list": click.Option(["--list"], is_flag=True)}
    assert parse_words(["a", "-", "--list", "--", "--list", "b"], declared) == ({"list": []}, ["a", "-", "--list", "b"])


HOME = {"HOME": "/home/me"}


@pytest.mark.parametrize(
    ("bootstrap_server", "data_dir", "environ", "address"),
    [
        (None, None, HOME, "file:/home/me/.local/share/pykafka"),
        (None, None, {**HOME, "XDG_DATA_HOME": "/data"}, "file:/data/pykafka"),
        (None, None, {**HOME, "XDG_DATA_HOME": "relative"}, "file:/home/me/.local/share/pykafka"),
        (None, None, {"PYKAFKA_DATA_DIR": "/d"}, "file:/d"),
        (None, "/e", {"PYKAFKA_DATA_DIR": "/d"}, "file:/e"),
        ("file:/e", None, {"PYKAFKA_DATA_DIR": "/d"}, "file:/e"),
        ("file:/e", "/e/", {}, "file:/e"),
        ("h:1", None, {"PYKAFKA_DATA_DIR": "/d"}, "h:1"),
        ("h:1", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "h:2"}, "h:1"),
        ("h:1", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "h:2, h:1"}, "file:/d"),
        ("h:1,h:2", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "h:2"}, "h:1,h:2"),
        ("h:1,h:2", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "h:1,h:2"}, "file:/d"),
        ("h:1", "/e", {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "*"}, "file:/e"),
        ("PLAINTEXT://h:1", None, {"PYKAFKA_DATA_DIR": "/d"}, "h:1"),
        ("SASL_SSL://h:1, [::1]:2,", None, {"PYKAFKA_DATA_DIR": "/d"}, "h:1,[::1]:2"),
        ("PLAINTEXT://h:1", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "h:1"}, "file:/d"),
        ("h:1", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "PLAINTEXT://h:1,"}, "file:/d"),
        ("h:65535", None, {}, "h:65535"),
        (":9092", None, {}, "localhost:9092"),
        ("PLAINTEXT://:9092,[]:1", None, {}, "localhost:9092,localhost:1"),
        (":9092", None, {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "*"}, "file:/d"),
    ],
)
def test_which_cluster_is_meant(
    bootstrap_server: str | None, data_dir: str | None, environ: dict[str, str], address: str
) -> None:
    assert world(environ).address(bootstrap_server, data_dir) == address


@pytest.mark.parametrize(
    ("bootstrap_server", "data_dir", "message"),
    [
        ("h:1", "/d", "name two clusters"),
        ("file:/e", "/d", "name two directories"),
        ("file:", None, "names no directory"),
        (None, "", "names no directory"),
        ("localhost", None, "Please provide valid host:port"),
        ("some/dir", None, "Please provide valid host:port"),
        ("", None, "Error while validating the bootstrap address"),
        ("://", None, "Please provide valid host:port"),
        ("h:1,,h:2", None, "Please provide valid host:port"),
    ],
)
def test_what_means_no_cluster(bootstrap_server: str | None, data_dir: str | None, message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        world({}).address(bootstrap_server, data_dir)


@pytest.mark.parametrize("address", ["localhost", "h:1,,h:2", "://", "some/dir", ""])
def test_all_addresses_are_those_that_kafkas_tools_take(address: str) -> None:
    """PYKAFKA_EMBED=* stands for them, as in ``pykafka sandbox``; one that it lists is taken as it is."""
    environ = {"PYKAFKA_DATA_DIR": "/d", "PYKAFKA_EMBED": "*"}
    with pytest.raises(UsageProblem):
        world(environ).address(address, None)
    assert world({**environ, "PYKAFKA_EMBED": "*,broker"}).address("broker", None) == "file:/d"


@pytest.mark.parametrize(
    "address", ["h:65536", "h:99999", "PLAINTEXT://h:99999999999", "h:1,h:70000", "h:" + "9" * 5000]
)
def test_a_port_that_is_none_connects_to_no_other(address: str) -> None:
    """librdkafka cuts it to sixteen bits: 127.0.0.1:75628 would be 127.0.0.1:10092."""
    with pytest.raises(Refusal, match=r"^Invalid port in bootstrap\.servers: .*h:[0-9]+$"):
        world({}).address(address, None)
    with pytest.raises(InvalidConfigError, match="Invalid port"):
        open_cluster(address)


def world(environ: dict[str, str]) -> Env:
    return Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=io.StringIO(), environ=environ)
