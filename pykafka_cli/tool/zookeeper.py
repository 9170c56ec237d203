"""What scripts of before Kafka 4 want of ZooKeeper: that it starts and stops, and that it says which brokers and topics
there are.

For who asks for it with PYKAFKA_OLD_OPTIONS=1. Source: bin/zookeeper-shell.sh and kafka.zk.ZkData of Kafka 3.9.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure

if TYPE_CHECKING:
    from pykafka_store.api import Admin

PORT = 9092
_READING = ("ls", "get")
_VERBS = (*_READING, "delete", "deleteall", "rmr")


def pass_over(env: Env, _words: list[str]) -> None:
    """``zookeeper-server-start`` and ``-stop``: there is nothing to start, and nothing to stop."""
    env.err("WARNING: ZooKeeper is left out now, as in Kafka 4 (PYKAFKA_OLD_OPTIONS=1 lets it pass)")


def shell(env: Env, words: list[str]) -> None:
    """``zookeeper-shell HOST:PORT [COMMAND PATH]``: ``ls`` and ``get`` of what brokers and topics there are; without a
    command those of stdin, a line each.
    """
    words = [word for word in words if word != "-server"]
    env.err("WARNING: zookeeper-shell is of before Kafka 4 (PYKAFKA_OLD_OPTIONS=1 lets it pass)")
    if not words:
        raise CommandFailure(
            "USAGE: zookeeper-shell zookeeper_host:port[/path] [-zk-tls-config-file file] [args...]", stream="stdout"
        )
    server, *command = words
    env.out(f"Connecting to {server}\n\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null")
    lines = [command] if command else [line.decode("utf-8", "replace").split() for line in env.stdin]
    with env.open_cluster(None, None, create=env.auto_create) as cluster:
        tree = _tree(cluster.admin())
        for line in lines:
            if line and line[0] != "quit":
                _do(env, tree, line)


def _do(env: Env, tree: dict[str, str], line: list[str]) -> None:
    """Raises CommandFailure for a command that would change what is there, or that is none."""
    verb, paths = line[0], [word for word in line[1:] if not word.startswith("-")]
    path = "/" + paths[0].strip("/") if paths else "/"
    below = path.rstrip("/") + "/"
    children = sorted({each.removeprefix(below).partition("/")[0] for each in tree if each.startswith(below)})
    if verb in _VERBS and len(paths) == 1 and not children and path not in tree:
        env.out(f"Node does not exist: {path}")  # and so what kafka-topics --delete has deleted
    elif verb not in _READING or len(paths) != 1:
        raise CommandFailure(f"zookeeper-shell: {' '.join(line)} can't be done here: ls PATH and get PATH can")
    elif verb == "ls":
        env.out(f"[{', '.join(children)}]")
    else:
        env.out(tree.get(path, "null"))


def _tree(admin: Admin) -> dict[str, str]:
    """Path -> what ZooKeeper would have there."""
    brokers = admin.live_brokers()
    tree = {"/brokers/ids": "null", "/brokers/topics": "null"}
    tree["/cluster/id"] = _json({"version": "1", "id": admin.cluster_id()})
    if brokers:
        tree["/controller"] = _json({"version": 1, "brokerid": brokers[0], "timestamp": "0"})
    for broker in brokers:
        tree[f"/brokers/ids/{broker}"] = _json(
            {
                "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
                "endpoints": [f"PLAINTEXT://localhost:{PORT}"],
                "jmx_port": -1,
                "host": "localhost",
                "timestamp": "0",
                "port": PORT,
                "version": 4,
            }
        )
    for topic in admin.describe_topics():
        path = f"/brokers/topics/{topic.name}"
        assigned = {str(each.partition): list(each.replicas) for each in topic.partitions}
        tree[path] = _json({"version": 2, "partitions": assigned, "adding_replicas": {}, "removing_replicas": {}})
        for each in topic.partitions:
            leader = -1 if each.leader is None else each.leader
            state = {"controller_epoch": 1, "leader": leader, "version": 1, "leader_epoch": 0, "isr": list(each.isr)}
            tree[f"{path}/partitions/{each.partition}/state"] = _json(state)
    return tree


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
