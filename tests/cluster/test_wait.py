"""pykafka wait on a real broker: one that starts under it, topics and groups."""

from __future__ import annotations

import subprocess

import pytest

from pykafka_store.model import TopicPartition
from pykafka_store.open import open_cluster
from tests.cluster.test_tools import fresh, program, run
from tests.support import apache

pytestmark = pytest.mark.apache

LATE = ("--timeout", "60s")
SOON = ("--timeout", "4s")
"""For a broker that answers, though it may take a while."""


class Awaited(apache.Broker):
    """A broker that is waited for before it is started."""

    waiter: subprocess.Popen[str]

    def start(self) -> None:
        # Formatting is over, and the port is known.
        words = [program("pykafka"), "wait", "--bootstrap-server", self.bootstrap, *LATE]
        self.waiter = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        gone = run("pykafka", "wait", "--bootstrap-server", self.bootstrap, "--timeout", "2s")
        assert gone.stderr.startswith(f"wait: after 2 s: {self.bootstrap} did not answer within 2 s: Connect to ")
        assert gone.returncode == 1
        super().start()


def test_a_broker_that_starts_ends_the_wait() -> None:
    with Awaited() as broker:
        out, err = broker.waiter.communicate(timeout=60)
        assert (out, err, broker.waiter.returncode) == ("", "", 0)


def test_topics_records_and_groups(broker: apache.Broker) -> None:
    topic, group, at = fresh(), fresh(), ("--bootstrap-server", broker.bootstrap)
    words = ("--topic", topic, "--partitions", "2", "--records", "3", "--group", group, "--lag", "1", *LATE)
    waiter = subprocess.Popen([program("pykafka"), "wait", *at, *words], stderr=subprocess.PIPE, text=True)
    with open_cluster(broker.bootstrap) as cluster:
        missing = run("pykafka", "wait", *at, "--topic", topic, *SOON)
        assert (missing.stderr, missing.returncode) == (f"wait: after 4 s: topic {topic} does not exist\n", 1)
        assert topic not in [each.name for each in cluster.admin().list_topics()]

        cluster.admin().create_topic(topic, partitions=2)
        with cluster.producer() as producer:
            producer.send(topic, [b"1", b"2"], partitions=0)
            producer.send(topic, [b"3"], partitions=1)
        short = run("pykafka", "wait", *at, "--topic", topic, "--records", "4", *SOON)
        assert (short.stderr, short.returncode) == (f"wait: after 4 s: topic {topic} holds 3 of 4 records\n", 1)
        assert waiter.poll() is None

        cluster.admin().alter_group_offsets(group, {TopicPartition(topic, 0): 2})
        _, said = waiter.communicate(timeout=60)
        assert (said, waiter.returncode) == ("", 0)
        lagging = run("pykafka", "wait", *at, "--topic", topic, "--group", group, "--lag", "0", *SOON)
        assert lagging.stderr == f"wait: after 4 s: group {group} has a lag of 1, and at most 0 is wanted\n"

        with cluster.consumer({"group.id": group}) as consumer:
            consumer.subscribe([topic])
            while not consumer.assignment():
                consumer.poll(0.1)
            held = run("pykafka", "wait", *at, "--group", group, "--stable", "--members", "1", *LATE)
            assert (held.stderr, held.returncode) == ("", 0)


def test_a_name_that_no_topic_can_have_is_an_error_at_once(broker: apache.Broker) -> None:
    """So is a password that is wrong: test_tools.py has the broker that asks for one."""
    done = run("pykafka", "wait", "--bootstrap-server", broker.bootstrap, "--timeout", "1h", "--topic", "not/valid")
    assert done.stderr.startswith("InvalidTopicException: ")
    assert done.returncode == 1
