"""What ``[project.scripts]`` of pyproject.toml starts: ``kafka_topics`` and so on, and ``pykafka``.

Python looks for objects that refer to each other in circles once in 700 new ones. What imports make is thousands of
them, and stays: to look there was a twentieth of a command's start. So a program is imported without, and main.py has
Python look again once its command is there. Nothing is put off where this is imported but no program is started.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import NoReturn


def __getattr__(name: str) -> Callable[[], NoReturn]:
    """The program of that name, as :mod:`pykafka_cli.main` has it."""
    from pykafka_cli import KAFKA_TOOLS

    if name != "pykafka" and name not in {f"kafka_{tool.replace('-', '_')}" for tool in KAFKA_TOOLS}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def program() -> NoReturn:
        gc.disable()
        try:
            from pykafka_cli import main

            run = getattr(main, name)
        except KeyboardInterrupt:  # nothing is done yet: it ends as without Python, which would show a traceback
            import signal

            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        run()
        raise AssertionError

    return program
