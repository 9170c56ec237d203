"""The checker sees each kind of wrong: else a storm that passes says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.storm.checker import Checker, Event, Log
from tests.storm.records import Name, name_of, value_of

STEADY, KEYED, SHORT = ("steady", 0), ("keyed", 0), ("short", 0)


class World:
    """Three partitions of four records of writer ``w`` each, and what was said of them; to be spoilt by a test."""

    def __init__(self) -> None:
        self.values = {
            here: {i: value_of(Name("w", *here, i, f"k{i % 2}"), 20) for i in range(4)}
            for here in (STEADY, KEYED, SHORT)
        }
        self.starts = {SHORT: 0}
        self.events: list[Event] = []
        for here in self.values:
            self.say("ack", *here, 0, 0, ["k0", "k1", "k0", "k1"], "w", "all")
            self.say("saw", *here, [0, 1, 2, 3], ["w:0", "w:1", "w:2", "w:3"])
        self.say("gave g", *STEADY, [0, 1, 2], ["w:0", "w:1", "w:2"])
        self.say("offsets", {"steady-0": [0, 4]})
        self.say("committed", "g", {"steady-0": 3})
        self.say("try", "mine")
        self.say("made", "mine", "id")
        self.say("filled", "mine", 2, "w")
        self.say("holds", "mine", 0, [0, 1], ["w:0", "w:1"])
        self.say("read", "mine", 2, 2)

    def say(self, what: str, *words: Any) -> None:
        self.events.append(Event("who", what, words))

    def checker(self) -> Checker:
        logs = {here: Log(self.starts.get(here, 0), 4, dict(found)) for here, found in self.values.items()}
        return Checker(logs, self.events, steady=["steady"], keyed=["keyed"], replicated=["short"])

    def problems(self) -> list[str]:
        return self.checker().check()


def test_a_right_history_has_no_problem() -> None:
    world = World()
    del world.values[KEYED][0], world.values[KEYED][1]  # compacted: their keys have newer records
    del world.values[SHORT][0]  # retention
    world.starts[SHORT] = 1
    checker = world.checker()
    assert checker.check() == []
    assert checker.counts["acknowledged"] == 12
    assert checker.counts["seen"] == 15


def test_what_the_leader_alone_acknowledged_may_go_with_it() -> None:
    world = World()
    world.say("ack", *SHORT, 2, 9, ["k0"], "other", "1")
    assert world.problems() == []
    world.say("ack", *SHORT, 2, 9, ["k0"], "other", "all")
    assert len(world.problems()) == 1


def _lost(world: World) -> None:
    del world.values[STEADY][3]


def _lost_though_one_replica_was_enough(world: World) -> None:
    world.events = []
    world.say("ack", *STEADY, 2, 9, ["k0"], "other", "1")


def _lost_at_the_front(world: World) -> None:
    del world.values[STEADY][0]
    world.starts[STEADY] = 1


def _lost_of_a_short_one(world: World) -> None:
    del world.values[SHORT][2]


def _newest_of_a_key_lost(world: World) -> None:
    del world.values[KEYED][3]


def _doubled(world: World) -> None:
    world.events = []
    world.values[STEADY][3] = world.values[STEADY][2]


def _reordered(world: World) -> None:
    world.events = []
    values = world.values[STEADY]
    values[1], values[2] = values[2], values[1]


def _changed(world: World) -> None:
    world.values[STEADY][1] = world.values[STEADY][1].replace(b"xxx", b"xyx")


def _elsewhere(world: World) -> None:
    world.values[STEADY][1] = value_of(Name("w", "steady", 1, 1, "k1"))


def _another_one(world: World) -> None:
    world.values[STEADY][1] = value_of(Name("other", "steady", 0, 0, "k1"))


def _seen_and_taken_away(world: World) -> None:
    world.say("saw", *STEADY, [3], ["other:7"])


def _seen_beyond_the_end(world: World) -> None:
    world.say("saw", *STEADY, [4], ["w:4"])


def _read_backwards(world: World) -> None:
    world.say("saw", *STEADY, [1, 0], ["w:1", "w:0"])


def _commit_backwards(world: World) -> None:
    world.say("committed", "g", {"steady-0": 2})


def _start_backwards(world: World) -> None:
    world.say("offsets", {"short-0": [2, 4]})
    world.say("offsets", {"short-0": [1, 4]})


def _an_end_that_is_not_there(world: World) -> None:
    world.say("offsets", {"steady-0": [0, 5]})


def _passed_over(world: World) -> None:
    world.say("committed", "g", {"steady-0": 4})


def _made_is_gone(world: World) -> None:
    world.say("try", "mine")
    world.say("gone", "mine")


def _deleted_is_there(world: World) -> None:
    for what in ("try", "deleted", "try", "there"):
        world.say(what, "mine")


def _holds_of_before(world: World) -> None:
    world.say("filled", "mine", 1, "w")
    world.say("holds", "mine", 0, [0, 1], ["old:0", "w:0"])
    world.say("read", "mine", 2, 2)


def _setting_forgotten(world: World) -> None:
    world.say("set", "mine", "7")
    world.say("value", "mine", "9")


@pytest.mark.parametrize(
    "spoil",
    [
        _lost,
        _lost_though_one_replica_was_enough,
        _lost_at_the_front,
        _lost_of_a_short_one,
        _newest_of_a_key_lost,
        _doubled,
        _reordered,
        _changed,
        _elsewhere,
        _another_one,
        _seen_and_taken_away,
        _seen_beyond_the_end,
        _read_backwards,
        _commit_backwards,
        _start_backwards,
        _an_end_that_is_not_there,
        _passed_over,
        _made_is_gone,
        _deleted_is_there,
        _holds_of_before,
        _setting_forgotten,
    ],
)
def test_what_is_wrong_is_seen(spoil: Callable[[World], None]) -> None:
    world = World()
    spoil(world)
    assert world.problems() != []


def test_what_is_known_of_a_topic_is_compared_with_what_is_there() -> None:
    checker = World().checker()
    assert checker.check() == []
    checker.check_topics({"mine"})
    assert checker.problems == []
    checker.check_topics(set())
    assert len(checker.problems) == 1


def test_what_tools_did_is_judged() -> None:
    world = World()
    checker = world.checker()
    checker.check()
    checker.check_produced([world.values[STEADY][0]], "a tool")
    checker.check_printed([world.values[STEADY][0]], "a tool")
    checker.check_error_output("no space left", 1, "a tool")
    copies = {STEADY: Log(0, 4, dict(world.values[STEADY]))}
    checker.check_mirror(copies)
    assert checker.problems == []
    checker.check_produced([value_of(Name("t1", *STEADY, 0, "-"))], "a tool")
    checker.check_printed([b"half a rec"], "a tool")
    checker.check_error_output("", 70, "a tool")
    checker.check_error_output("Traceback (most recent call last):", 1, "a tool")
    copies[STEADY].values.pop(2)
    checker.check_mirror(copies)
    assert len(checker.problems) == 5


def test_a_value_says_what_it_is_unless_a_bit_of_it_changed() -> None:
    name = Name("7.1", "steady", 3, 12, "k1")
    value = value_of(name, 30)
    assert name_of(value) == name
    for at in range(len(value)):
        spoilt = bytearray(value)
        spoilt[at] ^= 1
        with pytest.raises(ValueError, match="no record of the storm"):
            name_of(bytes(spoilt))
    with pytest.raises(ValueError, match="no record of the storm"):
        name_of(None)
