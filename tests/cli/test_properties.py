"""Java .properties files and key=value arguments. Expectations from java.util.Properties#load and CommandLineUtils."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_cli.java import json
from pykafka_cli.java.properties import PropertiesError, load_properties, parse_properties
from pykafka_cli.java.text import is_true
from pykafka_cli.tool.properties import parse_key_values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", {"a": "b"}),
        ("a:b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("=b", {"": "b"}),
        ("  a \t=\t b ", {"a": "b "}),
        ("a = = b", {"a": "= b"}),
        ("a=b=c:d", {"a": "b=c:d"}),
        ("# a=b\n! c=d\n  # e=f\n\n \t\ng=h", {"g": "h"}),
        ("a=1\r\nb=2\rc=3\n", {"a": "1", "b": "2", "c": "3"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=b\\\n   c\\\n\td", {"a": "bcd"}),
        ("a=b\\\\\nc=d", {"a": "b\\", "c": "d"}),
        ("a=b\\\n# no comment", {"a": "b# no comment"}),
        ("a=b\\", {"a": "b"}),
        (r"a\ b\=c\:d=e", {"a b=c:d": "e"}),
        (r"a=\t\n\r\f\\\q", {"a": "\t\n\r\f\\q"}),
        (r"a=\u20ac\u0041", {"a": "€A"}),
        (r"a=\ud83d\ude00", {"a": "😀"}),
        ("a=x\x85y\x0bz", {"a": "x\x85y\x0bz"}),
        ("", {}),
    ],
)
def test_a_properties_file_means_what_it_means_to_java(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text) == expected


@pytest.mark.parametrize("text", [r"a=\u12", r"a=\uzzzz", r"\u=b"])
def test_a_broken_unicode_escape_is_refused_in_javas_words(text: str) -> None:
    with pytest.raises(PropertiesError, match=r"^Malformed \\uxxxx encoding\.$"):
        parse_properties(text)


def test_a_file_is_read_as_latin_1(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"a=\xe9\r\nkey.separator=\\t")
    assert load_properties(str(path)) == {"a": "é", "key.separator": "\t"}


def test_a_file_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(PropertiesError, match=r"none can't be read: No such file or directory"):
        load_properties(str(tmp_path / "none"))
    path = tmp_path / "broken"
    path.write_text("a=\\u1")
    with pytest.raises(PropertiesError, match=r"broken: Malformed"):
        load_properties(str(path))


def test_a_byte_order_mark_is_told_of_for_it_would_be_a_part_of_the_first_name(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\xef\xbb\xbfa=b\n")
    with pytest.raises(PropertiesError, match=r"/f begins with a byte order mark: take that away \(tail -c \+4\)$"):
        load_properties(str(file))


def test_an_argument_is_split_at_its_first_equals_sign_and_the_last_one_wins() -> None:
    assert parse_key_values(["a=1", "b=x=y", "c", "d=", "a=2", "=e"]) == {
        "a": "2",
        "b": "x=y",
        "c": "",
        "d": "",
        "": "e",
    }


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), (" TRUE ", True), ("yes", False), ("1", False), ("", False)]
)
def test_a_flag_is_on_if_it_says_true_in_any_case(value: str, expected: bool) -> None:
    assert is_true({"flag": value}, "flag") is expected
    assert is_true({}, "flag", default=True) is True


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
def test_a_file_without_an_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read until the memory was full, and SIGTERM was not heard meanwhile."""
    with pytest.raises(PropertiesError, match="/dev/zero has more than 16 MiB"):
        load_properties("/dev/zero")
    monkeypatch.setattr(json, "_MOST", 1000)
    with pytest.raises(OSError, match="File too large"):
        json.read_text("/dev/zero")
