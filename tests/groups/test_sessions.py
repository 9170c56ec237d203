"""How long a session of a consumer of the shell may be, by what a server's file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykafka_store.open import open_cluster, open_data_directory
from pykafka_store.settings.static_configs import static_settings
from tests.support.in_process import run


@pytest.mark.parametrize(
    ("properties", "refused", "taken"),
    [
        ({}, (), (100, 5999, 1_800_001)),
        ({"group.min.session.timeout.ms": "6000"}, (5999,), (6000, 1_800_001)),
        ({"group.max.session.timeout.ms": "7000"}, (7001, 45_000), (100, 7000)),
    ],
)
def test_it_is_within_the_bounds_of_the_servers_file(
    tmp_path: Path, properties: dict[str, str], refused: tuple[int, ...], taken: tuple[int, ...]
) -> None:
    with open_cluster(tmp_path) as cluster:
        cluster.admin().create_topic("t")
    with open_data_directory(tmp_path) as directory:
        directory.set_server_settings(0, static_settings(properties))
    for session in (*refused, *taken):
        done = run(
            "kafka-console-consumer", "--topic", "t", "--group", "g", "--timeout-ms", "1", "--command-property",
            f"session.timeout.ms={session}", "--command-property", "heartbeat.interval.ms=10", data_dir=tmp_path,
        )  # fmt: skip
        told = f"it is {session} ms" in done.stderr and "InvalidSessionTimeoutException: The session" in done.stderr
        assert told == (session in refused), done.stderr


def test_it_is_the_groups_under_the_consumer_protocol(tmp_path: Path) -> None:
    with open_cluster(tmp_path) as cluster:
        cluster.admin().create_topic("t")
    with open_data_directory(tmp_path) as directory:
        directory.set_server_settings(0, static_settings({"group.max.session.timeout.ms": "7000"}))
    with open_cluster(tmp_path) as cluster, cluster.consumer({"group.id": "g", "group.protocol": "consumer"}) as member:
        member.subscribe(["t"])
        member.poll(0.0)
