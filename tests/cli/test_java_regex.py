"""Patterns mean what they mean to Java, are refused where Java refuses them, or name what can't be translated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pykafka_cli.java import regex as java_regex
from pykafka_cli.java.regex import InvalidRegexError, UnsupportedRegexError
from pykafka_cli.tool.topic_filter import TopicFilter

JAVA = (Path(__file__).parent.parent / "data" / "java_regex.tsv").read_text("utf-8").split("\n")
TEXTS = next(line for line in JAVA if line.startswith("# texts\t")).split("\t")[1:]


def java_cases() -> list[tuple[str, str, str]]:
    """Pattern, what Java makes of it, and what we make of it where that differs."""
    cases = [(*line.split("\t"), "")[:3] for line in JAVA if line and not line.startswith("# ")]
    assert len(cases) > 500
    return cases


@pytest.mark.parametrize(("pattern", "java", "ours"), java_cases())
def test_a_pattern_means_what_it_means_to_java(pattern: str, java: str, ours: str) -> None:
    if ours == "unsupported":
        with pytest.raises(UnsupportedRegexError, match=f"^{re.escape(pattern)} uses .*, which is not supported here"):
            java_regex.compile(pattern)
    elif ours == "refused" or java == "invalid":
        with pytest.raises(InvalidRegexError, match=f"^{re.escape(pattern)} is an invalid regex.$"):
            java_regex.compile(pattern)
    else:
        compiled = java_regex.compile(pattern)
        matched = [text for text in TEXTS if compiled.fullmatch(text)]
        assert matched == [text for bit, text in enumerate(TEXTS) if int(java, 16) >> bit & 1]


def test_only_what_nobody_writes_is_refused_against_java() -> None:
    """A quantifier on an anchor, on another quantifier or on nothing, and a group that refers to itself."""
    refused = [pattern for pattern, _java, ours in java_cases() if ours == "refused"]
    silly = re.compile(r"(^|[|)^$+*?}]|\\[bz]|\(\?-?i\))([*+?]|\{[0-9])|\(\\1")
    assert [pattern for pattern in refused if not silly.search(pattern)] == []


@pytest.mark.parametrize(
    ("pattern", "construct"),
    [
        ("[a-z&&[^b]]", "the class intersection &&"),
        ("[a[^b]]", "a negated class within a class"),
        (r"\p{IsGreek}", r"\p{IsGreek}"),
        (r"\X", r"\X"),
        (r"\Ga", r"\G"),
        ("(?x)a b", "the flag x"),
        ("(?<=a+)b", "a look-behind of varying length"),
    ],
)
def test_what_can_not_be_translated_is_named(pattern: str, construct: str) -> None:
    with pytest.raises(UnsupportedRegexError) as refused:
        java_regex.compile(pattern)
    assert str(refused.value) == f"{pattern} uses {construct}, which is not supported here."


@pytest.mark.parametrize("pattern", ["(" * 20_000, "[" * 20_000, "a{99999999999}", "a{3,2}", "\\"])
def test_a_hostile_pattern_is_refused_and_breaks_nothing(pattern: str) -> None:
    with pytest.raises(InvalidRegexError):
        java_regex.compile(pattern)


@pytest.mark.parametrize(
    ("raw", "regex"),
    [
        ("a,b", "a|b"),
        (" a , b ", "a|b"),
        ("'a,b'", "a|b"),
        ("\"'a b'\"", "ab"),
        ("\ta\n", "a"),
        ("'", ""),
        ("it's", "it's"),
        ("a\tb", "a\tb"),
    ],
)
def test_a_filter_is_cleaned_as_kafka_cleans_it(raw: str, regex: str) -> None:
    assert TopicFilter(raw).regex == regex


def test_a_filter_matches_whole_names() -> None:
    """Source: TopicFilterTest.testIncludeLists."""
    two = TopicFilter("yes1,yes2")
    assert two.allows("yes2")
    assert not two.allows("no1")
    assert not two.allows("yes")
    assert not two.allows("yes11")
    dynamic = TopicFilter(r"test-(?!bad\b)[\w]+")
    assert dynamic.allows("test-good")
    assert not dynamic.allows("test-bad")
    assert TopicFilter("").allows("") and not TopicFilter("").allows("a")


def test_internal_topics_are_left_out_on_request() -> None:
    everything = TopicFilter(".*")
    assert everything.allows("__consumer_offsets")
    assert not everything.allows("__consumer_offsets", exclude_internal=True)
    assert everything.allows("__mine", exclude_internal=True)


def test_an_invalid_filter_is_reported_as_it_was_cleaned() -> None:
    with pytest.raises(InvalidRegexError, match=r"^\[a\|b is an invalid regex\.$"):
        TopicFilter("'[a, b")
