"""Java's ``.properties`` files. Source: java.util.Properties."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pykafka_cli.errors import Refusal
from pykafka_cli.java.text import BEGINS_WITH_MARK, BYTE_ORDER_MARK

_KEY = re.compile(r"((?:[^\\=: \t\f]|\\.)*)[ \t\f]*[=:]?[ \t\f]*", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_NAMED_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class PropertiesError(Refusal):
    """A properties file that can't be read, is malformed, or sets what can't be. The text is for a person."""

    def __init__(self, text: str, java: str | None = None) -> None:
        super().__init__(text)
        self.java = text if java is None else java
        """What Java prints of it, for tools that say that."""


_MOST = 16 << 20
"""Bytes of a file: one without an end (/dev/zero) is read until the memory is full, and no signal is heard."""


def load_properties(path: str) -> dict[str, str]:
    """The properties of a file, read as ISO-8859-1 as java.util.Properties#load(InputStream) does."""
    try:
        with open(path, encoding="iso-8859-1", newline="") as file:
            text = file.read(_MOST + 1)
    except OSError as error:
        java = f"java.nio.file.NoSuchFileException: {path}"
        if not path or isinstance(error, IsADirectoryError):  # an empty path is the working directory
            java = "java.io.IOException: Is a directory"
        elif isinstance(error, PermissionError):
            java = f"java.nio.file.AccessDeniedException: {path}"
        raise PropertiesError(f"{path} can't be read: {error.strerror}", java) from error
    if len(text) > _MOST:
        raise PropertiesError(f"{path} has more than {_MOST >> 20} MiB: is it a properties file?")
    if text.startswith(BYTE_ORDER_MARK.encode().decode("iso-8859-1")):
        raise PropertiesError(f"{path} {BEGINS_WITH_MARK}")
    try:
        return parse_properties(text)
    except PropertiesError as error:
        raise PropertiesError(f"{path}: {error}") from error


def parse_properties(text: str) -> dict[str, str]:
    """The properties in the text of a ``.properties`` file. Source: java.util.Properties#load."""
    properties = {}
    for line in _logical_lines(text):
        key = _KEY.match(line)
        assert key is not None  # the pattern matches the empty string
        properties[_unescape(key[1])] = _unescape(line[key.end() :])
    return properties


def _logical_lines(text: str) -> Iterator[str]:
    """Lines without comments and blank ones; those that end in an odd number of backslashes joined with the next."""
    unfinished: str | None = None
    for natural in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = natural.lstrip(" \t\f")
        if unfinished is None:
            if not line or line[0] in "#!":
                continue
            unfinished = ""
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            unfinished += line[:-1]
        else:
            yield unfinished + line
            unfinished = None
    if unfinished:
        yield unfinished


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_escaped_character, text)
    # Characters beyond the first plane are written as two \\u escapes, a surrogate pair.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped_character(escape: re.Match[str]) -> str:
    name = escape[1]
    if len(name) == 5:
        return chr(int(name[1:], 16))
    if name == "u":
        raise PropertiesError("Malformed \\uxxxx encoding.")
    return _NAMED_ESCAPES.get(name, name)
