"""Modules of the standard library that click imports and a command hardly ever needs: they come when they are used.

``inspect`` alone (with ``dis``, ``ast`` and ``tokenize``) was a tenth of the start of ``kafka-topics --list``.
``importlib.util.LazyLoader`` is made for this, but before Python 3.12 an ``import`` statement itself makes it load.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any


def put_off_clicks_imports() -> None:
    """To be called before click is imported. What is imported already stays as it is."""
    _put_off("inspect", cleandoc=_cleandoc)
    _put_off("platform", system=lambda: os.uname().sysname)  # uuid asks on which one it is
    _put_off("gettext", gettext=_gettext, ngettext=_ngettext)
    _put_off("uuid")
    if sys.version_info < (3, 12) and "datetime" not in sys.modules:
        # As from Python 3.12 on: before, the whole module in Python is run first, and then replaced by this one.
        sys.modules["datetime"] = import_module("_datetime")


class _Later(ModuleType):
    """In the place of a module until something of it is asked for. Who has imported it by then keeps this one."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # what ``from gettext import gettext`` asks for first; none of them is a package
            raise AttributeError(name)
        if name == "UUID" and _click_declares_its_types():
            return object  # ``class UUIDParameterType(ParamType[uuid.UUID])`` is for type checkers
        return getattr(_real(self.__name__), name)


def _click_declares_its_types() -> bool:
    return "click.types" in sys.modules and not hasattr(sys.modules["click.types"], "UUID")


def _put_off(name: str, **known: object) -> None:
    if name not in sys.modules:
        sys.modules[name] = later = _Later(name)
        later.__dict__.update(known)


def _real(name: str) -> ModuleType:
    if isinstance(sys.modules.get(name), _Later):
        del sys.modules[name]
    return import_module(name)


def _cleandoc(text: str) -> str:
    """What click asks of the help of each option, which mostly is a line that is clean, and of each command."""
    if text.isprintable() and text == text.strip():
        return text
    first, *rest = text.expandtabs().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.lstrip(), *(line[margin:] for line in rest)]).strip("\n")


def _gettext(message: str) -> str:
    """The text itself, unless someone uses translations: looking for one goes over directories of the system's, for
    the texts of whatever program has no domain of its own.
    """
    if isinstance(sys.modules.get("gettext"), _Later):
        return message
    translated: str = _real("gettext").gettext(message)
    return translated


def _ngettext(one: str, many: str, count: int) -> str:
    if isinstance(sys.modules.get("gettext"), _Later):
        return one if count == 1 else many
    translated: str = _real("gettext").ngettext(one, many, count)
    return translated
