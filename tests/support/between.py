"""What another process, or another thread, does between two looks of the code under test: once, and never by luck."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def once(
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    others: Callable[[], object],
    *,
    behind: bool = False,
    when: Callable[..., bool] = lambda *_arguments, **_named: True,
) -> list[None]:
    """Have ``others`` come in before the first call of a function that is ``when``, or ``behind`` it. The list is
    empty until they have come.
    """
    original = getattr(owner, name)
    came: list[None] = []

    def between(*arguments: Any, **named: Any) -> Any:
        if came or not when(*arguments, **named):
            return original(*arguments, **named)
        came.append(None)
        if not behind:
            others()
            return original(*arguments, **named)
        result = original(*arguments, **named)
        others()
        return result

    monkeypatch.setattr(owner, name, between)
    return came
