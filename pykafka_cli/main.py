"""The programs: ``pykafka`` and Kafka's tools by their own names. The one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import sys
from _signal import SIG_DFL, SIGHUP, SIGINT, SIGTERM, getsignal, signal  # as in errors.py
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import NoReturn

import click

from pykafka_cli import KAFKA_TOOLS, KAFKA_VERSION, __version__
from pykafka_cli.env import Env
from pykafka_cli.errors import (
    ENDS,
    CommandFailure,
    HungUp,
    QuietFailure,
    Refusal,
    Terminated,
    UsageProblem,
    is_the_same_wish,
)
from pykafka_cli.tool.options import examples

COMMANDS = (
    *KAFKA_TOOLS, "wait", "expect", "load", "sandbox", "serve", "mirror", "sink", "source", "brokers", "maintain",
    "doctor", "quickstart", "link",
)  # fmt: skip
"""The subcommands of ``pykafka``, in the order of its help. Each lives in the module of its name in ``commands``.

A new tool is a module there and a name here, or in KAFKA_TOOLS if Kafka has it, which then has its program in
``[project.scripts]`` of pyproject.toml, too. Man pages and completions follow from these (generate.py).
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2  # click's own
EXIT_UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h
EXIT_HUNG_UP = 129  # 128 + SIGHUP, as the next two
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as the JVM exits
EXIT_TERMINATED = 143  # 128 + SIGTERM

EXIT_STATUS = (
    (EXIT_DONE, "Done. Also where the reader of the output went away, as head does, and where Kafka's own tools report "
        "an error and exit 0: PYKAFKA_STRICT_EXIT=1 makes that 1."),
    (EXIT_FAILED, "The command could not be done, or its output not be written (a full disk), or its command line "
        "makes no sense; or help was printed, as by Kafka's tools."),
    (EXIT_USAGE, "The command line of pykafka itself, or of a subcommand that Kafka does not have, makes no sense."),
    (EXIT_UNEXPECTED, "An error that nobody foresaw. PYKAFKA_DEBUG=1 shows its traceback."),
    (EXIT_HUNG_UP, "Its terminal was closed (SIGHUP), after cleaning up."),
    (EXIT_INTERRUPTED, "Interrupted by Ctrl-C, after cleaning up."),
    (EXIT_TERMINATED, "Terminated by SIGTERM, after cleaning up."),
)  # fmt: skip
"""Every exit code and what it says. The man pages print this."""

ENVIRONMENT = (
    ("PYKAFKA_DATA_DIR", "The directory of logs, where the command line names neither a directory nor a cluster. "
        "Without it: pykafka below $XDG_DATA_HOME, else ~/.local/share/pykafka."),
    ("PYKAFKA_EMBED", "Addresses (host:port, by commas; * for all) that the directory of logs serves, so that a script "
        "written for a broker runs without one."),
    ("PYKAFKA_AUTO_CREATE", "0: a topic or a directory that does not exist is an error, and not made because it is "
        "used; kafka-topics --create makes both."),
    ("PYKAFKA_OLD_OPTIONS", "1: options and classes that Kafka 4 removed (--zookeeper, the producer's --broker-list, "
        "--whitelist, --new-consumer, kafka.tools.*) do what they did, with a warning that names today's."),
    ("PYKAFKA_STRICT_EXIT", "1: exit 1 after any reported error, also where Kafka's tools exit 0."),
    ("PYKAFKA_DEBUG", "1: show the traceback of an unexpected error."),
)  # fmt: skip
"""The environment variables that every command reads."""


class PykafkaGroup(click.Group):
    """Subcommands that are imported when they run, so that no command pays for another."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and args[0] not in COMMANDS:
            from pykafka_cli.output.hints import suggest

            suggest(ctx.obj, args[0].removeprefix("kafka-").removesuffix(".sh"), COMMANDS)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return load_command(cmd_name) if cmd_name in COMMANDS else None


def load_command(name: str) -> click.Command:
    """The command of that name: in a module of its name, under its name, with underscores for dashes."""
    attribute = name.replace("-", "_")
    command = getattr(import_module(f"pykafka_cli.commands.{attribute}"), attribute)
    assert isinstance(command, click.Command)
    return command


def pykafka_group() -> PykafkaGroup:
    """The ``pykafka`` program. Made when it is asked for, since Kafka's tools by their own names have no use for it."""

    @click.group(
        "pykafka",
        cls=PykafkaGroup,
        epilog=examples(
            "pykafka quickstart",
            "pykafka topics --create --topic orders",
            "pykafka console-producer --topic orders < lines",
            "pykafka console-consumer --topic orders --from-beginning --max-messages 3",
        ),
    )
    @click.option(
        "--version",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_print_version,
        help="Show the version, and whether its hot modules are compiled, and exit.",
    )
    def pykafka() -> None:
        """Kafka's command line without the broker.

        The commands are those of Apache Kafka's own tools. The records are in a directory of Kafka-format logs, which
        any number of processes may share.
        """

    return pykafka


def _print_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if not asked or ctx.resilient_parsing:
        return
    from pykafka_store.compiled import COMPILED

    way = "compiled" if COMPILED else "pure Python"
    env: Env = ctx.obj
    env.out(f"pykafka {__version__} ({way}), after Apache Kafka {KAFKA_VERSION}")
    ctx.exit()


def run(load: Callable[[], click.Command], program: str, arguments: list[str], env: Env) -> int:
    """Run a command and return its exit code (README.md, "Exit codes"). All that can go wrong is told here."""
    code = _outcome(load, program, arguments, env)
    with contextlib.suppress(OSError):
        env.flush()  # of what Ctrl-C and other ends have left
    # A reader who went away has all it wants (``| head -1``). But what a disk has no room for is missed by somebody.
    if env.unprinted is not None and not isinstance(env.unprinted, BrokenPipeError):
        env.err(f"{_subject(program, arguments)}: {env.unprinted.strerror} ({env.unprinted.filename})")
        return code or EXIT_FAILED
    return code


def _outcome(load: Callable[[], click.Command], program: str, arguments: list[str], env: Env) -> int:
    """The exit code of the command, whether or not all of its output could be printed."""
    try:
        if getsignal(SIGINT) is SIG_DFL:  # start.py's
            signal(SIGINT, raise_its_end)
        code = _run(load(), program, [*arguments], env)  # click takes words out of the list
        env.flush()
        if env.hint:
            env.err(env.hint)
    except HungUp:
        return EXIT_HUNG_UP
    except Terminated:
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError) and env.reader_is_gone():
            return EXIT_DONE  # of a command that only prints, or of a help that was asked for
        # The disk, a file that the user named, or stdout itself: a foreseen error, whose own text is told.
        where = f" ({error.filename})" if error.filename else ""
        if error.errno == errno.EMFILE:  # which file was the one too many says nothing, and may be one of Python's
            where = ": raise the limit (ulimit -n)"
        if error.errno == errno.ENOENT and error.filename is None:  # of os.getcwd() alone
            where = ": the current directory has been removed: cd to one that is there"
        env.err(f"{_subject(program, arguments)}: {error.strerror or error}{where}")
        return EXIT_FAILED
    except Exception as error:
        if (word := _word_that_is_no_text(error, arguments)) is not None:
            env.err(f"{_subject(program, arguments)}: {word!r} is not UTF-8 text")
            return EXIT_FAILED
        if (lack := _lack(error)) is not None:
            env.err(f"{_subject(program, arguments)}: {lack}")
            return EXIT_FAILED
        if env.environ.get("PYKAFKA_DEBUG") == "1":
            import traceback

            env.err(traceback.format_exc().rstrip("\n"))
        else:
            what = " ".join(str(error).split())
            env.err(
                f"{_subject(program, arguments)}: unexpected {type(error).__name__}: {what} (a bug in pykafka, please "
                "report it; PYKAFKA_DEBUG=1 shows where)"
            )
        return EXIT_UNEXPECTED
    if code == EXIT_DONE and env.error_reported and env.environ.get("PYKAFKA_STRICT_EXIT") == "1":
        return EXIT_FAILED
    return code


def _lack(error: Exception) -> str | None:
    """What the machine does not give this process, if that is what the error complains of."""
    if isinstance(error, MemoryError):
        return "out of memory: raise the limit (ulimit -v, or the container's)"
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return f"{error}: raise the limit of processes (ulimit -u, or the container's)"
    return None


def _word_that_is_no_text(error: Exception, arguments: list[str]) -> str | None:
    """The word of the command line whose bytes are no UTF-8, if that is what the error complains of: a file may have
    such a name, and nothing else.
    """
    if not isinstance(error, UnicodeEncodeError):
        return None
    escaped = error.object[error.start : error.end]
    return next((word for word in arguments if escaped in word), None)


def _run(command: click.Command, program: str, arguments: list[str], env: Env) -> int:
    """Run a command; tell the errors that commands foresee."""
    try:
        with command.make_context(program, arguments, obj=env) as context:
            command.invoke(context)
    except CommandFailure as failure:
        env.error_reported = True
        env.only_prints = False  # it has a code now, whoever reads
        (env.out if failure.stream == "stdout" else env.err)(str(failure))
        return failure.exit_code
    except QuietFailure:
        return EXIT_FAILED
    except (Refusal, UsageProblem) as problem:
        env.err(str(problem))
        return EXIT_FAILED
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as problem:
        with contextlib.suppress(OSError):  # the reader of stderr has gone
            problem.show(file=env.stderr)
        return problem.exit_code
    except Exception as error:
        from pykafka_store.errors import StoreError

        if not isinstance(error, StoreError):
            raise
        # The root's name says that nothing is known of an error, while its text does.
        env.err(f"{_subject(program, arguments) if type(error) is StoreError else error.kafka_name}: {error}")
        return EXIT_FAILED
    return EXIT_DONE


def _subject(program: str, arguments: list[str]) -> str:
    """Who tells an error: a subcommand of ``pykafka`` by its own name, as it names itself in the errors it foresees."""
    return arguments[0] if program == "pykafka" and arguments and arguments[0] in COMMANDS else program


def _main(program: str, load: Callable[[], click.Command]) -> NoReturn:
    """The whole of a program: run it in this process's world, and leave with its exit code."""
    env = Env.of_process()
    _raise_limit_of_open_files()
    for number in (SIGTERM, SIGHUP):
        if getsignal(number) is SIG_DFL:
            signal(number, raise_its_end)
    complete_var = f"_{program.replace('-', '_').upper()}_COMPLETE"
    if complete_var in env.environ:
        load().main(prog_name=program, complete_var=complete_var, obj=env)
    try:
        code = run(lambda: _loaded(load), program, sys.argv[1:], env)
        if getsignal(SIGINT) is raise_its_end:  # all is done, and told: who still waits is only Python
            signal(SIGINT, SIG_DFL)
    except KeyboardInterrupt:  # once more, or amid the telling
        code = EXIT_INTERRUPTED
    # Commands close what they open, so nothing is left to do; taking the interpreter apart would cost a short command
    # a tenth of its time, and would try once more to flush what could not be flushed.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # AttributeError: None, for a stream that was closed
            stream.flush()
    os._exit(code)


def _loaded(load: Callable[[], click.Command]) -> click.Command:
    """The command. Python looks for garbage again (start.py), but never among what was made until now, which stays."""
    command = load()
    gc.freeze()
    gc.enable()
    return command


def _raise_limit_of_open_files() -> None:
    """Have as many descriptors as the hard limit allows, as the Java machine does (MaxFDLimit): the soft one is meant
    for programs that use select().
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS promises more than it gives: then it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def raise_its_end(number: int, _frame: FrameType | None) -> None:
    if not is_the_same_wish():
        raise ENDS[number]


def pykafka() -> NoReturn:
    _main("pykafka", pykafka_group)


def __getattr__(name: str) -> Callable[[], NoReturn]:
    """Kafka's tools by their own names: ``kafka_topics`` and so on, one for each of KAFKA_TOOLS (start.py)."""
    tool = name.removeprefix("kafka_").replace("_", "-")
    if not name.startswith("kafka_") or tool not in KAFKA_TOOLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lambda: _main(f"kafka-{tool}", lambda: load_command(tool))
