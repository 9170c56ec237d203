"""What ``pykafka sink`` and ``pykafka source`` have in common: what is a database, and options that are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pykafka_cli.click_types import DURATION

_Command = TypeVar("_Command", bound=Callable[..., Any])


def is_postgres(database: str) -> bool:
    """Whether that is an address of PostgreSQL; else it is a file of SQLite's."""
    return database.startswith(("postgresql://", "postgres://"))


def names(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names of an option that may be repeated, and may have several with commas between them."""
    return tuple(dict.fromkeys(name for text in value for name in text.split(",")))


def retry_option(command: _Command) -> _Command:
    """``--retry``"""
    return click.option(
        "--retry",
        metavar="TIME",
        type=DURATION,
        help="How long a database may be locked or away. Default: for ever, and 30s with --exit-at-end.",
    )(command)


def output_option(command: _Command) -> _Command:
    """``--output``"""
    return click.option(
        "--output",
        metavar="text|json",
        type=click.Choice(["text", "json"]),
        default="text",
        help="How the last line says what was done: for people on stderr, or as JSON on stdout.",
    )(command)
