"""Kafka's option parsing, behind click's declarations.

Apache Kafka's tools parse with jopt-simple 5.0.4, whose rules differ from click's: ``parse_words`` has them. A
command declares its options with click's own decorators, so that help, man pages and completion see them, and is made
with ``cls=KafkaCommand``, which parses by jopt's rules and hands the command an ``Options``::

    @click.command("get-offsets", cls=KafkaCommand, no_arguments="...", epilog=examples(...))
    @connection_options
    @click.option("--topic", type=TOPIC, help="...")
    @click.option("--partition", type=INTEGER, default=0, show_default=True, help="...")
    @click.option("--config", multiple=True, help="...")
    @click.option("--codec", is_flag=False, flag_value="gzip", help="an option whose argument may be left out")
    def get_offsets(env: Env, options: Options) -> None:
        if options.has("topic"): ...
        partition = options.integer("partition")

Values are read lazily, as Kafka's tools read them: a bad number is noticed when it is asked for, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from pykafka_cli import KAFKA_VERSION
from pykafka_cli.errors import CommandFailure, NoSuchValue, OptionProblem, RepeatedOption, UsageProblem

if TYPE_CHECKING:
    from pykafka_cli.env import Env


class JavaInteger(click.ParamType[int]):
    """A whole number as java.lang.Integer and Long parse it: no spaces, no underscores, and so many bits."""

    def __init__(self, name: str, bits: int) -> None:
        self.name = name
        self.bits = bits

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):  # a declared default
            return value
        from pykafka_store.numbers import whole_number  # the command line alone imports nothing of the store

        number = whole_number(value, self.bits)
        if number is None:
            self.fail(f"{value!r} is not an {self.name}", param, ctx)
        return number


INTEGER = JavaInteger("integer", 32)
LONG = JavaInteger("long", 64)


class Options:
    """The options of one command line, by their names without dashes."""

    def __init__(
        self,
        declared: Mapping[str, click.Option],
        occurrences: Mapping[str, list[str]],
        old: frozenset[str] = frozenset(),
    ) -> None:
        self._declared = declared
        self._occurrences = occurrences
        self.old = old
        """The options of before Kafka 4 that PYKAFKA_OLD_OPTIONS=1 let pass (old_options.py)."""
        self.admin_config: dict[str, str] = {}
        """The settings in the file of ``--command-config``, once ``check_admin_config`` has read it."""

    @property
    def given(self) -> list[str]:
        """The options that stand on the command line, in its order."""
        return list(self._occurrences)

    def declares(self, name: str) -> bool:
        """Whether the tool has such an option."""
        return name in self._declared

    def has(self, name: str) -> bool:
        """Whether the option stands on the command line."""
        assert name in self._declared, f"no option {name} is declared"
        return name in self._occurrences

    def texts(self, name: str) -> list[str]:
        """Every value of an option that may be repeated, in order."""
        assert self._declared[name].multiple, f"option {name} is not declared with multiple=True"
        return self._occurrences.get(name, [])

    def maybe_text(self, name: str) -> str | None:
        """The option's value, else its default, else None."""
        value = self._single(name)
        return value if value is None else str(value)

    def text(self, name: str, check: Callable[[str], object] | None = None) -> str:
        """The value of an option that is given or has a default. ``check`` is done with each value there is, before
        their number is complained of, as jopt converts them.
        """
        if check is not None:
            for each in self._occurrences.get(name, []):
                check(each)
        value = self.maybe_text(name)
        assert value is not None, f"option {name} is not given and has no default"
        return value

    def maybe_integer(self, name: str) -> int | None:
        """The option's value as its declared type (INTEGER or LONG) reads it, else its default, else None."""
        option = self._declared[name]
        assert isinstance(option.type, JavaInteger), f"option {name} is not declared as INTEGER or LONG"
        # jopt converts every value before it complains about their number (OptionSet#valueOf)
        for text in self._occurrences.get(name, []):
            self._convert(option.type, name, text)
        value = self._single(name)
        return None if value is None else self._convert(option.type, name, value)

    def integer(self, name: str) -> int:
        """The number of an option that is given or has a default."""
        value = self.maybe_integer(name)
        assert value is not None, f"option {name} is not given and has no default"
        return value

    def _single(self, name: str) -> str | int | None:
        option = self._declared[name]
        assert not option.multiple, f"option {name} may be repeated: read it with texts()"
        values = self._occurrences.get(name)
        if values is None:
            default: str | int | None = option.default if isinstance(option.default, str | int) else None
            return default
        if not values:  # an option whose argument was left out
            assert isinstance(option.flag_value, str)
            return option.flag_value
        if len(values) > 1:
            raise RepeatedOption(name)
        return values[0]

    @staticmethod
    def _convert(kind: JavaInteger, name: str, text: str | int) -> int:
        try:
            return kind.convert(text, None, None)
        except click.BadParameter:
            raise NoSuchValue(name, text) from None


def parse_words(words: Iterable[str], declared: Mapping[str, click.Option]) -> tuple[dict[str, list[str]], list[str]]:
    """Split a command line by jopt-simple's rules: (option name -> its values, the other words).

    Source: joptsimple.OptionParser, OptionParserState#moreOptions, RequiredArgumentOptionSpec,
    OptionalArgumentOptionSpec and NoArgumentOptionSpec of version 5.0.4.
    """
    occurrences: dict[str, list[str]] = {}
    others: list[str] = []
    rest = list(words)
    rest.reverse()
    while rest:
        word = rest.pop()
        if word == "--":
            others.extend(reversed(rest))
            break
        if not _looks_like_an_option(word):
            others.append(word)
            continue
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        else:
            name, equals, value = word[1:].partition("=")
            if name not in declared:
                name = word[1]  # jopt reads on as a cluster of one-letter options, and we have none
        option = declared.get(name)
        if option is None:
            raise OptionProblem(f"{name} is not a recognized option", word)
        values = occurrences.setdefault(name, [])
        if option.is_flag:
            continue  # and what follows a flag's "=" is dropped, as NoArgumentOptionSpec does
        if equals:
            values.append(value)
        elif _argument_may_be_left_out(option):
            if rest and (not _looks_like_an_option(rest[-1]) or _is_number_of(option, rest[-1])):
                values.append(rest.pop())
        elif rest:
            values.append(rest.pop())  # whatever it is, be it an option's name
        else:
            raise OptionProblem(f"Option {name} requires an argument")
    return occurrences, others


def _looks_like_an_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")


def _is_number_of(option: click.Option, word: str) -> bool:
    """Whether a word that looks like an option is a negative number, which the option takes."""
    return isinstance(option.type, JavaInteger) and re.fullmatch(r"-\d+", word) is not None


def _argument_may_be_left_out(option: click.Option) -> bool:
    return not option.is_flag and isinstance(option.flag_value, str)


class KafkaCommand(click.Command):
    """A command that parses as Kafka's tools do and calls back with ``(env, options)``.

    The first paragraph of the help is the line that Kafka's tool prints above its options on ``--help``;
    ``no_arguments`` is the line it prints there when it is run without any. ``bad_options`` makes of the parser's
    complaint what that tool makes of it. Words that are no options are ignored, as Kafka's tools ignore them.
    """

    def __init__(
        self,
        *args: Any,
        no_arguments: str | None = None,
        bad_options: Callable[[str], Exception] = UsageProblem,
        **kwargs: Any,
    ) -> None:
        # click's own --help asks gettext for its text, which is slow, and says nothing of where Kafka prints help.
        kwargs["add_help_option"] = False
        super().__init__(*args, **kwargs)
        if self.short_help is None:
            action = self.description.removeprefix("This tool helps to ")
            self.short_help = action[:1].upper() + action[1:]
        self.no_arguments = no_arguments
        self.bad_options = bad_options
        self.params += (
            click.Option(["--help"], is_flag=True, help="Print this help on stderr, and exit 1 as Kafka's tools do."),
            click.Option(["--version"], is_flag=True, help="Print the version of Kafka this tool follows, and exit."),
        )

    @property
    def description(self) -> str:
        """The first paragraph of the help, on one line."""
        return " ".join(self._paragraphs()[0].split())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # completion: click's rules will do for half a command line
            return super().parse_args(ctx, args)
        env: Env = ctx.obj
        declared = {
            name.removeprefix("--"): param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in param.opts
        }
        if not args and self.no_arguments is not None:
            raise self._with_help(ctx, self.no_arguments)
        old: frozenset[str] = frozenset()
        if env.takes_old_options:
            from pykafka_cli.tool.old_options import tell_todays_words

            args, old = tell_todays_words(env, self.name or "", args, declared)
        try:
            occurrences, _ignored = parse_words(args, declared)
        except OptionProblem as problem:
            if problem.unknown:
                from pykafka_cli.output.hints import suggest

                named = problem.unknown.lstrip("-").partition("=")[0]
                suggest(env, f"--{named}", (f"--{name}" for name in declared))
            error = self.bad_options(str(problem))
            raise self._mistake(ctx, error) if isinstance(error, UsageProblem) else error from None
        options = Options(declared, occurrences, old)
        if options.has("help"):
            raise self._with_help(ctx, self.description)
        if options.has("version"):
            env.out(KAFKA_VERSION)
            ctx.exit()
        ctx.params = {"env": env, "options": options}
        return []

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsageProblem as problem:
            raise self._mistake(ctx, problem) from None

    def _mistake(self, ctx: click.Context, problem: UsageProblem) -> CommandFailure:
        """The message, and the help after it as in Kafka's tools; but not on a terminal, where the help would push the
        message out of sight: there it is named.
        """
        env: Env = ctx.obj
        hint, env.hint = env.hint, ""
        if env.stderr_is_terminal:
            hint = f"{hint} {ctx.command_path} --help lists the options.".lstrip()
            return CommandFailure(f"{str(problem).rstrip()}\n{hint}")
        return self._with_help(ctx, f"{problem}\n{hint}" if hint else problem)

    def _with_help(self, ctx: click.Context, message: object) -> CommandFailure:
        """Kafka's ``CommandLineUtils.printUsageAndExit``: the message and the help on stderr, exit 1."""
        return CommandFailure(f"{message}\n{self.get_help(ctx)}")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Leave out the first paragraph: the line above the help is that paragraph, or the message about an error."""
        rest = self._paragraphs()[1]
        if rest:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(rest)

    def _paragraphs(self) -> tuple[str, str]:
        """The help's first paragraph, and the rest."""
        import inspect

        first, _blank, rest = inspect.cleandoc(self.help or "").partition("\n\n")
        return first, rest


def examples(*lines: str) -> str:
    """An epilog of command lines. They are not click's to wrap: a line that is too long for a terminal of 80 columns is
    folded as in a script, and can be copied as it stands.
    """
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for each in lines for line in _folded(each))


_EXAMPLE_WIDTH = 73
"""Columns of an example: man indents it by seven. (click does by two, and ``examples`` by two more.)"""


def _folded(line: str) -> list[str]:
    """A command line in lines that fit, each but the last with a backslash. It breaks before an option, a pipe or a
    redirection, and never within quotes.
    """
    if len(line) <= _EXAMPLE_WIDTH:
        return [line]
    parts: list[str] = []
    quoted = False
    for word in line.split(" "):
        if not parts or (not quoted and (word.startswith("--") or word in {"|", "<", ">"})):
            parts.append(word)
        else:
            parts[-1] += f" {word}"
        quoted ^= word.count("'") % 2 == 1
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + len("  \\") > _EXAMPLE_WIDTH:
            lines[-1] += " \\"
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return lines
