"""Our own modules found and loaded by fewer steps than any module may need: a console tool imports sixty of them.

Python looks for a module under five names and asks a dozen times after its files. Most of ours are a source with byte
code of it beside: what is just so is read at once, a twenty-fifth of a start for the better. Whatever is not (compiled
modules, byte code of another source or none) is left to Python, which also writes what is missing.

Source of the layout of byte code: PEP 3147 and PEP 552.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER  # importlib.util's, without what that imports
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_BEGINNING = MAGIC_NUMBER + bytes(4)
"""Of byte code that names its source by time and size, four bytes each, which come next; then the code."""
_LARGEST = 1 << 17
"""Bytes. None of ours has a third of it."""


def find_our_modules_quickly() -> None:
    if sys.flags.optimize or sys.pycache_prefix is not None:  # byte code has other names
        return
    with suppress(ValueError):  # somebody has put something else in the place of Python's way
        sys.meta_path.insert(sys.meta_path.index(PathFinder), OurModules())


class OurModules:
    """See PEP 302, and :class:`importlib.abc.MetaPathFinder`."""

    def __init__(self) -> None:
        self._files: dict[str, set[str]] = {}
        """The names in each directory that something was found in."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - their signature
    ) -> ModuleSpec | None:
        parent, _, module = name.rpartition(".")
        if not path or not parent.startswith("pykafka_"):
            return None
        directory = path[0]
        files = self._files_in(directory)
        if f"{module}{EXTENSION_SUFFIXES[0]}" in files:
            return None
        is_package = f"{module}.py" not in files
        if is_package:
            if module not in files or "__init__.py" not in self._files_in(f"{directory}/{module}"):
                return None
            directory, module = f"{directory}/{module}", "__init__"
        loader = _Loader(name, f"{directory}/{module}.py")
        spec = ModuleSpec(name, loader, origin=loader.path, is_package=is_package)
        spec.has_location = True
        spec.cached = loader.byte_code = f"{directory}/__pycache__/{module}.{sys.implementation.cache_tag}.pyc"
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(directory)
        return spec

    def _files_in(self, directory: str) -> set[str]:
        files = self._files.get(directory)
        if files is None:
            try:
                files = set(os.listdir(directory))
            except OSError:  # it is in a zip file
                files = set()
            self._files[directory] = files
        return files

    def invalidate_caches(self) -> None:
        self._files.clear()


class _Loader(SourceFileLoader):
    byte_code: str

    def get_code(self, fullname: str) -> CodeType | None:
        try:
            source = os.stat(self.path)
            descriptor = os.open(self.byte_code, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return super().get_code(fullname)
        try:
            data = os.read(descriptor, _LARGEST)
        finally:
            os.close(descriptor)
        made_of = b"".join((int(each) & 0xFFFFFFFF).to_bytes(4, "little") for each in (source.st_mtime, source.st_size))
        if len(data) == _LARGEST or not data.startswith(_BEGINNING + made_of):
            return super().get_code(fullname)
        try:
            code: CodeType = marshal.loads(memoryview(data)[len(_BEGINNING) + len(made_of) :])  # noqa: S302 - Python's own
        except (EOFError, TypeError, ValueError):
            # Cut short: the disk was full when Python wrote it, which Pythons before 3.13 do not notice. Nor do they
            # get beyond it, as long as it is there.
            with suppress(OSError):
                os.unlink(self.byte_code)
            return self.source_to_code(self.get_data(self.path), self.path)
        return code
