"""Commands that parse as those of Kafka's tools do that use argparse4j, and not jopt-simple.

Their long options may be abbreviated, ``-h`` prints the help on stdout, and an error is the usage and a line
``PROGRAM: error: ...`` on stderr, with exit code 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from click.exceptions import Exit

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.java.floats import parsed_double
from pykafka_cli.output.hints import suggest
from pykafka_store.numbers import whole_number

SETTINGS = {"help_option_names": ["-h", "--help"]}


class SeveralWords(click.Option):
    """An option that takes all words up to the next option: argparse4j's nargs("+")."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["multiple"] = True
        super().__init__(*args, **kwargs)


class WholeNumber(click.ParamType[int]):
    """A number of Java's, complained of in argparse4j's words."""

    name = "number"

    def __init__(self, java: str, bits: int) -> None:
        self._java = java
        self._bits = bits

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        number = whole_number(value, self._bits)
        if number is None:
            self.fail(f"could not convert '{value}' to {self._java} (For input string: \"{value}\")", param, ctx)
        return number


SHORT, INTEGER, LONG = WholeNumber("Short", 16), WholeNumber("Integer", 32), WholeNumber("Long", 64)


class _Decimal(click.ParamType[float]):
    """Java's Double, complained of in argparse4j's words."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = value if isinstance(value, float) else parsed_double(value)
        if number is None:
            self.fail(f"could not convert '{value}' to Double (For input string: \"{value}\")", param, ctx)
        return number


DOUBLE = _Decimal()


class OneOf(click.Choice[str]):
    """One of some words, complained of in argparse4j's words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            self.fail(f"invalid choice: '{value}' (choose from {{{','.join(self.choices)}}})", param, ctx)
        return str(value)


class ArgparseCommand(click.Command):
    """Such a tool, or a subcommand of one. Those whose main class prints the help and exits 0 where there are no
    arguments say ``no_args_is_help``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args and self.no_args_is_help:
            click.echo(ctx.get_help())
            ctx.exit()
        args = _of_today(self, ctx, args)
        try:
            return _explained(
                self, ctx, lambda: super(ArgparseCommand, self).parse_args(ctx, _spelled_out(self, ctx, args))
            )
        except Exit as done:
            # to those that show help without arguments, asking for it is a command line that can't be parsed
            raise Exit(done.exit_code or int(self.no_args_is_help)) from None


class Told(Exit):
    """All that was asked for is printed, and it was no help."""


class ArgparseGroup(click.Group):
    """Such a tool. ``help_exit_code`` is what its main class exits with after printing help."""

    command_class = ArgparseCommand

    def __init__(self, *args: Any, help_exit_code: int = 0, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        kwargs.setdefault("no_args_is_help", False)
        super().__init__(*args, **kwargs)
        self.help_exit_code = help_exit_code

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        args = _of_today(self, ctx, args)
        with self._exits():
            return _explained(
                self, ctx, lambda: super(ArgparseGroup, self).parse_args(ctx, _spelled_out(self, ctx, args))
            )

    @contextmanager
    def _exits(self) -> Iterator[None]:
        """Within it, help that is printed ends as in the tool; a subcommand's is printed while that is invoked."""
        try:
            yield
        except Told:
            raise
        except Exit as done:
            raise Exit(done.exit_code or self.help_exit_code) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the source, which is Kafka's, and not that of the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            suggest(ctx.obj, args[0], self.list_commands(ctx))
            choices = ", ".join(f"'{each}'" for each in self.list_commands(ctx))
            _fail(self, ctx, f"invalid choice: '{args[0]}' (choose from {choices})")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with self._exits():
                return super().invoke(ctx)
        except click.UsageError as problem:
            if problem.ctx is not ctx:  # a subcommand's
                raise
            _fail(self, ctx, "too few arguments")  # click's own complaint of this context: no subcommand is named


class TerseGroup(ArgparseGroup):
    """Such a tool whose main class catches the parser's complaint, and tells it in one line without the usage."""

    @staticmethod
    def failure(message: str) -> CommandFailure:
        return CommandFailure(f"Command line error: {message}. Type --help for help.")


def mistake(ctx: click.Context, message: str) -> NoReturn:
    """What a tool itself finds wrong with a command line, told as what the parser finds."""
    _fail(ctx.command, ctx, message)


def only_one(ctx: click.Context, given: Mapping[str, bool]) -> None:
    """Options, by the names that argparse4j gives them, of which it takes one: the complaint is of the second."""
    named = [name for name, is_given in given.items() if is_given]
    if len(named) > 1:
        mistake(ctx, f"argument {named[1]}: not allowed with argument {named[0]}")


def _explained(command: click.Command, ctx: click.Context, parse: Callable[[], list[str]]) -> list[str]:
    try:
        return parse()
    except click.NoSuchOption as problem:
        suggest(ctx.obj, problem.option_name, _long_names(command, ctx))
        _fail(command, ctx, f"unrecognized arguments: '{problem.option_name}'")
    except click.MissingParameter as problem:
        _fail(command, ctx, f"argument {_names(problem.param)} is required")
    except click.BadParameter as problem:
        _fail(command, ctx, f"argument {_names(problem.param)}: {problem.message}")
    except click.BadOptionUsage as problem:
        _fail(command, ctx, f"argument {_names_of(command, ctx, problem.option_name)}: expected one argument")
    except click.UsageError as problem:
        # Of click's own complaints, words that are no options are left, in brackets.
        words = re.search(r"unexpected extra arguments? \((.*)\)", problem.message)
        _fail(command, ctx, f"unrecognized arguments: '{words[1]}'" if words else problem.message.rstrip("."))


def _names_of(command: click.Command, ctx: click.Context, option: str) -> str:
    return next((_names(param) for param in command.get_params(ctx) if option in param.opts), option)


def _names(param: click.Parameter | None) -> str:
    if isinstance(param, click.Option):
        return "/".join(sorted(param.opts, key=lambda each: not each.startswith("--")))
    return "" if param is None else param.make_metavar(click.Context(click.Command(None)))


def _fail(command: click.Command, ctx: click.Context, message: str) -> NoReturn:
    if isinstance(command, TerseGroup) or (ctx.parent is not None and isinstance(ctx.parent.command, TerseGroup)):
        raise TerseGroup.failure(message)
    env: Env = ctx.obj
    program = ctx.find_root().info_name
    env.err(command.get_usage(ctx).replace("Usage:", "usage:", 1))
    raise CommandFailure(f"{program}: error: {message}")


def _of_today(command: click.Command, ctx: click.Context, args: list[str]) -> list[str]:
    """The words of a tool's command line, in which PYKAFKA_OLD_OPTIONS=1 lets old ones pass."""
    env: Env = ctx.obj
    of_subcommand = ctx.parent is not None and isinstance(ctx.parent.command, ArgparseGroup)
    if of_subcommand or not env.takes_old_options:  # no option of a subcommand's had another name
        return args
    from pykafka_cli.tool.old_options import tell_todays_words

    declared = {name.removeprefix("--") for name in _long_names(command, ctx)}
    return tell_todays_words(env, command.name or "", args, declared)[0]


def _long_names(command: click.Command, ctx: click.Context) -> list[str]:
    return [name for param in command.get_params(ctx) for name in param.opts if name.startswith("--")]


def _check_known(command: click.Command, ctx: click.Context, words: list[str]) -> None:
    """Fail where the first of the words is no option and no argument."""
    word, params = words[0], command.get_params(ctx)
    if not _is_option(word):
        if not any(isinstance(param, click.Argument) for param in params):
            _fail(command, ctx, f"unrecognized arguments: '{' '.join(words)}'")
    elif not any(word.startswith(name) for param in params for name in param.opts if len(name) == 2):
        suggest(ctx.obj, word.partition("=")[0], _long_names(command, ctx))
        _fail(command, ctx, f"unrecognized arguments: '{word}'")


_NUMBERS = (WholeNumber, _Decimal)
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


def _is_option(word: str) -> bool:
    """Whether argparse4j takes a word for an option, wherever it stands."""
    return len(word) > 1 and word.startswith("-") and _NEGATIVE.fullmatch(word) is None


def _spelled_out(command: click.Command, ctx: click.Context, args: list[str]) -> list[str]:
    """Long options in full, where they are abbreviated and only one can be meant; ``-t=value`` as two words. What looks
    like an option is no option's value.
    """
    options = {name: param for param in command.get_params(ctx) for name in param.opts}
    found: list[str] = []
    words = iter(range(len(args)))
    for position in words:
        word = args[position]
        if word == "--":
            if isinstance(command, click.Group) and args[position + 1 :]:  # no subcommand is looked for behind it
                _fail(command, ctx, f"unrecognized arguments: '{' '.join(args[position + 1 :])}'")
            return [*found, *args[position:]]
        if word in SETTINGS["help_option_names"]:
            return [word]  # help is given as soon as it is asked for
        name, equals, value = word.partition("=")
        meant = [each for each in options if each.startswith("--") and each.startswith(name)]
        if name.startswith("--") and name not in options and len(meant) == 1:
            name = meant[0]
        param = options.get(name)
        if not isinstance(param, click.Option):
            if isinstance(command, click.Group) and not _is_option(word):
                return [*found, *args[position:]]  # what follows is the subcommand's
            _check_known(command, ctx, args[position:])
            found.append(word)
        elif equals:
            found += [f"{name}={value}"] if name.startswith("--") else [name, value]
        elif param.is_flag or param.count:
            found.append(name)
        else:
            several = isinstance(param, SeveralWords)
            follow = 0
            while position + follow + 1 < len(args) and not _is_option(args[position + follow + 1]):
                follow += 1
                found += [name, args[next(words)]]  # it is named again before each of its words
                if isinstance(param.type, _NUMBERS):
                    param.type(found[-1], param, ctx)  # click looks at the last of several alone
                if not several:
                    break
            if follow == 0:
                _fail(command, ctx, f"argument {_names(param)}: expected {'at least ' if several else ''}one argument")
    return found
