"""The judgement: what the workers were told, against what is there in the end. Pure; it opens nothing.

In Jepsen's manner: workers wrote down what they were told as they were told it, and the model says which histories a
log may have. It is a plain one: a partition is a list of records, each at an offset of its own for ever. Retention
takes from its front; compaction takes a record whose key has a newer one; nothing else takes, adds, moves or changes
any.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from tests.storm.records import Name, name_of

Partition = tuple[str, int]


class Log(NamedTuple):
    """What a partition holds in the end."""

    start: int
    end: int
    values: dict[int, bytes | None]
    """By offset."""


class Event(NamedTuple):
    who: str
    """The worker's file."""
    what: str
    words: Sequence[Any]


class Checker:
    def __init__(
        self,
        logs: Mapping[Partition, Log],
        events: Iterable[Event],
        *,
        steady: Iterable[str],
        keyed: Iterable[str],
        replicated: Iterable[str],
    ) -> None:
        self.problems: list[str] = []
        self.counts: dict[str, int] = defaultdict(int)
        self._logs = logs
        self._events = list(events)
        self._steady = set(steady)
        self._keyed = set(keyed)
        self._replicated = set(replicated)
        self._names: dict[Partition, dict[int, Name]] = {}
        self._places: dict[Name, list[tuple[Partition, int]]] = defaultdict(list)
        self._newest: dict[Partition, dict[str, int]] = defaultdict(dict)
        """Key -> the offset of its newest record."""

    def check(self) -> list[str]:
        for here, log in self._logs.items():
            self._check_log(here, log)
        self._check_acknowledged()
        self._check_seen()
        self._check_offsets()
        self._check_groups()
        self._check_made()
        return self.problems

    def _require(self, condition: bool, text: str) -> None:
        if not condition:
            self.problems.append(text)

    # ------------------------------------------------------------------------------------------------------ one log

    def _check_log(self, here: Partition, log: Log) -> None:
        """Every record is whole and where it belongs, there once, and in its writer's order."""
        names = self._names[here] = {}
        last: dict[str, int] = {}
        for offset, value in log.values.items():
            try:
                name = name_of(value)
            except ValueError as error:
                self._require(False, f"changed: {here} offset {offset}: {error}")
                continue
            names[offset] = name
            self._places[name].append((here, offset))
            self._newest[here][name.key] = offset
            self._require(name.belongs(*here), f"elsewhere: {here} offset {offset} holds {name}")
            before = last.get(name.writer, -1)
            self._require(before != name.number, f"doubled: {here} offset {offset} holds {name} again")
            self._require(before <= name.number, f"reordered: {here} offset {offset} holds {name} after {before}")
            last[name.writer] = name.number
        self.counts["records"] += len(names)
        if here[0] not in self._keyed:
            self._require(list(log.values) == list(range(log.start, log.end)), f"gaps: {here} from {log.start}")
        if here[0] in self._steady:
            self._require(log.start == 0, f"lost: {here} begins at {log.start}, and nothing may take from it")

    def _agrees(self, here: Partition, offset: int, writer: str, number: int) -> str | None:
        """Why a record that somebody was told of or saw can't have been there, if so."""
        log, names = self._logs.get(here), self._names.get(here, {})
        if log is None:
            return f"{here} is not there"
        if offset in names:
            found = names[offset]
            same = (found.writer, found.number) == (writer, number)
            return None if same else f"{here} offset {offset} was {writer}:{number} and is {found}"
        if here[0] in self._steady or offset >= log.end:
            return f"{here} offset {offset} was {writer}:{number} and is gone"
        if here[0] in self._keyed:
            # Which key it had is not known any more; that its key has a newer record is checked where it was sent.
            return None
        return None if offset < log.start else f"{here} offset {offset} was {writer}:{number} and is gone"

    def _check_acknowledged(self) -> None:
        for event in self._events:
            if event.what != "ack":
                continue
            topic, partition, offset, first, keys, writer, acks = event.words
            here = topic, partition
            if acks != "all" and topic in self._replicated:
                # Such a record is at those in sync, and not shown while they are fewer than min.insync.replicas: then
                # one that is eligible and lacks it may lead after them, as in Kafka (KIP-966). Of a topic that is not
                # in ``replicated``, min.insync.replicas has to be 1 for that: it is on more brokers while it is moved.
                self.counts["acknowledged by the leader alone"] += len(keys)
                continue
            self.counts["acknowledged"] += len(keys)
            for i, key in enumerate(keys):
                problem = self._agrees(here, offset + i, writer, first + i)
                self._require(problem is None, f"lost: acknowledged to {event.who}: {problem}")
                if topic in self._keyed and offset + i not in self._names.get(here, {}):
                    newest = self._newest[here].get(key, -1)
                    self._require(newest > offset + i, f"lost: {here} offset {offset + i} was the newest of {key}")

    def _check_seen(self) -> None:
        """Whoever read something read what is there still, in order of offsets."""
        for event in self._events:
            if event.what != "saw" and not event.what.startswith("gave "):
                continue
            topic, partition, offsets, names = event.words
            self.counts["seen"] += len(offsets)
            self._require(offsets == sorted(set(offsets)), f"reordered: {event.who} read {topic} {offsets}")
            for offset, text in zip(offsets, names, strict=True):
                writer, number = text.rsplit(":", 1)
                problem = self._agrees((topic, partition), offset, writer, int(number))
                self._require(problem is None, f"seen and taken away: {event.who}: {problem}")

    # --------------------------------------------------------------------------------------------- offsets and groups

    def _check_offsets(self) -> None:
        """First offsets and commits never go back, and no end was seen beyond the last one. One observer looks.

        An end may go back for a while: who leads after a leader that is gone can't tell how much of what it has was
        shown, and shows no more while there are fewer replicas in sync than min.insync.replicas (KIP-966).
        """
        latest: dict[tuple[str, str], int] = {}
        leaders: dict[str, deque[object]] = defaultdict(partial(deque, maxlen=4))
        """Who led a partition lately, for whoever has to find out why: leader, epoch, in sync, eligible."""

        def forwards(kind: str, where: str, at: int, who: str) -> None:
            before = latest.get((kind, where), 0)
            led = f"; led by {[*leaders[where]]}" if leaders[where] else ""
            self._require(at >= before, f"backwards: {kind} of {where} was {before}, then {at} ({who}{led})")
            latest[kind, where] = at

        for event in self._events:
            if event.what == "offsets":
                for where, (start, end) in event.words[0].items():
                    forwards("start", where, start, event.who)
                    latest["end", where] = max(end, latest.get(("end", where), 0))
                    self._require(start <= end, f"backwards: {where} from {start} to {end}")
                    self.counts["looks"] += 1
            elif event.what == "led":
                for where, led in event.words[0].items():
                    if not leaders[where] or leaders[where][-1] != led:
                        leaders[where].append(led)
            elif event.what == "committed":
                group, found = event.words
                for where, offset in found.items():
                    forwards(f"commit of {group}", where, offset, event.who)
        for (topic, partition), log in self._logs.items():
            forwards("start", f"{topic}-{partition}", log.start, "in the end")
            forwards("end", f"{topic}-{partition}", log.end, "in the end")

    def _check_groups(self) -> None:
        """What a group has committed, some member was given: nothing was passed over."""
        given: dict[tuple[str, str], set[int]] = defaultdict(set)
        committed: dict[tuple[str, str], int] = {}
        for event in self._events:
            if event.what.startswith("gave "):
                topic, partition, offsets, _ = event.words
                given[event.what[5:], f"{topic}-{partition}"].update(offsets)
                self.counts["given"] += len(offsets)
            elif event.what == "committed":
                group, found = event.words
                committed |= {(group, where): offset for where, offset in found.items()}
        for (group, where), offset in committed.items():
            missing = set(range(offset)) - given[group, where]
            self._require(
                not missing, f"passed over: {group} committed {offset} of {where}, nobody had {sorted(missing)[:5]}"
            )

    # ------------------------------------------------------------------------------------------ topics made and deleted

    def _check_made(self) -> None:
        """A topic of one maker's own is as it was told last; what it was told to hold, it held."""
        state: dict[str, str] = {}
        filled: dict[str, tuple[str, int]] = {}
        held: dict[str, list[str]] = {}
        values: dict[str, str] = {}
        for event in self._events:
            name = event.words[0] if event.words else ""
            match event.what:
                case "try":
                    state[name] = f"{state.get(name, 'deleted')}?"
                case "made" | "there" | "gone" | "deleted":
                    was = state.get(name, "deleted?")[:-1]
                    wrong = {"made": ["made"], "there": ["deleted"], "gone": ["made"]}.get(event.what, [])
                    self._require(was not in wrong, f"topic {name} was {was}, and is {event.what} ({event.who})")
                    state[name] = "made" if event.what in ("made", "there") else "deleted"
                    held[name] = []
                    self.counts["made"] += event.what == "made"
                case "extended" | "set":
                    state[name] = "made"
                    if event.what == "set":
                        values[name] = event.words[1]
                case "value":
                    self._require(event.words[1:] == [values[name]], f"{name} was set to {values[name]}: {event.words}")
                case "filled":
                    filled[name] = event.words[2], event.words[1]
                case "holds":
                    held[name] += event.words[3]
                case "read":
                    writer, count = filled[name]
                    wanted = [f"{writer}:{i}" for i in range(count)]
                    self._require(held[name] == wanted, f"{name} holds {held[name]} and not {wanted} ({event.who})")
        self.state = state

    def check_topics(self, there: set[str]) -> None:
        """Which topics of the makers there are in the end."""
        for name, state in self.state.items():
            if not state.endswith("?"):
                self._require((state == "made") == (name in there), f"topic {name} is {state} as {there} are there")

    # ------------------------------------------------------------------------------------------------------------ tools

    def check_produced(self, sent: Iterable[bytes], who: str) -> None:
        """All that a console producer which ended well was given is there, each once."""
        for value in sent:
            name = name_of(value)
            places = self._places.get(name, [])
            taken = name.topic not in self._steady and not places
            self._require(taken or len(places) == 1, f"lost or doubled: {name} of {who} is at {places}")
            self.counts["produced by tools"] += 1

    def check_printed(self, lines: Iterable[bytes], who: str) -> None:
        for line in lines:
            try:
                name_of(line)
                self.counts["printed by tools"] += 1
            except ValueError as error:
                self._require(False, f"changed: {who} printed {error}")

    def check_mirror(self, copies: Mapping[Partition, Log]) -> None:
        """A copy holds what the source holds, record for record."""
        for here, log in self._logs.items():
            if here[0] in self._steady:
                copy = copies.get(here)
                values = list(copy.values.values()) if copy else None
                self._require(values == list(log.values.values()), f"the mirror of {here} is another")
                self.counts["mirrored"] += len(log.values)

    def check_error_output(self, text: str, code: int, who: str) -> None:
        """No tool ends in what it did not foresee."""
        self._require(code in (0, 1, 130, -9), f"{who} ended with {code}: {text}")
        self._require(re.search(r"Traceback|Exception ignored", text) is None, f"{who} has a traceback: {text}")
