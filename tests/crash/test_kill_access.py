"""kill -9 amid changes of access: a request's ACLs are all there or none, a credential is the old or the new one,
and what was acknowledged stays.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from pykafka_store import scram
from pykafka_store.access import (
    Acl,
    AclEntry,
    AclFilter,
    AclOperation,
    AclPermission,
    PatternType,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
)
from pykafka_store.embedded.cluster import EmbeddedCluster

ROUNDS = 12
TOGETHER = 5
SALT = b"s" * 20


def acls_of(request: int) -> list[Acl]:
    """The ACLs of one request, which belong together."""
    return [
        Acl(
            ResourcePattern(ResourceType.TOPIC, f"t{request}-{number}", PatternType.LITERAL),
            AclEntry("User:u", "*", AclOperation.READ, AclPermission.ALLOW),
        )
        for number in range(TOGETHER)
    ]


def change(directory: str, first: int, said: Path) -> None:
    """Requests without end, the number of each said when it is acknowledged."""
    with EmbeddedCluster(directory) as cluster, said.open("w") as out:
        admin = cluster.admin()
        request = first
        while True:
            assert admin.create_acls(acls_of(request)) == [None] * TOGETHER
            wanted = scram.upsertion("u", ScramMechanism.SCRAM_SHA_256, str(request), 4096, SALT)
            assert admin.alter_user_scram_credentials([wanted]) == {"u": None}
            out.write(f"{request}\n")
            out.flush()
            request += 1


def test_a_kill_leaves_whole_requests_and_what_was_acknowledged(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    EmbeddedCluster(directory).close()
    acknowledged = -1
    chance = random.Random(4711)
    for round in range(ROUNDS):
        said = tmp_path / f"said{round}"
        child = subprocess.Popen([sys.executable, __file__, directory, str(acknowledged + 1), str(said)])
        deadline, wanted = time.monotonic() + 60, chance.randrange(1, 12)
        while not said.exists() or said.read_bytes().count(b"\n") < wanted:
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        child.kill()
        child.wait()
        acknowledged = int(said.read_text().split()[-1])
        with EmbeddedCluster(directory, read_only=True) as cluster:
            there = set(cluster.admin().describe_acls(AclFilter()))
            (kept,) = cluster.admin().scram_credentials("u").values()
        last = max(int(acl.resource.name[1:].split("-")[0]) for acl in there)
        assert acknowledged <= last <= acknowledged + 1
        assert there == {acl for request in range(last + 1) for acl in acls_of(request)}
        assert kept in [
            scram.credential(scram.upsertion("u", ScramMechanism.SCRAM_SHA_256, str(request), 4096, SALT))
            for request in (acknowledged, acknowledged + 1)
        ]


if __name__ == "__main__":
    change(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
