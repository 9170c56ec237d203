"""Java's regular expressions, as far as Python's can say the same.

Users write ``--topic`` and ``--include`` for java.util.regex.Pattern. Most of it is spelled alike in Python's ``re``;
this module translates what is not, refuses what Java refuses, and names what it can't translate. The texts matched are
topic names, which are ASCII: Unicode categories are translated to their ASCII part, and flags that change only what
non-ASCII text matches are dropped.

>>> bool(compile(r"(?<head>\\p{Lower}+)-\\Q.\\E\\z").fullmatch("ab-."))
True
"""

from __future__ import annotations

import re
from typing import NoReturn

from pykafka_cli.errors import Refusal


class InvalidRegexError(Refusal):
    """Not a regular expression, in Kafka's words."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"{pattern} is an invalid regex.")


class UnsupportedRegexError(Refusal):
    """Java would take it; here it can't be said."""

    def __init__(self, pattern: str, construct: str) -> None:
        super().__init__(f"{pattern} uses {construct}, which is not supported here.")


def compile(pattern: str) -> re.Pattern[str]:
    """Compile a Java pattern. Raises InvalidRegexError or UnsupportedRegexError."""
    try:
        # Java's \d, \w, \s and (?i) know ASCII only, unless told otherwise.
        return re.compile(_Translation(pattern).whole(), re.ASCII)
    except Refusal:
        raise
    except re.error as error:
        if "look-behind" in error.msg:
            raise UnsupportedRegexError(pattern, "a look-behind of varying length") from None
        raise InvalidRegexError(pattern) from None
    except (OverflowError, ValueError, RecursionError):  # a{9999999999}, with more digits, brackets nested too deeply
        raise InvalidRegexError(pattern) from None


_LAST = "\U0010ffff"
_HORIZONTAL = r" \t\xa0\u1680\u180e\u2000-\u200a\u202f\u205f\u3000"
_NOT_HORIZONTAL = (
    r"\x00-\x08\x0a-\x1f\x21-\x9f\xa1-\u167f\u1681-\u180d\u180f-\u1fff\u200b-\u202e"
    rf"\u2030-\u205e\u2060-\u2fff\u3001-{_LAST}"
)
_VERTICAL = r"\n\x0b\f\r\x85\u2028\u2029"
_NOT_VERTICAL = rf"\x00-\x09\x0e-\x84\x86-\u2027\u202a-{_LAST}"

# Classes by their letter: what stands between the brackets.
_LETTER_CLASSES = {
    "d": r"\d", "D": r"\D", "w": r"\w", "W": r"\W", "s": r"\s", "S": r"\S",
    "h": _HORIZONTAL, "H": _NOT_HORIZONTAL, "v": _VERTICAL, "V": _NOT_VERTICAL,
}  # fmt: skip

_LINE_END = r"\r\n|[\n\r\x85\u2028\u2029]"

# What stands for a place or a sequence, and can't be in a class.
_LETTER_PLACES = {
    "b": r"\b",
    "B": r"\B",
    "A": r"\A",
    "z": r"\Z",
    "Z": rf"(?=(?:{_LINE_END})?\Z)",
    "R": r"(?:\r\n|[\n\x0b\f\r\x85\u2028\u2029])",
}

_LETTER_CHARACTERS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}

_UPPER, _LOWER, _DIGIT = "A-Z", "a-z", "0-9"
_PUNCTUATION = r"!-/:-@\[-`{-~"
_CONTROL = r"\x00-\x1f\x7f"

# The part of each property that lies in ASCII. POSIX names first (exact in Java, too), then Unicode's and Java's.
_PROPERTIES = {
    "Lower": _LOWER, "Upper": _UPPER, "ASCII": r"\x00-\x7f", "Alpha": _UPPER + _LOWER, "Digit": _DIGIT,
    "Alnum": _UPPER + _LOWER + _DIGIT, "Punct": _PUNCTUATION, "Graph": "!-~", "Print": " -~", "Blank": r" \t",
    "Cntrl": _CONTROL, "XDigit": "0-9a-fA-F", "Space": r" \t\n\x0b\f\r",
    "L": _UPPER + _LOWER, "Lu": _UPPER, "Ll": _LOWER, "LC": _UPPER + _LOWER, "N": _DIGIT, "Nd": _DIGIT,
    "LD": _UPPER + _LOWER + _DIGIT, "P": r"!-#%-*,-/:;?@\[-\]_{}", "Pd": r"\-", "Pc": "_", "Ps": r"(\[{", "Pe": r")\]}",
    "Po": r"!-#%-'*,./:;?@\\", "S": r"$+<-> \^`|~".replace(" ", ""), "Sc": r"\$", "Sm": "+<->|~", "Sk": r"\^`",
    "Z": " ", "Zs": " ", "C": _CONTROL, "Cc": _CONTROL, "L1": r"\x00-\xff",
    "IsAlphabetic": _UPPER + _LOWER, "IsLetter": _UPPER + _LOWER, "IsDigit": _DIGIT, "IsUppercase": _UPPER,
    "IsLowercase": _LOWER, "IsPunctuation": r"!-#%-*,-/:;?@\[-\]_{}", "IsControl": _CONTROL,
    "IsWhite_Space": r" \t\n\x0b\f\r", "IsHex_Digit": "0-9a-fA-F", "IsLatin": _UPPER + _LOWER,
    "InBasicLatin": r"\x00-\x7f", "InBasic_Latin": r"\x00-\x7f",
    "javaLowerCase": _LOWER, "javaUpperCase": _UPPER, "javaLetter": _UPPER + _LOWER, "javaAlphabetic": _UPPER + _LOWER,
    "javaDigit": _DIGIT, "javaLetterOrDigit": _UPPER + _LOWER + _DIGIT,
    "javaWhitespace": r"\t-\r\x1c-\x20", "javaISOControl": r"\x00-\x1f\x7f-\x9f",
}  # fmt: skip


class _Translation:
    """One pass over a pattern, from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.groups = 0
        # Of each open group, the flag groups opened inside it: (?i) lasts to the end of its group in Java.
        self.flags: list[list[str]] = [[]]

    def whole(self) -> str:
        out: list[str] = []
        while self.at < len(self.pattern):
            out.append(self._next())
        if len(self.flags) != 1:
            self._invalid()
        return "".join(out) + ")" * len(self.flags[0])

    def _next(self) -> str:
        character = self._take()
        match character:
            case "\\":
                return self._escape()
            case "[":
                return f"[{self._class()}]"
            case "(":
                return self._open_group()
            case ")":
                if len(self.flags) == 1:
                    self._invalid()
                return ")" * len(self.flags.pop()) + ")"
            case "|":
                # Python's flag groups enclose alternatives, Java's flags run through them.
                open_here = self.flags[-1]
                return ")" * len(open_here) + "|" + "".join(open_here)
            case "{":
                repetition = re.compile(r"[0-9]+(?:,[0-9]*)?\}").match(self.pattern, self.at)
                if repetition is None:  # Python takes such a brace for itself
                    self._invalid()
                self.at = repetition.end()
                return "{" + repetition.group()
            case _:
                return character

    def _escape(self) -> str:
        if self._skip("Q"):
            return re.escape(self._quoted())
        if self._skip("k"):
            name = self._match(r"<([a-zA-Z][a-zA-Z0-9]*)>")
            return f"(?P={name.group(1)})"
        letter = self._peek()
        if letter in "123456789" and letter:
            return self._back_reference()
        if self.pattern.startswith("b{g}", self.at):
            self._unsupported(r"\b{g}")
        if letter in _LETTER_PLACES:
            self._take()
            return _LETTER_PLACES[letter]
        if letter and letter in "GX":
            self._unsupported("\\" + letter)
        characters = self._class_escape()
        if characters is not None:
            return f"[{characters}]"
        return re.escape(self._character_escape())

    def _back_reference(self) -> str:
        """One digit, and more as long as there are that many groups."""
        number = int(self._take())
        while (digit := self._peek()).isdecimal() and number * 10 + int(digit) <= self.groups:
            number = number * 10 + int(self._take())
        # In Java a group that does not exist matches nothing; the empty group keeps a digit behind it apart.
        return f"(?:\\{number})" if number <= self.groups else "(?!)"

    def _class_escape(self) -> str | None:
        r"""A class after the backslash, as what stands between brackets; None if a single character follows."""
        letter = self._peek()
        if letter and letter in "pP":
            self._take()
            return self._property(negated=letter == "P")
        if letter in _LETTER_CLASSES:
            return _LETTER_CLASSES[self._take()]
        return None

    def _property(self, *, negated: bool) -> str:
        named = self._match(r"\{([^}]*)\}|([A-Za-z])")
        name = named.group(1) or named.group(2) or ""
        # Scripts, blocks and categories may be written with a key, and categories with "Is".
        name = re.sub(r"^(?:general_category|gc)=", "", name)
        name = re.sub(r"^(?:script|sc)=", "Is", name)
        name = re.sub(r"^(?:block|blk)=", "In", name)
        ranges = _PROPERTIES.get(name) or _PROPERTIES.get(re.sub(r"^Is(?=[A-Z][a-z]?$)", "", name))
        if ranges is None:
            self._unsupported(named.string[named.start() - 2 : named.end()])
        if not negated:
            return ranges
        members = re.compile(f"[{ranges}]")
        return "".join(f"\\x{code:02x}" for code in range(128) if not members.match(chr(code))) + rf"\x80-{_LAST}"

    def _character_escape(self) -> str:
        """The one character after the backslash."""
        letter = self._take()
        if letter == "0":
            return chr(int(self._match(r"[0-3][0-7]{2}|[0-7]{1,2}").group(), 8))
        if letter == "x":
            digits = self._match(r"\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2})")
            return self._code_point(digits.group(1) or digits.group(2))
        if letter == "u":
            return self._code_point(self._match(r"[0-9a-fA-F]{4}").group())
        if letter == "c" and self._peek():
            return chr(ord(self._take()) ^ 64)
        if letter == "N":
            self._unsupported(r"\N{...}")
        if letter in _LETTER_CHARACTERS:
            return _LETTER_CHARACTERS[letter]
        if not letter or (letter.isascii() and letter.isalnum()):
            self._invalid()
        return letter

    def _code_point(self, digits: str) -> str:
        if int(digits, 16) > 0x10FFFF:
            self._invalid()
        return chr(int(digits, 16))

    def _quoted(self) -> str:
        """The text from here to the closing quote, or to the end."""
        end = self.pattern.find("\\E", self.at)
        text = self.pattern[self.at :] if end < 0 else self.pattern[self.at : end]
        self.at = len(self.pattern) if end < 0 else end + 2
        return text

    def _class(self) -> str:
        """A class from behind its bracket to its end, as what stands between Python's brackets."""
        negation = "^" if self._skip("^") else ""
        out: list[str] = []
        while True:
            if not self._peek():
                self._invalid()
            if self.pattern.startswith("&&", self.at):
                self._unsupported("the class intersection &&")
            if self._skip("]"):
                if out:
                    return negation + "".join(out)
                out.append(r"\]")  # a bracket that comes first is itself
            elif self._skip("["):
                inner = self._class()
                if inner.startswith("^"):
                    self._unsupported("a negated class within a class")
                out.append(inner)
            elif self.pattern.startswith("\\Q", self.at):
                self.at += 2
                out.extend(re.escape(character) for character in self._quoted())
            elif self._peek() == "\\" and self._is_class_escape():
                self._take()
                out.append(self._class_escape() or "")
            else:
                out.append(self._range())

    def _is_class_escape(self) -> bool:
        return self.pattern[self.at + 1 : self.at + 2] in {*_LETTER_CLASSES, "p", "P"}

    def _range(self) -> str:
        low = self._class_character()
        behind = self.pattern[self.at + 1 : self.at + 2]
        if self._peek() != "-" or behind in ("]", "[", ""):
            return re.escape(low)
        self._take()
        if self._peek() == "\\" and self._is_class_escape():
            self._invalid()
        high = self._class_character()
        if high < low:
            self._invalid()
        return f"{re.escape(low)}-{re.escape(high)}"

    def _class_character(self) -> str:
        character = self._take()
        return self._character_escape() if character == "\\" else character

    def _open_group(self) -> str:
        if not self._skip("?"):
            self.groups += 1
            return self._into_group("(")
        for opening in ("?:", "?=", "?!", "?>", "?<=", "?<!"):
            if self._skip(opening[1:]):
                return self._into_group("(" + opening)
        if self._skip("<"):
            self.groups += 1
            return self._into_group(f"(?P<{self._match(r'([a-zA-Z][a-zA-Z0-9]*)>').group(1)}>")
        flags = self._match(r"([dimsuxU]*)(?:-([dimsuxU]*))?([:)])")
        on, off, end = flags.group(1), flags.group(2) or "", flags.group(3)
        if "x" in on:
            self._unsupported("the flag x")
        # d, u and U change nothing about one line of ASCII, and x is never on.
        on, off = ("".join(sorted({*letters} & {*"ims"})) for letters in (on, off))
        on = "".join(letter for letter in on if letter not in off)
        opening = f"(?{on}{'-' + off if off else ''}:"
        if end == ":":
            return self._into_group(opening)
        self.flags[-1].append(opening)
        return opening

    def _into_group(self, opening: str) -> str:
        self.flags.append([])
        return opening

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self) -> str:
        character = self._peek()
        self.at += len(character)
        return character

    def _skip(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        if found:
            self.at += len(text)
        return found

    def _match(self, expected: str) -> re.Match[str]:
        found = re.compile(expected).match(self.pattern, self.at)
        if found is None:
            self._invalid()
        self.at = found.end()
        return found

    def _invalid(self) -> NoReturn:
        raise InvalidRegexError(self.pattern)

    def _unsupported(self, construct: str) -> NoReturn:
        raise UnsupportedRegexError(self.pattern, construct)
