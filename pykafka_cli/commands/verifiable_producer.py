"""``kafka-verifiable-producer``: increasing numbers into a topic, and a line of JSON for each that was acknowledged.

Source: org.apache.kafka.tools.VerifiableProducer of Kafka 4.3. Harnesses read the lines; so each is written at once.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque

import click

from pykafka_cli.click_types import FILE, TOPIC
from pykafka_cli.env import Env
from pykafka_cli.errors import CommandFailure
from pykafka_cli.java.properties import load_properties
from pykafka_cli.output.events import Events
from pykafka_cli.output.kafka_log import exception_line
from pykafka_cli.tool import properties
from pykafka_cli.tool.argparse4j import INTEGER, LONG, ArgparseCommand, OneOf
from pykafka_cli.tool.frame import connection_options, failing_as, one_line
from pykafka_cli.tool.options import examples
from pykafka_cli.tool.throttle import Throttle
from pykafka_store.api import Cluster, Producer
from pykafka_store.errors import StoreError
from pykafka_store.model import UNKNOWN_OFFSET, Delivery, SendFailure
from pykafka_store.partitioners import partition_for_key

NO_LIMIT = (1 << 63) - 1
AT_ONCE = 100


@click.command(
    "verifiable-producer",
    cls=ArgparseCommand,
    no_args_is_help=True,
    short_help="Produce numbers and tell of each acknowledgement in JSON.",
    epilog=examples("kafka-verifiable-producer --topic numbers --max-messages 10"),
)
@connection_options
@click.option("--topic", type=TOPIC, required=True, help="Produce messages to this topic.")
@click.option("--max-messages", type=INTEGER, default=-1, help="Produce this many messages; -1: until it is killed.")
@click.option("--throughput", type=INTEGER, default=-1, help="Messages a second, roughly; -1: as many as there can be.")
@click.option("--acks", type=OneOf(["0", "1", "-1"]), default="-1", help="Acks required on each produced message.")
@click.option("--producer.config", "producer_config", type=FILE, help="The old name of --command-config.")
@click.option(
    "--message-create-time", type=LONG, default=-1, help="The first message's time, in ms; each has one ms more."
)
@click.option("--value-prefix", type=INTEGER, help="Each value has this prefix, with a dot behind it.")
@click.option("--repeating-keys", type=INTEGER, help="Keys are the numbers from 0 up to this one, again and again.")
@click.option("--command-config", type=FILE, help="File with settings of the producer.")
@click.pass_obj
def verifiable_producer(
    env: Env,
    /,
    bootstrap_server: str | None,
    data_dir: str | None,
    topic: str,
    max_messages: int,
    throughput: int,
    acks: str,
    producer_config: str | None,
    message_create_time: int,
    value_prefix: int | None,
    repeating_keys: int | None,
    command_config: str | None,
) -> None:
    """This tool produces increasing integers to the specified topic and prints JSON metadata to stdout on each "send"
    request, making externally visible which messages have been acked and which have not.
    """
    if producer_config and command_config:
        raise CommandFailure("Options --producer.config and --command-config are mutually exclusive.")
    if producer_config:
        env.out(
            "Option --producer.config has been deprecated and will be removed in a future version. Use "
            "--command-config instead."
        )
    path = producer_config or command_config
    with failing_as(one_line):
        config = {} if path is None else load_properties(path)
        for forced in ("bootstrap.servers", "key.serializer", "value.serializer"):
            config.pop(forced, None)
        config |= {"acks": acks, "retries": "0" if config.get("retries") is None else config["retries"]}
        config.setdefault("enable.idempotence", "false")  # without retries there is none
        config = properties.known_settings(env, "producer", config)
        with env.open_cluster(bootstrap_server, data_dir, config=config) as cluster:
            sending = _Sending(env, cluster, topic, value_prefix, repeating_keys, acks)
            producer = cluster.producer(config, on_delivery=sending.delivered, on_failure=sending.failed)
            sending.events.tell("startup_complete")
            start = env.monotonic()
            try:
                with producer:
                    limit = NO_LIMIT if max_messages < 0 else max_messages
                    throttle = Throttle(throughput, AT_ONCE)
                    while sending.sent < limit:
                        sending.send(producer, throttle.take(limit - sending.sent), message_create_time)
            finally:
                sending.end(throughput, env.monotonic() - start)


class _Sending:
    """What was sent and waits for its acknowledgement, and the events of that.

    The partitions are chosen here, as Kafka's partitioner does it: so what is acknowledged in a partition is what was
    sent to it first, and each acknowledgement has its record.
    """

    def __init__(
        self, env: Env, cluster: Cluster, topic: str, prefix: int | None, repeating_keys: int | None, acks: str
    ) -> None:
        self.events = Events(env)
        self._knows_offsets = acks != "0"  # a directory knows them all the same, and Kafka's tool does not
        self.sent = 0
        self._acked = 0
        self._admin = cluster.admin()
        self._topic = topic
        self._prefix = "" if prefix is None else f"{prefix}."
        self._repeating_keys = repeating_keys
        self._waiting: defaultdict[int | None, deque[tuple[str | None, str]]] = defaultdict(deque)
        """Partition -> key and value of each record, oldest first; None -> one whose partition was not chosen here."""
        self._partitions = 0

    def send(self, producer: Producer, count: int, create_time: int) -> None:
        """Send the next records, and wait for their acknowledgements."""
        self._partitions = self._partitions or self._count_partitions()
        if not self._partitions:
            count = 1  # a topic that does not exist is made by its first record, where that is allowed
        numbers = range(self.sent, self.sent + count)
        self.sent += count
        values = [f"{self._prefix}{number}" for number in numbers]
        keys = [self._key(number) for number in numbers]
        partitions = self._chosen(keys)
        for partition, key, value in zip(partitions, keys, values, strict=True):
            self._waiting[partition].append((key, value))
        try:
            producer.send(
                self._topic,
                [value.encode() for value in values],
                keys=[None if key is None else key.encode() for key in keys],
                timestamps=None if create_time < 0 else [create_time + number for number in numbers],
                partitions=partitions,
            )
            producer.flush()
        except StoreError as error:
            for partition, waiting in self._waiting.items():
                self.failed(SendFailure(self._topic, partition, len(waiting), None, None, error))

    def _key(self, number: int) -> str | None:
        """Kafka's tool counts on from 0 until it meets the number of keys, which one below 1 never is."""
        keys = self._repeating_keys
        return None if keys is None else str(number % keys if keys > 0 else number)

    def _chosen(self, keys: list[str | None]) -> list[int | None]:
        """Where Kafka's partitioner sends these keys: what has none goes together somewhere. None: not known yet."""
        if not self._partitions:
            return [None] * len(keys)
        anywhere = random.randrange(self._partitions)
        return [anywhere if key is None else partition_for_key(key.encode(), self._partitions) for key in keys]

    def _count_partitions(self) -> int:
        try:
            return len(self._admin.describe_topics([self._topic])[0].partitions)
        except StoreError:
            return 0  # that is told of each record

    def delivered(self, delivery: Delivery) -> None:
        waiting = self._waiting[delivery.partition] or self._waiting[None]
        for number in range(delivery.record_count):
            key, value = waiting.popleft()
            self._acked += 1
            self.events.tell(
                "producer_send_success",
                key=key,
                value=value,
                offset=delivery.base_offset + number if self._knows_offsets else UNKNOWN_OFFSET,
                topic=delivery.topic,
                partition=delivery.partition,
            )

    def failed(self, failure: SendFailure) -> None:
        waiting = self._waiting[failure.partition] or self._waiting[None]
        error = failure.error
        name = exception_line(error).partition(":")[0] if isinstance(error, StoreError) else type(error).__name__
        for _ in range(failure.record_count):
            key, value = waiting.popleft()
            self.events.tell(
                "producer_send_error",
                topic=failure.topic,
                key=key,
                value=value,
                exception=f"class {name}",
                message=str(error),
            )

    def end(self, throughput: int, seconds: float) -> None:
        self.events.tell("shutdown_complete")
        rate = self._acked / max(seconds, 1e-3)
        self.events.tell(
            "tool_data", sent=self.sent, acked=self._acked, target_throughput=throughput, avg_throughput=rate
        )
