"""The preloaded library that makes system calls fail: how it is built, and how a process asks for it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("faults.c")


class Faults(NamedTuple):
    """What shall happen to a process. Nothing by default."""

    seed: int = 1
    per_million: int = 0
    """Of its system calls upon the storm's files, so many go wrong."""
    kill_at: int = -1
    """The number of the call (of those that change something) that kills the process before, amid or after it."""


def build(directory: Path) -> Path | None:
    """The library, made in a directory; None where there is no C compiler, or one that can't."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not Path("/proc/self/fd").exists():
        return None
    library = directory / "faults.so"
    done = subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{compiler} can't build {SOURCE.name}:\n{done.stderr}")
    return library


def arm(root: str, clock: str, faults: Faults) -> bool:
    """In a process that has the library preloaded: from now on its calls below ``root`` may fail, and its time of day
    is off by the milliseconds (eight bytes, in the machine's order) that ``clock`` holds at the moment.

    False where the library is not loaded.
    """
    here = ctypes.CDLL(None)
    if not hasattr(here, "storm_arm"):
        return False
    here.storm_arm.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_long, ctypes.c_long]
    here.storm_arm.restype = ctypes.c_int
    armed = here.storm_arm(root.encode(), clock.encode(), faults.seed, faults.per_million, faults.kill_at)
    assert armed == 0, f"{clock} can't be mapped"
    return True


def counts() -> dict[str, int]:
    """How many calls there were, and how many of them failed, in this process."""
    here = ctypes.CDLL(None)
    return {name: ctypes.c_long.in_dll(here, f"storm_{name}").value for name in ("calls", "faults")}
