"""A script of command lines, run four ways: Apache's tools on a broker, ours on a broker, ours on a directory, and
Apache's on the port of a directory.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pykafka_cli import main
from pykafka_cli.env import Env
from tests.support.apache_tools import Tools

HERE = Path(__file__).resolve().parent
ADDRESS = "localhost:9092"
"""What scripts for the directory are told; PYKAFKA_EMBED has the directory answer for it."""

Way = Literal["cluster", "directory", "port"]
"""What is compared with Apache's tools on a broker: ours on a broker, ours on a directory, theirs on our port."""


class Command(NamedTuple):
    """One command line of a script."""

    where: str
    """The file and the line."""
    tool: str
    arguments: tuple[str, ...]
    stdin: bytes
    listed: dict[Way, str]
    """The ways that differ from Apache's tools, and why that stays."""

    def __str__(self) -> str:
        return shlex.join([self.tool, *self.arguments])

    @property
    def words(self) -> list[str]:
        """The arguments, with the paths of files."""
        return [word.replace("@/", f"{HERE / 'files'}/") for word in self.arguments]


class Outcome(NamedTuple):
    """What a command line did, as far as it is compared."""

    stdout: str
    stderr: str
    """The first line, without what a log puts around it."""
    code: int


def commands() -> list[Command]:
    """All command lines of ``scripts``, in order; what is written there is described in README.md."""
    found: list[Command] = []
    for path in sorted((HERE / "scripts").iterdir()):
        prefix = path.name.partition("-")[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("~"):
                way, _, reason = text[1:].strip().partition(": ")
                for each in ("cluster", "directory") if way == "ours" else (way,):
                    found[-1].listed[each] = reason  # type: ignore[index]
                continue
            words = shlex.split(text.replace("%", f"{prefix}x"))
            stdin = b""
            if len(words) > 1 and words[1] == "|":
                stdin = words[0].encode().decode("unicode_escape").encode("latin-1")
                words = words[2:]
            found.append(Command(f"{path.name}:{number}", words[0], tuple(words[1:]), stdin, {}))
    return found


def on_apache(address: str, wanted: list[Command]) -> Iterator[Outcome]:
    """Apache's own tools, in one Java machine."""
    with Tools(address) as tools:
        for command in wanted:
            done = tools.run(command.tool, *command.words, input=command.stdin)
            stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
            yield _outcome(stdout, stderr, done.returncode, address)


def on_ours(address: str, environ: dict[str, str], folder: Path, wanted: list[Command]) -> Iterator[Outcome]:
    """Our tools in this process."""
    path = folder / "stdin"
    for command in wanted:
        path.write_bytes(command.stdin)
        out, err = io.BytesIO(), io.StringIO()
        with path.open("rb") as stdin:
            env = Env(stdin=stdin, stdout=out, stderr=err, environ={**os.environ, **environ})
            name = command.tool.removeprefix("kafka-")
            arguments = ["--bootstrap-server", address, *command.words]
            code = main.run(lambda name=name: main.load_command(name), command.tool, arguments, env)  # type: ignore[misc]
        yield _outcome(out.getvalue().decode("utf-8", "replace"), err.getvalue(), code, address)


# -------------------------------------------------------------------------------------------------------- normalising


def _outcome(stdout: str, stderr: str, code: int, address: str) -> Outcome:
    out, complaint = _without_stack(_normal(stdout, address)), _first_line(_normal(stderr, address))
    # Some of Kafka's tools print an error on stdout and log it, too.
    return Outcome(out, "" if complaint in out else complaint, code)


def _normal(text: str, address: str) -> str:
    """Without what differs from run to run: addresses, log directories, topic ids, times."""
    text = text.replace(address, "ADDRESS")
    text = re.sub(r"TopicId: [A-Za-z0-9_-]{22}", "TopicId: ID", text)
    text = re.sub(r"\b(CreateTime|LogAppendTime):1[0-9]{12}\b", r"\1:NOW", text)
    text = re.sub(r"ADDRESS +\((\d+)\) +", r"ADDRESS (\1) ", text)  # a column as wide as the address
    text = re.sub(r"(FinalizedVersionLevel: .*Epoch: )\d+", r"\1N", text)
    text = re.sub(r'("log_dirs":\[|"logDir":|from log dir )"?/[^" ]*"?', r"\1LOGDIR", text)
    return re.sub(r"\[20[0-9-]{8} [0-9:,]{12}\]", "[NOW]", text)


def _without_stack(text: str) -> str:
    bare = re.sub(_STACK, "", text, flags=re.MULTILINE)
    return text if bare == text else bare.rstrip("\n") + "\n"


_STACK = r"^(?:\tat |\t\.\.\. |Caused by: ).*\n|^(?:[a-z][\w$]*\.)+[\w$]*(?:Exception|Error)\b.*\n(?=\tat |\t\.\.\. )"
"""What Java prints of an exception after its message."""


def _first_line(stderr: str) -> str:
    if usage := re.match(r"(?s)usage: .*?\n\S+: +(error: .*)", stderr):
        return " ".join(usage[1].split())  # argparse4j breaks its lines, and calls some programs by other names
    for line in stderr.splitlines():
        if not line.strip() or re.match(_CHATTER, line):
            continue
        message = re.sub(r"^(?:\[NOW\] (?:ERROR|FATAL) )?(?:Exception in thread \"main\" )?", "", line)
        message = re.sub(r"^(?:[a-z]\w*\.)+\w+(?:Exception|Error): ", "", message)
        return re.sub(r" \([\w.$]+\)$", "", message).strip()
    return ""


# Warnings in a log, what Java's clients log by themselves, our word for the warning that a topic was missing, hints.
_CHATTER = (
    r"\[NOW\] (WARN|INFO) |(\[NOW\] ERROR )?\[(AdminClient|Consumer|Producer) clientId=|The consumer rebalance protocol"
    r"|Topic \S+ did not exist and was created|Did you mean \S+\?$"
)


def same(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes agree, but for the order of topics, of groups, and of the words in a list in an error: in
    Kafka these are a hash table's, and some change from run to run.
    """
    return one == other or (
        one.code == other.code
        and _unordered(one.stdout) == _unordered(other.stdout)
        and _words(one.stderr) == _words(other.stderr)
    )


def _words(text: str) -> list[str]:
    return sorted(re.findall(r"[^\s,\[\]]+", text))


def _unordered(text: str) -> list[str]:
    """A description by topic, a list of groups or of ACLs by line, quotas by line and word, anything else as it is."""
    if text.startswith("Topic: "):
        return sorted(re.split(r"^(?=Topic: )", text, flags=re.MULTILINE))
    if text.startswith("Quota configs "):
        return sorted(" ".join(sorted(re.findall(r"[^\s,]+", line))) for line in text.splitlines())
    return sorted(map(str.strip, text.split("\n"))) if re.match(_IN_ANY_ORDER, text) else [text]


_IN_ANY_ORDER = r"GROUP |ACLs for |(Acl|Adding ACLs|Current ACLs|Are you sure you want to remove ACLs:?) "
