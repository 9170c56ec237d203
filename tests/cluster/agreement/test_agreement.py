"""The claim that a script behaves alike four ways, measured. README.md says how scripts are written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster.agreement import ways
from tests.support import apache
from tests.support.served import Served

LIST = Path(__file__).resolve().parents[3] / "COMPAT.agreement.md"
WAYS: tuple[ways.Way, ...] = ("cluster", "directory", "port")

WITH_ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_four_agree(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Every difference is mended or has its reason written beside the command."""
    wanted = ways.commands()
    # 0, as the broker of a directory. Apache's tools mostly wait: two of them run beside each other.
    with (
        apache.Broker(WITH_ACLS, node_id=0) as broker,
        Served(tmp_path / "served") as served,
        ThreadPoolExecutor() as pool,
    ):
        there = pool.submit(lambda: list(ways.on_apache(broker.bootstrap, wanted)))
        on_port = list(ways.on_apache(served.address, wanted))
        theirs = there.result()
        code, told = served.stop()
    assert code == 143 and "unexpected" not in told, (code, told)
    with apache.Broker(WITH_ACLS, node_id=0) as broker:
        on_cluster = list(ways.on_ours(broker.bootstrap, {"PYKAFKA_EMBED": ""}, tmp_path, wanted))
    embedded = {"PYKAFKA_EMBED": ways.ADDRESS, "PYKAFKA_DATA_DIR": str(tmp_path / "data")}
    on_directory = list(ways.on_ours(ways.ADDRESS, embedded, tmp_path, wanted))

    agreeing = listed = 0
    problems: list[str] = []
    for command, their, *ours in zip(wanted, theirs, on_cluster, on_directory, on_port, strict=True):
        for way, our in zip(WAYS, ours, strict=True):
            same = ways.same(our, their)
            reason = command.listed.get(way)
            if same and reason is None:
                agreeing += 1
            elif not same and reason is not None:
                listed += 1
            elif same:
                problems.append(f"{command.where} {command}\n  {way}: listed as different, and is not: {reason}")
            else:
                problems.append(f"{command.where} {command}\n  {way}: {our}\n  Apache:  {their}")
    record_property(
        "figure",
        f"agreement: {len(wanted)} command lines, {agreeing + listed + len(problems)} comparisons: "
        f"{agreeing} agreeing, {listed} listed, {len(problems)} not listed",
    )
    assert not problems, "\n".join(problems)


def test_what_is_listed_is_documented(pytestconfig: pytest.Config) -> None:
    """COMPAT.agreement.md is written from the scripts, by ``pytest --accept``."""
    text = document(ways.commands())
    if pytestconfig.getoption("--accept"):
        LIST.write_text(text)
    assert LIST.read_text() == text


def document(commands: list[ways.Command]) -> str:
    """The listed differences, those with one reason together."""
    rows: dict[tuple[str, str], list[str]] = {}
    for command in commands:
        for reason in dict.fromkeys(command.listed.values()):
            which = " and ".join(way for way in WAYS if command.listed.get(way) == reason)
            rows.setdefault((which, reason), []).append(f"`{command}`".replace("|", "\\|"))
    head = (
        "## Where the four ways differ\n\n"
        "Command lines of tests/cluster/agreement that do not print or exit as Apache Kafka's own tools do on a "
        "broker: on a cluster through us, on a directory, or with Apache's tools on the port of `pykafka serve`. "
        "Written by `pytest --accept tests/cluster/agreement`.\n\n"
        "| where | why | command lines |\n|---|---|---|\n"
    )
    return head + "".join(
        f"| {which} | {reason} | {'<br>'.join(lines)} |\n" for (which, reason), lines in sorted(rows.items())
    )
