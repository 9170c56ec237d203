"""Apache Kafka's own tools and broker, for tests that compare with them.

The jars are named in ``tests/cluster/pom.xml`` and resolved by Maven the first
time they are needed; see ``tests/cluster/README.md``. Typical use::

    if (reason := apache.available()) is not None:
        pytest.skip(reason)
    with apache.Broker() as broker:
        done = broker.run("kafka-topics", "--create", "--topic", "t")
        assert done.stdout == b"Created topic t.\\n"

All input and output is bytes: what the tools write is compared exactly.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Final
from xml.etree import ElementTree

from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster

__all__ = [
    "MAIN_CLASSES",
    "Broker",
    "BrokerError",
    "Brokers",
    "ResolveError",
    "available",
    "classpath",
    "command",
    "free_port",
    "java",
    "maven_environment",
    "prepare",
    "record_count",
    "run",
    "start",
    "version",
]

CLUSTER: Final = Path(__file__).resolve().parent.parent / "cluster"
POM: Final = CLUSTER / "pom.xml"
LOGGING: Final = CLUSTER / "log4j2.xml"
CACHE: Final = CLUSTER / ".cache"
JAVA_NEEDED: Final = 17

#: What each of Apache's shell scripts runs, by the script's name without ``.sh``.
MAIN_CLASSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "kafka-acls": "org.apache.kafka.tools.AclCommand",
        "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
        "kafka-client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
        "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
        "kafka-configs": "kafka.admin.ConfigCommand",
        "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
        "kafka-console-share-consumer": "org.apache.kafka.tools.consumer.ConsoleShareConsumer",
        "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
        "kafka-delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
        "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
        "kafka-dump-log": "org.apache.kafka.tools.DumpLogSegments",
        "kafka-e2e-latency": "org.apache.kafka.tools.EndToEndLatency",
        "kafka-features": "org.apache.kafka.tools.FeatureCommand",
        "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
        "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
        "kafka-jmx": "org.apache.kafka.tools.JmxTool",
        "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
        "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
        "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
        "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
        "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        "kafka-replica-verification": "org.apache.kafka.tools.ReplicaVerificationTool",
        "kafka-server-start": "kafka.Kafka",
        "kafka-share-consumer-perf-test": "org.apache.kafka.tools.ShareConsumerPerformance",
        "kafka-share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
        "kafka-storage": "kafka.tools.StorageTool",
        "kafka-streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
        "kafka-streams-application-reset": "org.apache.kafka.tools.StreamsResetter",
        "kafka-topics": "org.apache.kafka.tools.TopicCommand",
        "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
        "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
        "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
        "kafka-verifiable-share-consumer": "org.apache.kafka.tools.VerifiableShareConsumer",
    }
)

#: Start fast and stay small: most tools run for a second.
TOOL_FLAGS: Final = (
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-Xlog:disable",
    "-Djava.awt.headless=true",
)
BROKER_FLAGS: Final = ("-Xmx512m", "-Xms128m", *TOOL_FLAGS[1:])
#: For one of several brokers; of two flags the later counts.
SMALL: Final = ("-Xmx256m", "-Xms64m")


def maven_environment() -> dict[str, str]:
    """For Maven, which lives for seconds: the compiler that makes the fastest code takes longer than it saves."""
    return {**os.environ, "MAVEN_OPTS": f"{os.environ.get('MAVEN_OPTS', '')} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


def available() -> str | None:
    """Why Apache's tools cannot be run here, or None if they can."""
    java = _java()
    if java is None:
        return "no java: Apache Kafka's tools need Java 17 or newer"
    major = _java_major(java)
    if major < JAVA_NEEDED:
        return f"java is version {major}: Apache Kafka's tools need Java 17 or newer"
    if _cached_classpath() is None and shutil.which("mvn") is None:
        return "no mvn: Apache Kafka's tools are resolved by Maven"
    return None


def version() -> str:
    """The version of Apache Kafka in use, such as ``4.3.1``."""
    found = ElementTree.parse(POM).find(".//{*}kafka.version")
    assert found is not None and found.text
    return found.text


def classpath() -> str:
    """The class path of the tools and the broker.

    Maven resolves it once for each content of the pom. After that it is read
    from the cache, unless a jar it names has gone.
    """
    cached = _cached_classpath()
    if cached is not None:
        return cached
    folder = _cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # Written aside and moved: processes that prepare at once do no harm.
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        written = Path(aside) / "classpath"
        done = subprocess.run(
            [
                "mvn",
                "--quiet",
                "--batch-mode",
                "-Dstyle.color=never",
                f"--file={POM}",
                "dependency:build-classpath",
                f"-Dmdep.outputFile={written}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=maven_environment(),
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ResolveError(f"Maven could not resolve Apache Kafka's tools:\n{done.stdout}")
        os.replace(written, folder / "classpath")
    resolved = _cached_classpath()
    if resolved is None:
        raise ResolveError("Maven resolved a class path of which a jar is missing")
    return resolved


def prepare() -> None:
    """Do all that is done once: the class path, and an archive of loaded classes.

    Without the archive every tool takes half a second more to start. Java
    ignores one that does not fit it, so it is made without further checks.
    """
    resolved = classpath()
    archive = _archive()
    arguments = _argument_file()
    if archive.exists() and arguments.exists():
        return
    with tempfile.TemporaryDirectory(dir=archive.parent) as aside:
        # So that a command line shown in a failing test is one that can be read.
        written = Path(aside) / "arguments"
        quoted = resolved.replace("\\", r"\\").replace('"', r"\"")
        written.write_text(f'-cp "{quoted}"\n')
        os.replace(written, arguments)
        written = Path(aside) / "archive"
        config = Path(aside) / "config"
        config.write_text("request.timeout.ms=200\ndefault.api.timeout.ms=200\n")
        subprocess.run(
            [
                _java() or "java",
                *TOOL_FLAGS,
                f"-XX:ArchiveClassesAtExit={written}",
                "-cp",
                resolved,
                MAIN_CLASSES["kafka-topics"],
                f"--bootstrap-server=127.0.0.1:{free_port()}",
                f"--command-config={config}",
                "--list",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        if written.exists():
            os.replace(written, archive)


def command(tool: str, *args: str) -> list[str]:
    """The command line that does what Apache's script ``tool`` does with ``args``."""
    return java(MAIN_CLASSES[tool], *args)


def java(main: str, *args: str, flags: Sequence[str] = TOOL_FLAGS, classes: Path | None = None) -> list[str]:
    """The command line that runs a class of Apache's, or one of the folder ``classes``, which may use Apache's."""
    prepare()
    with_its_own = [] if classes is None else ["-cp", f"{classpath()}{os.pathsep}{classes}"]  # of two the later counts
    return [
        _java() or "java",
        *flags,
        f"-XX:SharedArchiveFile={_archive()}",
        f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
        f"@{_argument_file()}",
        *with_its_own,
        main,
        *args,
    ]


def run(
    tool: str,
    *args: str,
    input: bytes | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = 120,
) -> subprocess.CompletedProcess[bytes]:
    """Run one of Apache's tools to its end and return what it wrote.

    Without ``input`` the tool's standard input is empty. ``env`` is added to
    this process's environment. A tool still running after ``timeout`` seconds
    is killed and ``subprocess.TimeoutExpired`` is raised.
    """
    return subprocess.run(
        command(tool, *args),
        input=b"" if input is None else input,
        capture_output=True,
        cwd=cwd,
        env=_environment(env),
        timeout=timeout,
        check=False,
    )


def start(
    tool: str,
    *args: str,
    stdin: int | IO[bytes] | None = subprocess.PIPE,
    stdout: int | IO[bytes] | None = subprocess.PIPE,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start one of Apache's tools and return it running, to talk to or to signal."""
    return subprocess.Popen(
        command(tool, *args),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env=_environment(env),
    )


def free_port() -> int:
    """A loopback port that nothing listens on, nor will until it is asked for by its number.

    It is below those that systems give to whoever asks for any port: as one of these, it would be another test's by the
    time that a broker is formatted, started and binds it.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)  # pytest-randomly seeds all workers' ``random`` alike
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class ResolveError(Exception):
    """Maven could not bring the jars."""


class BrokerError(Exception):
    """The broker could not be formatted, or stopped before it answered."""


class Broker:
    """One Apache Kafka broker, its own controller, on loopback in a new folder.

    It is started on entry and answers when the entry returns; on exit it is
    stopped and its folder removed. ``config`` adds to or replaces lines of
    ``server.properties``. ``flags`` are added to the flags of Java.

    The defaults differ from a bare broker's only in what a single broker needs
    (replication factors of 1 for the internal topics) and in not waiting for
    more members when a group is new.
    """

    def __init__(
        self,
        config: Mapping[str, str] | None = None,
        *,
        node_id: int = 1,
        flags: Sequence[str] = (),
        start_timeout: float = 180,
        controller: Broker | None = None,
    ) -> None:
        """With ``controller`` it is a broker only, in the cluster of that one, which must be running."""
        self.node_id = node_id
        self.port = 0
        self.controller_port = 0
        self._controller = controller
        self.process: subprocess.Popen[bytes] | None = None
        self._config = dict(config or {})
        self._flags = tuple(flags)
        self._start_timeout = start_timeout
        self._cleanup = contextlib.ExitStack()
        self._folder: Path | None = None

    @property
    def bootstrap(self) -> str:
        """What ``--bootstrap-server`` takes."""
        return f"127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """The broker's own folder: ``server.properties``, ``server.log``, ``data``."""
        if self._folder is None:
            raise BrokerError("the broker is not running")
        return self._folder

    @property
    def log_dir(self) -> Path:
        """The folder of the partitions, ``log.dirs``."""
        return self.folder / "data"

    def partition_dir(self, topic: str, partition: int = 0) -> Path:
        """The folder of one partition's segments."""
        return self.log_dir / f"{topic}-{partition}"

    def __enter__(self) -> Broker:
        for last in (False, False, True):
            try:
                self._folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="kafka-")))
                self._format()
                self.start()
            except BaseException as error:
                self.close()
                # A port that was free may have been taken in the meantime.
                if not last and isinstance(error, BrokerError) and "BindException" in str(error):
                    continue
                raise
            break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(
        self,
        tool: str,
        *args: str,
        input: bytes | None = None,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = 120,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one of Apache's tools against this broker; see :func:`run`."""
        return run(
            tool,
            "--bootstrap-server",
            self.bootstrap,
            *args,
            input=input,
            cwd=cwd,
            env=env,
            timeout=timeout,
        )

    def start(self) -> None:
        """Start the broker on its folder, as it was left, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                java(
                    MAIN_CLASSES["kafka-server-start"],
                    str(self.folder / "server.properties"),
                    flags=(*BROKER_FLAGS, "-Dkafka.log.level=INFO", *self._flags),
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_environment(None),
            )
        deadline = time.monotonic() + self._start_timeout
        while self.node_id not in _known_brokers(self.port):
            if self.process.poll() is not None:
                raise BrokerError(f"the broker stopped at once:\n{self._log_end()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"the broker does not answer:\n{self._log_end()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the broker and keep its folder.

        SIGKILL is a crash: the next start then takes some ten seconds, until the
        controller has given up the session of the broker that died.
        """
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Remove the broker and its folder: nothing is left that it could end in good order, which takes seconds."""
        try:
            self.stop(signal.SIGKILL)
        finally:
            self._cleanup.close()
            self._folder = None

    def _format(self) -> None:
        self.port = free_port()
        if self._controller is None:
            self.controller_port = free_port()
            while self.controller_port == self.port:
                self.controller_port = free_port()
        else:
            self.controller_port = self._controller.controller_port
        listeners = f"PLAINTEXT://127.0.0.1:{self.port}"
        if self._controller is None:
            listeners += f",CONTROLLER://127.0.0.1:{self.controller_port}"
        properties = {
            "process.roles": "broker,controller" if self._controller is None else "broker",
            "node.id": str(self.node_id),
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self.controller_port}",
            "listeners": listeners,
            "log.dirs": str(self.log_dir),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            **self._config,
        }
        path = self.folder / "server.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        done = run(
            "kafka-storage",
            "format",
            "--standalone" if self._controller is None else "--no-initial-controllers",
            "--cluster-id=MkU3OEVBNTcwNTJENDM2Qg",
            f"--config={path}",
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise BrokerError(f"the broker's folder could not be formatted:\n{said}")

    def _log_end(self) -> str:
        log = (self.folder / "server.log").read_text(errors="replace")
        serious = [line for line in log.splitlines() if re.search("ERROR|FATAL|Exception", line)]
        return "\n".join([*serious[:20], "...", log[-4000:]])


class Brokers:
    """A cluster of Apache Kafka brokers on loopback, 1 to ``count``; the first is the controller as well.

    All are started on entry and know one another when the entry returns. Each of ``nodes`` can be stopped, killed
    and started again by itself; without the first nothing is decided. A broker that is killed is missed after
    two seconds, and leaders move only when they must or are told to.
    """

    def __init__(self, count: int = 3, config: Mapping[str, str] | None = None) -> None:
        settings = {
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "250",
            "auto.leader.rebalance.enable": "false",
            "offsets.topic.replication.factor": str(count),
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.replication.factor": str(count),
            "transaction.state.log.num.partitions": "3",
            **(config or {}),
        }
        first = Broker(settings, node_id=1, flags=SMALL)
        others = [Broker(settings, node_id=number, flags=SMALL, controller=first) for number in range(2, count + 1)]
        self.nodes = [first, *others]
        self._cleanup = contextlib.ExitStack()

    @property
    def bootstrap(self) -> str:
        """What ``--bootstrap-server`` takes: all of them, the first first."""
        return ",".join(node.bootstrap for node in self.nodes)

    def node(self, node_id: int) -> Broker:
        return self.nodes[node_id - 1]

    def __enter__(self) -> Brokers:
        first, *others = self.nodes
        try:
            self._cleanup.enter_context(first)
            for node in others:
                self._cleanup.callback(node.close)
            with ThreadPoolExecutor() as pool:
                for entered in [pool.submit(node.__enter__) for node in others]:
                    entered.result()
            self.wait_until_complete()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait_until_complete(self, timeout: float = 180) -> None:
        """Start those that do not run, and wait until each running broker knows all of them."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        wanted = {node.node_id for node in self.nodes}
        deadline = time.monotonic() + timeout
        while any(_known_brokers(node.port) != wanted for node in self.nodes):
            if time.monotonic() > deadline:
                raise BrokerError("the brokers do not know one another")
            time.sleep(0.05)

    def run(
        self, tool: str, *args: str, input: bytes | None = None, timeout: float | None = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one of Apache's tools against this cluster; see :func:`run`."""
        return run(tool, "--bootstrap-server", self.bootstrap, *args, input=input, timeout=timeout)

    def close(self) -> None:
        """Stop all, the controller last, and remove their folders."""
        self._cleanup.close()


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if home:
        java = Path(home) / "bin" / "java"
        if java.exists():
            return str(java)
    return shutil.which("java")


def _java_major(java: str) -> int:
    found = re.search(r'version "(\d+)', _java_version(java))
    return int(found[1]) if found else 0


@functools.cache
def _java_version(java: str) -> str:
    return subprocess.run(
        [java, "-version"],
        capture_output=True,
        env=_environment(None),
        text=True,
        check=False,
    ).stderr


def _cache_folder() -> Path:
    return CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]


def _cached_classpath() -> str | None:
    try:
        cached = (_cache_folder() / "classpath").read_text().strip()
    except FileNotFoundError:
        return None
    return cached if all(os.path.exists(jar) for jar in cached.split(os.pathsep)) else None


def _archive() -> Path:
    key = hashlib.sha256(_java_version(_java() or "java").encode()).hexdigest()[:16]
    return _cache_folder() / f"{key}.jsa"


def _argument_file() -> Path:
    return _cache_folder() / "arguments"


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    # Java announces these on standard error, where a test would read it.
    removed = {"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"}
    kept = {key: value for key, value in os.environ.items() if key not in removed}
    return {**kept, **(added or {})}


def _known_brokers(port: int) -> set[int]:
    """The brokers that the one at ``port`` tells of; none while it does not answer.

    It opens its port before it is admitted by its controller, and until then is not in its own list. The question is
    a Metadata request, version 1, for no topic.
    """
    body = struct.pack(">hhih5si", 3, 1, 1, 5, b"tests", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            stream = connection.makefile("rb")
            size = stream.read(4)
            answer = io.BytesIO(stream.read(struct.unpack(">i", size)[0])) if len(size) == 4 else io.BytesIO()
            _correlation, count = struct.unpack(">ii", answer.read(8))
            found = set()
            for _ in range(count):
                node_id, length = struct.unpack(">ih", answer.read(6))
                answer.read(length + 4)  # the host's name, and the port
                (length,) = struct.unpack(">h", answer.read(2))  # of the rack's name, which may be null
                answer.read(max(0, length))
                found.add(int(node_id))
    except (OSError, struct.error):  # nobody there, or one that hung up in the middle
        return set()
    return found


def _main(words: Sequence[str]) -> int:
    usage = "usage: apache.py prepare | run TOOL [ARG]... | broker [KEY=VALUE]..."
    if not words or (words[0] == "run" and len(words) < 2):
        print(usage, file=sys.stderr)
        return 2
    if (reason := available()) is not None:
        print(reason, file=sys.stderr)
        return 1
    match words[0]:
        case "prepare":
            prepare()
            print(f"Apache Kafka {version()} is ready.")
            return 0
        case "run":
            return subprocess.run(command(*words[1:]), check=False).returncode
        case "broker":
            config = dict(word.partition("=")[::2] for word in words[1:])
            with Broker(config) as broker, contextlib.suppress(KeyboardInterrupt):
                print(broker.bootstrap, broker.folder, flush=True)
                assert broker.process is not None
                broker.process.wait()
            return 0
        case _:
            print(usage, file=sys.stderr)
            return 2


def record_count(bootstrap: str, topic: str) -> int:
    """How many records partition 0 of a topic without transactions holds by now: what a consumer is to wait for."""
    here = TopicPartition(topic, 0)
    found = 0
    with open_cluster(bootstrap) as cluster, cluster.consumer() as consumer:
        consumer.assign({here: OffsetAt.EARLIEST})
        (end,) = consumer.end_offsets([here]).values()
        while consumer.position(here) < end:
            runs = consumer.poll(60.0)
            assert runs, f"{topic} ends at {end}, and nothing came after {consumer.position(here)}"
            found += sum(map(len, runs))
    return found


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
