"""The ways in which a command ends badly. ``main.py`` alone turns them into exit codes."""

from __future__ import annotations

import _signal as signal  # without the module around it, which makes enums for 1 ms
from time import monotonic
from typing import Literal

Stream = Literal["stdout", "stderr"]


class UsageProblem(Exception):  # noqa: N818 - it is the user's problem, no error of ours
    """The command line makes no sense: the message, then the command's help, on stderr; exit 1."""


class Refusal(ValueError):  # noqa: N818 - as above
    """What the tool itself refuses: the value of an option, or a file that an option names. The text is for the user.

    A tool that tells its errors in a frame of its own says so with ``tool.frame.failing_as``; else it is one line on
    stderr and exit 1.
    """


class OptionProblem(Refusal):
    """The option parser's own complaint, in jopt-simple's words.

    Raised while parsing, it ends the command as the command's ``bad_options`` says, for Kafka's tools differ in that.
    Raised when a value is read, which is when a bad number is noticed, it is one line on stderr and exit 1.
    """

    java = "joptsimple.OptionException"
    """jopt-simple's class of the complaint: a few tools show it."""

    def __init__(self, message: str, unknown: str = "") -> None:
        """``unknown`` is the word that should have been an option, where it is none."""
        super().__init__(message)
        self.unknown = unknown


class RepeatedOption(OptionProblem):
    """An option that has one value was given several."""

    java = "joptsimple.MultipleArgumentsForOptionException"

    def __init__(self, name: str) -> None:
        super().__init__(f"Found multiple arguments for option {name}, but you asked for only one")


class NoSuchValue(OptionProblem):
    """The value of an option is not of the option's kind."""

    java = "joptsimple.OptionArgumentConversionException"

    def __init__(self, name: str, text: str | int) -> None:
        super().__init__(f"Cannot parse argument '{text}' of option {name}")


class CommandFailure(Exception):  # noqa: N818 - it says that a command failed
    """The command could not do its work: one line, on the stream that Kafka uses, and an exit code."""

    def __init__(self, message: str, stream: Stream = "stderr", exit_code: int = 1) -> None:
        super().__init__(message)
        self.stream = stream
        self.exit_code = exit_code


class QuietFailure(Exception):  # noqa: N818 - as above
    """The command could not do its work, and all that is to be said of it is said; exit 1."""


class Terminated(KeyboardInterrupt):
    """SIGTERM. A kind of KeyboardInterrupt, so that what is cleaned up after Ctrl-C is cleaned up after it too."""


class HungUp(Terminated):
    """SIGHUP: the terminal was closed. A Java machine ends by it in good order, too."""


ENDS: dict[int, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
    signal.SIGHUP: HungUp,
}
"""The signals that ask a program for its end, and what comes of them."""


_MOMENT = 0.5
"""Seconds in which signals that ask for an end are one wish."""


class _Wish:
    at = float("-inf")
    """When the last one came."""


def is_the_same_wish() -> bool:
    """For a handler of such a signal: whether another came a moment ago, so that this one adds nothing to it.

    Many send two of them: ``timeout`` to its command and then to the command's process group, a terminal to all that
    run in it while the one that started the others passes Ctrl-C on to them. The second one would strike whatever the
    first has made a command do in the end: a group's commit, the count line. (A Java machine ends once, however often
    it is asked to.) Who asks again later means that the end takes too long.
    """
    now = monotonic()
    if now - _Wish.at < _MOMENT:
        return True
    _Wish.at = now
    return False


def heard_ends() -> list[int]:
    """All of these, but for a SIGHUP that ``nohup`` has had ignored."""
    return [each for each in ENDS if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN]
