"""What ``[project.scripts]`` of pyproject.toml starts: ``kafka_topics`` and so on, and ``pykafka``.

Python looks for objects that refer to each other in circles once in 700 new ones. What imports make is thousands of
them, and stays: to look there was a twentieth of a command's start. So a program is imported without, and main.py has
Python look again once its command is there. Nothing is put off where this is imported but no program is started.

Until main.py has a place where Ctrl-C becomes an exit code, it ends the program as it ends one that is not Python's:
Python would show a traceback of whatever was just imported. So little is imported before that: here nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def __getattr__(name: str) -> Callable[[], NoReturn]:
    """The program of that name, as :mod:`pykafka_cli.main` has it."""
    from pykafka_cli import KAFKA_TOOLS

    if name != "pykafka" and name not in {f"kafka_{tool.replace('-', '_')}" for tool in KAFKA_TOOLS}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def program() -> NoReturn:
        from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal  # in C, and there already

        if getsignal(SIGINT) is default_int_handler:
            signal(SIGINT, SIG_DFL)
        import gc

        gc.disable()
        from pykafka_cli.finding import find_our_modules_quickly

        find_our_modules_quickly()
        from pykafka_cli.later import put_off_clicks_imports

        put_off_clicks_imports()
        from pykafka_cli import main

        getattr(main, name)()
        raise AssertionError

    return program
