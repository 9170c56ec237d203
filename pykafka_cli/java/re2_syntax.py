"""Whether a text is a regular expression by RE2's rules, which brokers apply to what consumers subscribe to (KIP-848).

It is only read, never matched. The rules and the words for what breaks them are those of RE2/J 1.8, the library that
Apache Kafka 4.3 comes with: com.google.re2j.Parser.

>>> problem("orders-[0-9]+")
>>> problem("orders-[0-9")
'missing closing ]'
"""

from __future__ import annotations

import re
from typing import NoReturn

_INTERNAL = "regexp/syntax: internal error"
_BAD_RANGE = "invalid character class range"
_BAD_ESCAPE = "invalid escape sequence"
_BAD_NAME = "invalid named capture"
_DUPLICATE_NAME = "duplicate capture group name"
_BAD_PERL = "invalid or unsupported Perl syntax"
_NESTED_REPEAT = "invalid nested repetition operator"
_BAD_REPEAT = "invalid repeat count"
_NO_BRACKET = "missing closing ]"
_NO_PAREN = "missing closing )"
_NOTHING_TO_REPEAT = "missing argument to repetition operator"
_TRAILING_BACKSLASH = "trailing backslash at end of expression"

_MOST_REPEATS = 1000
_COUNT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}")
_GROUP_NAME = re.compile(r"\(\?P?<([^>]*)>")
_FLAGS = re.compile(r"\(\?(?:[imsU]*|[imsU]*-[imsU]+)[:)]")
_ESCAPED = re.compile(
    r"\\(?:(?P<itself>[^0-9A-Za-z])|(?P<octal>[1-7][0-7]{1,2}|0[0-7]{0,2})|x(?P<hex>[0-9a-fA-F]{2})"
    r"|x\{(?P<long_hex>[0-9a-fA-F]+)\}|(?P<letter>[afnrtv]))",
    re.DOTALL,
)
_LETTERS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_POSIX_CLASS = re.compile(r"\[(?=:)(.*?):\]", re.DOTALL)  # one colon may do for both
_POSIX_NAMES = re.compile("alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit")
_UNICODE_CLASS = re.compile(r"\\[pP](?:\{\^?([^}]*)\}|([^{]))", re.DOTALL)
_UNICODE_NAMES = """
    Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs
    Arabic Armenian Avestan Balinese Bamum Batak Bengali Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal
    Carian Cham Cherokee Common Coptic Cuneiform Cypriot Cyrillic Deseret Devanagari Egyptian_Hieroglyphs Ethiopic
    Georgian Glagolitic Gothic Greek Gujarati Gurmukhi Han Hangul Hanunoo Hebrew Hiragana Imperial_Aramaic Inherited
    Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kayah_Li Kharoshthi Khmer Lao Latin
    Lepcha Limbu Linear_B Lisu Lycian Lydian Malayalam Mandaic Meetei_Mayek Mongolian Myanmar New_Tai_Lue Nko Ogham
    Ol_Chiki Old_Italic Old_Persian Old_South_Arabian Old_Turkic Oriya Osmanya Phags_Pa Phoenician Rejang Runic
    Samaritan Saurashtra Shavian Sinhala Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Tamil
    Telugu Thaana Thai Tibetan Tifinagh Ugaritic Unknown Vai Yi
"""


def problem(pattern: str) -> str | None:
    """What is wrong with a pattern; None if nothing is."""
    try:
        _Check(pattern).whole()
    except _SyntaxProblem as found:
        return str(found)
    return None


class _SyntaxProblem(Exception):  # noqa: N818 - it is the answer, no error of ours
    pass


class _Check:
    """One pass over a pattern, in RE2/J's order, so that the first problem is the one that it names."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.names: set[str] = set()

    def whole(self) -> None:
        repeatable = False  # whether something stands here that a repetition can be of
        after_repeat = False
        enclosing: list[bool] = []
        while self.at < len(self.pattern):
            was_repeat, after_repeat = after_repeat, False
            match self.pattern[self.at]:
                case "(":
                    if self._group():
                        enclosing.append(repeatable)
                        repeatable = False
                case ")":
                    if not enclosing:
                        self._fail(_INTERNAL)
                    enclosing.pop()
                    self.at += 1
                    repeatable = True
                case "|":
                    self.at += 1
                    repeatable = False
                case "[":
                    self._bracket_class()
                    repeatable = True
                case "*" | "+" | "?":
                    self.at += 1
                    self._repeat(was_repeat, repeatable)
                    after_repeat = True
                case "{":
                    after_repeat = True  # in RE2/J even where it turns out to be an ordinary character
                    if self._count():
                        self._repeat(was_repeat, repeatable)
                    else:
                        self.at += 1
                        repeatable = True
                case "\\":
                    repeatable = self._escape() or repeatable
                case _:
                    self.at += 1
                    repeatable = True
        if enclosing:
            self._fail(_NO_PAREN)

    @staticmethod
    def _fail(what: str) -> NoReturn:
        raise _SyntaxProblem(what)

    def _looking_at(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def _group(self) -> bool:
        """A parenthesis; whether it is one that must be closed, and not just flags."""
        if not self._looking_at("(?"):
            self.at += 1
            return True
        if self._looking_at("(?P<") or self._looking_at("(?<"):
            named = _GROUP_NAME.match(self.pattern, self.at)
            if named is None or not re.fullmatch("[A-Za-z0-9_]+", named[1]):
                self._fail(_BAD_NAME)
            if named[1] in self.names:
                self._fail(_DUPLICATE_NAME)
            self.names.add(named[1])
            self.at = named.end()
            return True
        flags = _FLAGS.match(self.pattern, self.at)
        if flags is None:
            self._fail(_BAD_PERL)
        self.at = flags.end()
        return flags[0].endswith(":")

    def _count(self) -> bool:
        """``{n}``, ``{n,}`` or ``{n,m}``; false if the brace is an ordinary character."""
        count = _COUNT.match(self.pattern, self.at)
        if count is None:
            return False
        least = _repeats(count[1])
        most = _repeats(count[3]) if count[3] else _MOST_REPEATS if count[2] else least
        if most > _MOST_REPEATS or least > most:
            self._fail(_BAD_REPEAT)
        self.at = count.end()
        return True

    def _repeat(self, was_repeat: bool, repeatable: bool) -> None:
        if self._looking_at("?"):  # the reluctant form
            self.at += 1
        if was_repeat:
            self._fail(_NESTED_REPEAT)
        if not repeatable:
            self._fail(_NOTHING_TO_REPEAT)

    def _escape(self) -> bool:
        """A backslash outside of a class; whether it stands for something that can be repeated."""
        letter = self.pattern[self.at + 1 : self.at + 2]
        if letter == "Q":
            end = self.pattern.find("\\E", self.at + 2)
            quoted = self.pattern[self.at + 2 : end if end >= 0 else len(self.pattern)]
            self.at += 2 + len(quoted) + 2
            return bool(quoted)
        if letter in ("A", "b", "B", "z"):
            self.at += 2
        elif not self._named_class():
            self._character()
        return True

    def _named_class(self) -> bool:
        r"""``\p{Greek}`` or ``\d``, if one stands here."""
        if self._looking_at("\\p") or self._looking_at("\\P"):
            found = _UNICODE_CLASS.match(self.pattern, self.at)
            if found is None:
                self._fail(_BAD_RANGE)
            name = found[2] if found[1] is None else found[1]
            if name not in _UNICODE_NAMES.split():
                self._fail(_BAD_RANGE)
            self.at = found.end()
            return True
        if self.pattern[self.at : self.at + 1] == "\\" and self.pattern[self.at + 1 : self.at + 2] in tuple("dDsSwW"):
            self.at += 2
            return True
        return False

    def _character(self) -> int:
        """One character, escaped or not: its code point."""
        if not self._looking_at("\\"):
            self.at += 1
            return ord(self.pattern[self.at - 1])
        if self.at + 1 == len(self.pattern):
            self._fail(_TRAILING_BACKSLASH)
        escaped = _ESCAPED.match(self.pattern, self.at)
        code = -1
        if escaped is not None:
            kind, text = escaped.lastgroup, escaped[escaped.lastgroup or 0]
            if kind == "itself":
                code = ord(text)
            elif kind == "letter":
                code = _LETTERS[text]
            else:
                code = int(text, 8 if kind == "octal" else 16)
        if escaped is None or not 0 <= code <= 0x10FFFF:
            self._fail(_BAD_ESCAPE)
        self.at = escaped.end()
        return code

    def _bracket_class(self) -> None:
        """``[...]``."""
        self.at += 2 if self._looking_at("[^") else 1
        first = True  # a ] in the first place is an ordinary character
        while first or not self._looking_at("]"):
            first = False
            posix = _POSIX_CLASS.match(self.pattern, self.at)
            if posix is not None:
                if not _POSIX_NAMES.fullmatch(posix[1].removeprefix(":").removeprefix("^")):
                    self._fail(_BAD_RANGE)
                self.at = posix.end()
            elif not self._named_class():
                low = self._class_character()
                if self._looking_at("-") and not self._looking_at("-]"):
                    self.at += 1
                    if self._class_character() < low:
                        self._fail(_BAD_RANGE)
        self.at += 1

    def _class_character(self) -> int:
        if self.at >= len(self.pattern):
            self._fail(_NO_BRACKET)
        return self._character()


def _repeats(digits: str) -> int:
    """The number, or more than is allowed for one of any length."""
    return int(digits) if len(digits) <= len(str(_MOST_REPEATS)) else _MOST_REPEATS + 1
