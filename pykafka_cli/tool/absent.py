"""What Kafka's distribution has and a directory of logs does not, and what there is instead: a sentence a name."""

from __future__ import annotations

_CONNECT = "Kafka Connect runs on a cluster; pykafka sink writes topics into a database"
_JMX = "there is no JVM here that could be asked by JMX; pykafka doctor looks at the files"
_ZOOKEEPER = "there is no ZooKeeper here, nor in Kafka 4: leave it out"
_SHARE = "a directory has no share groups; kafka-console-consumer --group divides a topic's partitions"
_STREAMS = "a directory has no groups of Kafka Streams"
_SHELL = "there is no metadata log here; pykafka brokers and kafka-topics --describe show what metadata.db holds"
_REPLICAS = "pykafka doctor compares the replicas of a directory"

_OFFSETS = "kafka-consumer-groups --reset-offsets has --export, --from-file, --to-earliest and --to-latest"

INSTEAD_OF_SCRIPTS = {
    "kafka-jmx": _JMX,
    "kafka-metadata-shell": _SHELL,
    "kafka-replica-verification": _REPLICAS,
    "kafka-console-share-consumer": _SHARE,
    "kafka-share-groups": _SHARE,
    "kafka-verifiable-share-consumer": _SHARE,
    "kafka-streams-groups": _STREAMS,
    "connect-standalone": _CONNECT,
    "connect-distributed": _CONNECT,
    "connect-mirror-maker": "pykafka mirror copies topics between a directory and a cluster, in either direction",
    "kafka-mirror-maker": "pykafka mirror copies topics between a directory and a cluster, in either direction",
    "connect-plugin-path": _CONNECT,
    "kafka-share-consumer-perf-test": "a directory has no share groups; kafka-consumer-perf-test reads in a group",
    "trogdor": "Kafka's fault injection works on brokers, and there are none here",
    "zookeeper-security-migration": _ZOOKEEPER,
    "kafka-replay-log-producer": "kafka-console-consumer piped into kafka-console-producer copies a topic",
    "kafka-add-partitions": "its place is taken by kafka-topics --alter --partitions, which wants the number of all",
}
"""Scripts of Kafka's bin/ of the last ten years. ``pykafka link`` writes them as refusals that say this."""

INSTEAD_OF_CLASSES = {
    "org.apache.kafka.tools.ReplicaVerificationTool": _REPLICAS,
    "kafka.tools.ReplicaVerificationTool": _REPLICAS,
    "org.apache.kafka.shell.MetadataShell": _SHELL,
    "org.apache.kafka.connect.cli.ConnectStandalone": _CONNECT,
    "org.apache.kafka.connect.cli.ConnectDistributed": _CONNECT,
    "org.apache.kafka.connect.mirror.MirrorMaker": INSTEAD_OF_SCRIPTS["connect-mirror-maker"],
    "kafka.tools.MirrorMaker": INSTEAD_OF_SCRIPTS["kafka-mirror-maker"],
    "org.apache.kafka.tools.JmxTool": _JMX,
    "kafka.tools.JmxTool": _JMX,
    "kafka.tools.ReplayLogProducer": INSTEAD_OF_SCRIPTS["kafka-replay-log-producer"],
    "kafka.tools.ExportZkOffsets": _OFFSETS,
    "kafka.tools.ImportZkOffsets": _OFFSETS,
    "kafka.tools.UpdateOffsetsInZK": _OFFSETS,
    "kafka.admin.ShutdownBroker": "its place is taken by kafka-server-stop",
    "org.apache.kafka.streams.examples.wordcount.WordCountDemo": "Kafka Streams is a library of Java's: run it against "
    "pykafka serve once that has transactions, or a cluster",
}
"""Classes that scripts give kafka-run-class."""
