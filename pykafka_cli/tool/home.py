"""A directory as a distribution of Apache Kafka is laid out: the tools' names in bin/, files of settings in config/.

Source: config/server.properties, producer.properties and consumer.properties of Apache Kafka 4.3, whose settings these
have, in that order.
"""

from __future__ import annotations

import os
from contextlib import suppress

from pykafka_cli.tool.programs import write_programs

_SERVER = """\
# A server on its own, as kafka-server-start and kafka-storage format take it. What a directory of logs has no use for
# (threads, buffers) is taken and has no effect.
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600

log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1

offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1

log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""

_FILES = {
    "server.properties": _SERVER,
    "producer.properties": "bootstrap.servers=localhost:9092\ncompression.type=none\n",
    "consumer.properties": "bootstrap.servers=localhost:9092\ngroup.id=test-consumer-group\n",
}


def write_home(directory: str, *, with_pykafka: bool = False) -> list[str]:
    """Write all of it, and return the paths. See :func:`pykafka_cli.tool.programs.write_programs`. A file of settings
    that is there stays as it is: somebody may have changed it.
    """
    paths = write_programs(os.path.join(directory, "bin"), with_pykafka=with_pykafka)
    config = os.path.join(directory, "config")
    os.makedirs(config, exist_ok=True)
    for name, text in _FILES.items():
        path = os.path.join(config, name)
        with suppress(FileExistsError), open(path, "x", encoding="utf-8") as file:
            file.write(text)
            paths.append(path)
    return paths
