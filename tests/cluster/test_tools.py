"""Our tools on a real broker: settings reach it, errors are one line, and nothing that was acknowledged is lost."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import socketserver
import subprocess
import sysconfig
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_store.model import OffsetAt, TopicPartition
from pykafka_store.open import open_cluster
from tests.support import apache
from tests.support.apache_tools import Tools

PASSWORD = "s3cret-of-ann"


def program(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


def run(
    tool: str,
    *arguments: str,
    input: str = "",
    environ: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program(tool), *arguments],
        input=input,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(environ or {})},
    )


def fresh() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.mark.apache
def test_a_day_with_the_tools(java: Tools, broker: apache.Broker) -> None:
    topic, at = fresh(), ("--bootstrap-server", broker.bootstrap)
    created = run("kafka-topics", *at, "--create", "--topic", topic, "--partitions", "2")
    assert (created.stdout, created.stderr, created.returncode) == (f"Created topic {topic}.\n", "", 0)
    assert topic in run("kafka-topics", *at, "--list").stdout.splitlines()
    described = run("kafka-topics", *at, "--describe", "--topic", topic).stdout
    assert re.sub("TopicId: [^\t]+", "TopicId: ID", described) == (
        f"Topic: {topic}\tTopicId: ID\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: min.insync.replicas=1\n"
        f"\tTopic: {topic}\tPartition: 0\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n"
        f"\tTopic: {topic}\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: \tLastKnownElr: \n"
    )
    assert described == java.run("kafka-topics", *at, "--describe", "--topic", topic).stdout.decode()

    produced = run(
        "kafka-console-producer",
        *at,
        "--topic",
        topic,
        "--reader-property",
        "parse.key=true",
        input="a\t1\nb\t2\nc\t3\n",
    )
    assert (produced.stdout, produced.stderr, produced.returncode) == ("", "", 0)
    read = run(
        "kafka-console-consumer", *at, "--topic", topic, "--from-beginning", "--exit-at-end",
        "--formatter-property", "print.key=true",
    )  # fmt: skip
    assert sorted(read.stdout.splitlines()) == ["a\t1", "b\t2", "c\t3"]
    assert read.stderr == "Processed a total of 3 messages\n"
    assert (
        run("kafka-get-offsets", *at, "--topic", topic).stdout
        == java.run("kafka-get-offsets", *at, "--topic", topic).stdout.decode()
    )

    group = fresh()
    grouped = run(
        "kafka-console-consumer", *at, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "2"
    )
    assert len(grouped.stdout.splitlines()) == 2
    shown = run("kafka-consumer-groups", *at, "--describe", "--group", group)
    theirs = java.run("kafka-consumer-groups", *at, "--describe", "--group", group)
    assert shown.stdout == theirs.stdout.decode()
    assert sum(int(line.split()[3]) for line in shown.stdout.splitlines() if line.startswith(group)) == 2

    assert run("kafka-topics", *at, "--delete", "--topic", topic).returncode == 0


@pytest.mark.parametrize(
    ("tool", "arguments", "config_option"),
    [
        ("kafka-topics", ["--list"], "--command-config"),
        ("kafka-get-offsets", [], "--command-config"),
        ("kafka-consumer-groups", ["--list"], "--command-config"),
        ("kafka-console-consumer", ["--topic", "t"], "--consumer.config"),
        ("kafka-console-producer", ["--topic", "t"], "--producer.config"),
    ],
)
def test_nobody_listens(tmp_path: Path, tool: str, arguments: list[str], config_option: str) -> None:
    config = tmp_path / "config"
    config.write_text("default.api.timeout.ms=800\n")
    address = f"127.0.0.1:{apache.free_port()}"
    started = time.monotonic()
    # kafka-consumer-groups exits 0 on errors, as Kafka's does.
    strict = {"PYKAFKA_STRICT_EXIT": "1"}
    done = run(tool, "--bootstrap-server", address, *arguments, config_option, str(config), input="x\n", environ=strict)
    assert done.returncode == 1
    assert time.monotonic() - started < 30  # and not the minute that is given otherwise
    said = f"{address} did not answer within"
    assert said in done.stderr + done.stdout
    # One report; Kafka's tools print some on stdout and log them on stderr, with a stamp and a class.
    for text in (done.stdout, done.stderr):
        assert text.count(said) <= 1
        assert "rdkafka" not in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("tool", "words"), [("topics", ["--list"]), ("broker-api-versions", []), ("cluster", ["unregister", "--id", "1"])]
)
def test_who_watches_is_told_what_is_waited_for(tool: str, words: list[str], tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    config = tmp_path / "config"
    config.write_text("default.api.timeout.ms=1500\n")
    address = f"127.0.0.1:{apache.free_port()}"
    words = [*words, "--bootstrap-server", address, "--command-config", str(config)]
    said = []
    for stderr in (Terminal(), io.StringIO()):
        env = Env(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=stderr, environ={})
        assert main.run(lambda: main.load_command(tool), f"kafka-{tool}", words, env) == 1
        said.append(stderr.getvalue())
    line = rf"{address} does not answer, which is waited for up to 1.5 s(: .*)?\n"
    assert re.match(line, said[0])
    assert "waited for" not in said[1]


@pytest.mark.parametrize(("given", "told"), [("2500", "2.5 s"), ("10", "1 s")])
def test_a_consumer_gives_a_cluster_no_longer_than_its_records(given: str, told: str) -> None:
    address = f"127.0.0.1:{apache.free_port()}"
    done = run("kafka-console-consumer", "--bootstrap-server", address, "--topic", "t", "--timeout-ms", given)
    assert done.returncode == 1
    assert f"{address} did not answer within {told}" in done.stderr


@pytest.fixture
def answering() -> Iterator[Callable[[bytes | None], str]]:
    """Makes servers that are no Kafka: each answers what it is told with these bytes and hangs up; None: with silence
    for ever. Returns their addresses.
    """
    servers: list[socketserver.ThreadingTCPServer] = []

    def start(answer: bytes | None) -> str:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while self.request.recv(1000):
                    if answer is not None:
                        self.request.sendall(answer)
                        return

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (None, ""),
        (b"", "security.protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "security.protocol may have to be SSL"),
        (b"220 mail.example.com ESMTP", "another protocol than Kafka's"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ("kafka-configs", "--describe", "--entity-type", "topics", "--entity-name", "t"),
        ("kafka-console-producer", "--topic", "t"),
        ("kafka-leader-election", "--election-type", "preferred", "--all-topic-partitions"),
    ],
)
def test_something_else_listens(
    tmp_path: Path,
    answering: Callable[[bytes | None], str],
    answer: bytes | None,
    cause: str,
    command: tuple[str, ...],
) -> None:
    config = tmp_path / "config"
    config.write_text("default.api.timeout.ms=1500\n")
    address = answering(answer)
    done = run(*command, "--bootstrap-server", address, "--command-config", str(config), input="x\n")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"{address} did not answer within 1.5 s" in done.stderr
    assert cause in done.stderr


class GuardedBroker(apache.Broker):
    """A broker with two more listeners: ``guarded`` asks for a password, ``tls`` speaks TLS by a certificate."""

    def __init__(self, certificate: Path) -> None:
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        super().__init__(
            {
                "listener.security.protocol.map": "GUARDED:SASL_PLAINTEXT,TLS:SSL,PLAINTEXT:PLAINTEXT,"
                "CONTROLLER:PLAINTEXT",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.guarded.plain.sasl.jaas.config": f'{login} user_ann="{PASSWORD}";',
                "listener.name.tls.ssl.keystore.type": "PEM",
                "listener.name.tls.ssl.keystore.location": str(certificate),
                "inter.broker.listener.name": "PLAINTEXT",
            }
        )  # fmt: skip
        self.guarded = f"127.0.0.1:{apache.free_port()}"
        self.certificate = certificate
        self.tls = f"127.0.0.1:{apache.free_port()}"

    def _format(self) -> None:
        super()._format()
        path = self.folder / "server.properties"
        listeners = f"listeners=GUARDED://{self.guarded},TLS://{self.tls},PLAINTEXT"
        path.write_text(path.read_text().replace("listeners=PLAINTEXT", listeners))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    """A broker that asks who is there. Its certificate lies in ``server.pem``, its key before it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    pem = folder / "server.pem"
    pem.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    with GuardedBroker(pem) as running:
        running.certificate = folder / "cert.pem"
        yield running


@pytest.mark.apache
def test_a_scheme_in_front_of_an_address_says_nothing(java: Tools, broker: apache.Broker) -> None:
    """Java's clients drop it, whatever it is; librdkafka would take it for a setting."""
    topic = fresh()
    for scheme in ("PLAINTEXT", "SASL_SSL", "x"):
        address = f"{scheme}://{broker.bootstrap}"
        done = run("kafka-console-producer", "--bootstrap-server", address, "--topic", topic, input=f"{scheme}\n")
        assert (done.returncode, done.stdout) == (0, "")
    read = ("kafka-console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "3")
    ours = run(*read, "--bootstrap-server", f"PLAINTEXT://{broker.bootstrap}")
    assert (
        ours.stdout
        == java.run(*read, "--bootstrap-server", broker.bootstrap).stdout.decode()
        == "PLAINTEXT\nSASL_SSL\nx\n"
    )


@pytest.mark.apache
def test_tls_by_a_certificate_that_is_trusted(guarded: GuardedBroker, tmp_path: Path) -> None:
    trusting, doubting = tmp_path / "trusting", tmp_path / "doubting"
    trusting.write_text(
        f"security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={guarded.certificate}\n"
    )
    doubting.write_text("security.protocol=SSL\n")
    at = ("--bootstrap-server", guarded.tls)
    topic = fresh()
    assert run("kafka-topics", *at, "--command-config", str(trusting), "--create", "--topic", topic).returncode == 0
    sent = run("kafka-console-producer", *at, "--command-config", str(trusting), "--topic", topic, input="hello\n")
    assert (sent.returncode, sent.stderr) == (0, "")
    started = time.monotonic()
    refused = run("kafka-topics", *at, "--command-config", str(doubting), "--list")
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr
    assert time.monotonic() - started < 8  # it is not tried again until the time is over


@pytest.mark.apache
def test_a_password_lets_us_in_and_is_never_shown(guarded: GuardedBroker, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for path, password in ((right, PASSWORD), (wrong, f"{PASSWORD}-not")):
        path.write_text(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n"
            "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\\n"
            f'  username="ann" password="{password}";\n'
        )
    topic, at = fresh(), ("--bootstrap-server", guarded.guarded)
    assert run("kafka-topics", *at, "--command-config", str(right), "--create", "--topic", topic).returncode == 0
    sent = run("kafka-console-producer", *at, "--producer.config", str(right), "--topic", topic, input="hello\n")
    assert (sent.returncode, sent.stderr) == (0, "")
    read = run(
        "kafka-console-consumer", *at, "--consumer.config", str(right), "--topic", topic, "--from-beginning",
        "--max-messages", "1",
    )  # fmt: skip
    assert "hello" in read.stdout.splitlines()

    started = time.monotonic()
    for debug in ("0", "1"):
        refused = run("kafka-topics", *at, "--command-config", str(wrong), "--list", environ={"PYKAFKA_DEBUG": debug})
        assert refused.returncode == 1
        assert "SaslAuthenticationException" in refused.stderr
        assert PASSWORD not in refused.stdout + refused.stderr
    refused = run("pykafka", "wait", *at, "--command-config", str(wrong), "--timeout", "1h")
    assert refused.returncode == 1
    assert refused.stderr.startswith("SaslAuthenticationException")
    assert time.monotonic() - started < 10  # it is not tried again until the time is over


# --------------------------------------------------------------------------------------------- the broker goes away


@pytest.fixture
def mortal() -> Iterator[apache.Broker]:
    """A broker of the test's own, to be stopped and killed."""
    with apache.Broker() as running:
        yield running


@pytest.mark.apache
@pytest.mark.slow
def test_a_broker_is_killed_and_started_again_under_a_producer_and_a_consumer(
    mortal: apache.Broker, tmp_path: Path
) -> None:
    """Every line comes out, each once and in order: the producer is idempotent by default, as Java's is."""
    topic, at, count = fresh(), ("--bootstrap-server", mortal.bootstrap), 400
    run("kafka-topics", *at, "--create", "--topic", topic)
    shown = tmp_path / "shown"
    with shown.open("wb") as out:
        consumer = subprocess.Popen(
            [
                program("kafka-console-consumer"),
                *at,
                "--topic",
                topic,
                "--from-beginning",
                "--max-messages",
                str(count),
            ],
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
    producer = subprocess.Popen(
        [program("kafka-console-producer"), *at, "--topic", topic],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = threading.Event()

    def feed() -> None:
        assert producer.stdin is not None
        for number in range(count):
            producer.stdin.write(f"{number}\n")
            producer.stdin.flush()
            if number == count // 2:
                killed.wait(60)  # the other half goes to a broker that is not there, or just back
            time.sleep(0.01)
        producer.stdin.close()

    feeding = threading.Thread(target=feed)
    feeding.start()
    deadline = time.monotonic() + 60
    while not shown.stat().st_size and time.monotonic() < deadline:  # both have found the broker
        time.sleep(0.01)
    mortal.stop(signal.SIGKILL)
    killed.set()
    mortal.start()
    feeding.join()
    assert producer.stderr is not None
    assert producer.wait(60) == 0, producer.stderr.read()
    producer.stderr.close()
    assert consumer.wait(60) == 0
    assert shown.read_text().splitlines() == [str(number) for number in range(count)]


@pytest.mark.apache
@pytest.mark.slow
def test_what_was_not_acknowledged_ends_in_exit_1(mortal: apache.Broker) -> None:
    topic, at = fresh(), ("--bootstrap-server", mortal.bootstrap)
    run("kafka-topics", *at, "--create", "--topic", topic)
    producer = subprocess.Popen(
        [
            program("kafka-console-producer"), *at, "--topic", topic, "--timeout", "0", "--request-timeout-ms", "500",
            "--producer-property", "delivery.timeout.ms=3000",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert producer.stdin is not None
    producer.stdin.write("kept\n")
    producer.stdin.flush()
    with open_cluster(mortal.bootstrap) as cluster:
        partition = TopicPartition(topic, 0)
        deadline = time.monotonic() + 30
        while cluster.admin().list_offsets({partition: OffsetAt.LATEST})[partition] != 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    mortal.stop(signal.SIGKILL)
    _, said = producer.communicate("lost\n", timeout=60)
    assert producer.returncode == 1
    assert "TimeoutException" in said
    # The broker may have died between writing the first and acknowledging it.
    assert re.fullmatch(r"[12] of 2 records were not acknowledged\.", said.splitlines()[-1])
    assert "rdkafka" not in said
    mortal.start()
    with open_cluster(mortal.bootstrap) as cluster, cluster.consumer() as reader:
        reader.assign({partition: 0})
        assert [value for run in reader.poll(30) for value in run.values] == [b"kept"]
