"""SECURITY.md: each sentence of its lists has a test, and each test here a sentence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = (HERE.parents[1] / "SECURITY.md").read_text("utf-8")


def test_each_sentence_has_a_test_and_each_test_a_sentence() -> None:
    bullets = re.findall(r"^- (.*)$", PAGE, re.MULTILINE)
    named = [re.fullmatch(r".*[.] \[(test_\w+)\]", bullet) for bullet in bullets]
    assert all(named), [bullet for bullet, found in zip(bullets, named, strict=True) if not found]
    there = {
        node.name
        for path in HERE.glob("test_*.py")
        if path.name != "test_page.py"
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert sorted(found[1] for found in named if found) == sorted(there)
