"""Commands that parse as those of Kafka's tools do that use argparse4j, and not jopt-simple.

Their long options may be abbreviated, ``-h`` prints the help on stdout, and an error is the usage and a line
``PROGRAM: error: ...`` on stderr, with exit code 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import click
from click.exceptions import Exit

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure

SETTINGS = {"help_option_names": ["-h", "--help"]}


class ArgparseCommand(click.Command):
    """A subcommand of such a tool."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        return _explained(
            self, ctx, lambda: super(ArgparseCommand, self).parse_args(ctx, _spelled_out(self, ctx, args))
        )


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
        return _explained(self, ctx, lambda: super(ArgparseGroup, self).parse_args(ctx, _spelled_out(self, ctx, args)))

    def invoke(self, ctx: click.Context) -> Any:
        if not [*ctx._protected_args, *ctx.args]:
            _fail(self, ctx, "too few arguments")
        name = [*ctx._protected_args, *ctx.args][0]
        if self.get_command(ctx, name) is None:
            choices = ", ".join(f"'{each}'" for each in self.list_commands(ctx))
            _fail(self, ctx, f"invalid choice: '{name}' (choose from {choices})")
        try:
            return super().invoke(ctx)
        except Exit as done:
            if done.exit_code == 0 and self.help_exit_code:
                raise Exit(self.help_exit_code) from None
            raise


def _explained(command: click.Command, ctx: click.Context, parse: Callable[[], list[str]]) -> list[str]:
    try:
        return parse()
    except click.NoSuchOption as problem:
        _fail(command, ctx, f"unrecognized arguments: '{problem.option_name}'")
    except click.MissingParameter as problem:
        _fail(command, ctx, f"argument {_names(problem.param)} is required")
    except click.BadParameter as problem:
        _fail(command, ctx, f"argument {_names(problem.param)}: {problem.message}")
    except click.UsageError as problem:
        _fail(command, ctx, problem.message.rstrip("."))


def _names(param: click.Parameter | None) -> str:
    if isinstance(param, click.Option):
        return "/".join(sorted(param.opts, key=lambda each: not each.startswith("--")))
    return "" if param is None else param.make_metavar(click.Context(click.Command(None)))


def _fail(command: click.Command, ctx: click.Context, message: str) -> NoReturn:
    env: Env = ctx.obj
    program = ctx.find_root().info_name
    env.err(command.get_usage(ctx).replace("Usage:", "usage:", 1))
    raise CommandFailure(f"{program}: error: {message}")


def _spelled_out(command: click.Command, ctx: click.Context, args: list[str]) -> list[str]:
    """Long options in full, where they are abbreviated and only one can be meant."""
    known = [name for param in command.get_params(ctx) for name in getattr(param, "opts", ()) if name.startswith("--")]
    found: list[str] = []
    for position, word in enumerate(args):
        if word == "--":
            return [*found, *args[position:]]
        name, equals, value = word.partition("=")
        meant = [each for each in known if each.startswith(name)]
        abbreviated = name.startswith("--") and name not in known and len(meant) == 1
        found.append(f"{meant[0]}{equals}{value}" if abbreviated else word)
    return found
