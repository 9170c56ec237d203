"""The frame of a Kafka tool, which is the same for all of them: which cluster is meant, which options go together, and
how an error is told.

A new tool is one file in ``commands/``: its options, and a body that says what the tool does::

    @click.command("log-dirs", cls=KafkaCommand, no_arguments="...", epilog=examples(...))
    @connection_options
    @click.option("--describe", is_flag=True, help="...")
    @command_config_option
    def log_dirs(env: Env, options: Options) -> None:
        require(options, "describe")
        with failing_as(one_line), opened(env, options) as admin:
            env.out(...)

What else a new tool needs is one line each in ``pykafka_cli.KAFKA_TOOLS`` (main.py and generate.py derive the program,
the man page and the completions from it), in ``[project.scripts]`` of pyproject.toml, and a section in COMPAT.md.

Source of the sentences: org.apache.kafka.server.util.CommandLineUtils and the tools' own checkArgs of Kafka 4.3.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pykafka_cli.click_types import DIRECTORY, FILE
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure, Refusal, UsageProblem
from pykafka_cli.tool.options import Options

if TYPE_CHECKING:
    from pykafka_store.api import Admin, Cluster
    from pykafka_store.errors import StoreError

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Value = TypeVar("_Value", bound=Hashable)

CONNECTION = ("bootstrap-server", "data-dir", "command-config")
"""The options that say which cluster is meant, and how it is reached."""

CONTROLLER = "bootstrap-controller"
"""The option of the tools that may ask a controller in a broker's place."""


# ------------------------------------------------------------------------------------------ the options tools share


def connection_options(command: _Command, *short: str) -> _Command:
    """Add the two options that say where the records are, the first with a ``short`` name where it has one."""
    command = click.option(
        "--data-dir",
        metavar="DIR",
        type=DIRECTORY,
        help="The directory that holds the logs; pykafka's own, not one of Kafka's options. Without it and without "
        "--bootstrap-server: $PYKAFKA_DATA_DIR, else a directory of each user.",
    )(command)
    return click.option(
        "--bootstrap-server",
        *short,
        metavar="HOST:PORT|file:DIR",
        help="The Kafka cluster to talk to, or file:DIR for a directory of logs. An address that $PYKAFKA_EMBED lists "
        "is served by the directory of logs.",
    )(command)


def command_config_option(command: _Command, *short: str) -> _Command:
    """Add ``--command-config``, with a ``short`` name where it has one."""
    return click.option(
        "--command-config",
        *short,
        metavar="FILE",
        type=FILE,
        help="Property file of the admin client. A data directory needs none of its settings.",
    )(command)


def controller_option(command: _Command) -> _Command:
    """Add ``--bootstrap-controller`` of the tools that may ask a controller."""
    return click.option(
        f"--{CONTROLLER}",
        metavar="HOST:PORT",
        help="A controller of the Kafka cluster to talk to, in place of --bootstrap-server.",
    )(command)


def data_dir_option(command: _Command) -> _Command:
    """Add the ``--data-dir`` of the commands that Kafka does not have, which work on a directory only."""
    return click.option(
        "--data-dir",
        metavar="DIR",
        type=DIRECTORY,
        help="The directory that holds the logs. Without it: $PYKAFKA_DATA_DIR, else a directory of each user.",
    )(command)


def plot_option(command: _Command) -> _Command:
    """``--plot FILE`` of the performance tools, which is ours and not Kafka's; output/throughput.py draws."""
    return click.option(
        "--plot",
        metavar="FILE.png|FILE.svg",
        type=FILE,
        help="Draw throughput and latency over time into this file. pykafka's own; needs matplotlib: pip install "
        "'pykafka-toolkit[plot]'.",
    )(command)


def output_option(help: str, *, show_default: bool = False) -> Callable[[_Command], _Command]:
    """``--output text|table|json``, which is ours and not Kafka's; ``output_form`` reads it."""
    from pykafka_cli.output.forms import FORMS

    return click.option(
        "--output",
        metavar="|".join(FORMS),
        type=click.Choice(FORMS),
        default="text",
        show_default=show_default,
        help=help,
    )


# ------------------------------------------------------------------------------------------ which options go together


def require(options: Options, *names: str) -> None:
    """Raise UsageProblem for the first option that is missing. Source: CommandLineUtils#checkRequiredArgs."""
    for name in names:
        if not options.has(name):
            raise UsageProblem(f'Missing required argument "[{name}]"')


def not_with(options: Options, name: str, *others: str) -> None:
    """Raise UsageProblem where an option stands beside one of the others. Source: CommandLineUtils#checkInvalidArgs."""
    for other in others:
        if options.has(name) and options.has(other):
            raise UsageProblem(f'Option "[{name}]" can\'t be used with option "[{other}]"')


def only_with(options: Options, name: str, actions: Sequence[str], *allowed: str) -> None:
    """Raise UsageProblem where an option stands beside an action that is not one of those allowed to have it."""
    not_with(options, name, *(action for action in actions if action not in allowed))


def one_action(options: Options, actions: Sequence[str], listed: str | None = None) -> str:
    """The one action that the command line names. Raises UsageProblem unless there is exactly one; ``listed`` names
    them in that message where the tool does not list them by commas.
    """
    given = [action for action in actions if options.has(action)]
    if len(given) != 1:
        listed = listed or ", ".join(f"--{action}" for action in actions)
        raise UsageProblem(f"Command must include exactly one action: {listed}")
    return given[0]


def check_output(options: Options) -> None:
    """Raise UsageProblem where ``--output`` names no form."""
    from pykafka_cli.output.forms import FORMS

    if options.text("output") not in FORMS:
        raise UsageProblem(f"--output must be one of {', '.join(FORMS)}, not {options.text('output')}")


def repeats(values: Iterable[_Value]) -> list[_Value]:
    """The values that were there before, each as often as it comes again."""
    seen: set[_Value] = set()
    again = []
    for value in values:
        if value in seen:
            again.append(value)
        seen.add(value)
    return again


def duplicates(values: Iterable[_Value]) -> list[_Value]:
    """The values that are there more than once, each once. Source: org.apache.kafka.tools.ToolsUtils#duplicates."""
    return list(dict.fromkeys(repeats(values)))


# ----------------------------------------------------------------------------------------------------- how errors end


def one_line(error: Refusal | StoreError) -> CommandFailure:
    """The error's text on stderr, exit 1."""
    return CommandFailure(str(error))


@contextmanager
def failing_as(failure: Callable[[Refusal | StoreError], CommandFailure]) -> Iterator[None]:
    """End the command as ``failure`` says, whatever the tool refuses (an option's value, a file) or the cluster does.

    Other errors pass, above all UsageProblem, after which the help is shown. Where no ``failing_as`` stands around it,
    main.py tells a Refusal in one line, and an error of the cluster with its name in front.
    """
    from pykafka_store.errors import StoreError

    try:
        yield
    except (Refusal, StoreError) as error:
        raise failure(error) from None


# ------------------------------------------------------------------------------------------------------- the cluster


def check_admin_config(
    env: Env,
    options: Options,
    option: str = "command-config",
    failure: Callable[[Refusal], CommandFailure] | None = None,
    only: Collection[str] | None = None,
) -> None:
    """Read the file that ``--command-config``, or another ``option``, names, for ``open_cluster``; or of it ``only``
    what that tool reads.

    ``failure``: how the tool ends where a value in it is none. Without it, and for a file that can't be read: raises
    PropertiesError, as ``read_admin_config`` does.
    """
    path = options.maybe_text(option)
    if path is not None:
        from pykafka_cli.tool.admin_config import AdminSettingError, read_admin_config

        named = _server(options) is not None or options.has("data-dir")
        try:
            options.admin_config = read_admin_config(env, path, address_named=named, only=only)
        except AdminSettingError as error:
            if failure is None:
                raise
            raise failure(error) from None


@contextmanager
def opened(
    env: Env, options: Options, *, create: bool | None = None, config_option: str = "command-config"
) -> Iterator[Admin]:
    """The admin of the cluster that the options name, after what ``check_admin_config`` finds. ``create`` as in
    ``open_cluster``.
    """
    check_admin_config(env, options, config_option)
    with open_cluster(env, options, create=create) as cluster:
        yield cluster.admin()


def open_cluster(
    env: Env,
    options: Options,
    *,
    create: bool | None = None,
    read_only: bool = False,
    config: Mapping[str, str] | None = None,
    patience: float | None = None,
) -> Cluster:
    """Open what ``connection_options`` name.

    ``create``: whether a directory that is missing is made; None leaves that to PYKAFKA_AUTO_CREATE.
    ``config`` are a console tool's client settings, of which it warns itself. The other tools' are those that
    ``check_admin_config`` found; what librdkafka does not know of them is told on stderr. ``patience``: how many
    seconds a cluster has for its first answer at most.
    """
    return env.open_cluster(
        _server(options),
        options.maybe_text("data-dir"),
        create=env.auto_create if create is None else create,
        read_only=read_only,
        config=options.admin_config if config is None else config,
        patience=patience,
        controllers=_asks_controller(options),
        on_notice=(lambda text: env.err(f"WARNING: {text}")) if config is None else None,
    )


def directory_named(env: Env, options: Options) -> str | None:
    """The path of the data directory that the options name; None where they name a cluster."""
    return env.directory(_server(options), options.maybe_text("data-dir"))


def _asks_controller(options: Options) -> bool:
    return options.declares(CONTROLLER) and options.has(CONTROLLER)


def _server(options: Options) -> str | None:
    """The address that is named, of brokers or of controllers. A directory is its own controller."""
    return options.maybe_text(CONTROLLER if _asks_controller(options) else "bootstrap-server")


def require_topic(env: Env, cluster: Cluster, topic: str) -> None:
    """Raise UnknownTopicOrPartitionError for a topic that does not exist, and have the command name one like it."""
    from pykafka_store.errors import UnknownTopicOrPartitionError

    admin = cluster.admin()
    try:
        admin.describe_topics([topic])
    except UnknownTopicOrPartitionError:
        from pykafka_cli.output.hints import suggest_topic

        suggest_topic(env, admin, topic)
        raise


def noticing_topic(env: Env, cluster: Cluster, topic: str | None, tell: Callable[[str], None]) -> Callable[[str], None]:
    """A client's ``on_notice``: where the topic did not exist and was created, name the one that was probably meant."""

    def notice(text: str) -> None:
        tell(text)
        if topic is not None and text.startswith(f"Topic {topic} did not exist"):
            from pykafka_cli.output.hints import suggest_topic

            suggest_topic(env, cluster.admin(), topic)
            hint, env.hint = env.hint, ""
            if hint:
                tell(hint)  # now, for the command may go on for long

    return notice
