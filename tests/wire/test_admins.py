"""Every method of Java's Admin, against a broker and against ``pykafka serve``; what each gave, says Admins.java."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import apache
from tests.support.served import PATIENCE, Served

pytestmark = [pytest.mark.apache, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).resolve().parent / "java" / "Admins.java"

_SETTINGS = "a broker of a data directory has the settings that take effect in one"
_GROUPS = "a group of a data directory has the settings that its members take from it"
_SHARE = "there are no share groups and no Streams groups here, and what asks for them is not advertised"
_ONE = "nobody votes: a data directory has one controller, which is every process"
_TRANSACTIONS = "a data directory begins no transaction"

LISTED = {
    "describeConfigs BROKER 0": _SETTINGS,
    "describeConfigs GROUP anyone": _GROUPS,
    "incrementalAlterConfigs BROKER_LOGGER": "there are no loggers whose levels could be changed",
    "describeShareGroups": _SHARE,
    "describeStreamsGroups": _SHARE,
    "listShareGroupOffsets": _SHARE,
    "alterShareGroupOffsets": _SHARE,
    "deleteShareGroupOffsets": _SHARE,
    "addRaftVoter": _ONE,
    "removeRaftVoter": _ONE,
    "abortTransaction": _TRANSACTIONS,
    "fenceProducers": _TRANSACTIONS,
    "forceTerminateTransaction": _TRANSACTIONS,
}
"""What differs, and why that stays."""

_WITH_ACLS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    # Half a minute after its start it would delete records, as they are of 1970: on a slow machine amid the test.
    "log.initial.task.delay.ms": "3600000",
}


def _outcomes(address: str, *elsewhere: Path) -> dict[str, str]:
    """What the program said of each call; a call that is made again has a number. ``elsewhere``: see the program."""
    logging = f"-Dlog4j2.configurationFile={apache.LOGGING.as_uri()}"
    command = [
        "java",
        *apache.TOOL_FLAGS,
        logging,
        "-cp",
        apache.classpath(),
        str(PROGRAM),
        address,
        *map(str, elsewhere),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * 5)
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        name, _, told = line.partition(": ")
        key, number = name, 2
        while key in found:
            key, number = f"{name} ({number})", number + 1
        found[key] = told
    assert "forceTerminateTransaction" in found, (done.stdout, done.stderr)
    return found


def test_every_method_of_admin_has_a_brokers_outcome(served: Served, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_outcomes, served.address)
        with apache.Broker(_WITH_ACLS, node_id=0) as broker:
            ours = asked.result()
            expected = tmp_path / "expected"
            expected.write_text("".join(f"{'' if name in LISTED else told}\n" for name, told in ours.items()))
            theirs = _outcomes(broker.bootstrap, expected)
    assert list(ours) == list(theirs)
    different = {name: (ours[name], theirs[name]) for name in theirs if ours[name] != theirs[name]}
    assert {name: told for name, told in different.items() if name not in LISTED} == {}
    assert [name for name in LISTED if name not in different] == [], "listed as different, and are not"
