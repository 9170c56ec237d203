"""Requests over connections of our own: logging in, TLS, controllers, and nodes that say what no broker would."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykafka_store.errors import InvalidConfigError, StoreError, TimeoutError, UnsupportedVersionError
from pykafka_store.model import ConfigResource, TopicPartition
from pykafka_store.open import open_kafka_cluster
from tests.cluster.test_seam import fresh
from tests.cluster.test_tools import run
from tests.support import apache
from tests.support.apache_tools import Tools

PASSWORD = "pass, word=1"
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class SecuredBroker(apache.Broker):
    """A broker that wants a password over TLS (``login``), or a certificate of the client's (``certified``)."""

    def __init__(self, folder: Path) -> None:
        security = "org.apache.kafka.common.security"
        scram = f"{security}.scram.ScramLoginModule required;"
        bearer = f"{security}.oauthbearer"
        login = {
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
            "plain.sasl.jaas.config": f'{security}.plain.PlainLoginModule required user_ann="{PASSWORD}";',
            "scram-sha-256.sasl.jaas.config": scram,
            "scram-sha-512.sasl.jaas.config": scram,
            "oauthbearer.sasl.jaas.config": f"{bearer}.OAuthBearerLoginModule required;",
            "oauthbearer.sasl.server.callback.handler.class": f"{bearer}.internals.unsecured."
            "OAuthBearerUnsecuredValidatorCallbackHandler",
        }
        certified = {
            "ssl.client.auth": "required",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(folder / "cert.pem"),
        }
        store = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(folder / "server.pem")}
        super().__init__(
            {
                "listener.security.protocol.map": "LOGIN:SASL_SSL,CERTIFIED:SSL,PLAINTEXT:PLAINTEXT,"
                "CONTROLLER:PLAINTEXT",
                **{f"listener.name.login.{name}": value for name, value in (login | store).items()},
                **{f"listener.name.certified.{name}": value for name, value in (certified | store).items()},
                "delegation.token.secret.key": "secret",
                "inter.broker.listener.name": "PLAINTEXT",
            },
            start_timeout=240,
        )
        self.login = f"127.0.0.1:{apache.free_port()}"
        self.certified = f"127.0.0.1:{apache.free_port()}"
        self.secrets = folder

    def _format(self) -> None:
        super()._format()
        path = self.folder / "server.properties"
        listeners = f"listeners=LOGIN://{self.login},CERTIFIED://{self.certified},PLAINTEXT"
        path.write_text(path.read_text().replace("listeners=PLAINTEXT", listeners))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    for command in (
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        ["openssl", "pkcs12", "-export", "-in", "cert.pem", "-inkey", "key.pem", "-out", "client.p12",
         "-passout", f"pass:{PASSWORD}"],
        ["openssl", "pkcs8", "-topk8", "-in", "key.pem", "-out", "locked.pem", "-passout", f"pass:{PASSWORD}"],
    ):  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    with SecuredBroker(folder) as running:
        yield running


def trusting(broker: SecuredBroker) -> dict[str, str]:
    return {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(broker.secrets / "cert.pem")}


def logging_in(broker: SecuredBroker, mechanism: str, password: str = PASSWORD) -> dict[str, str]:
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    return {
        **trusting(broker),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f'org.apache.kafka.common.security.{module} required username="ann" password="{password}";',
    }


def ask(address: str, settings: dict[str, str]) -> int:
    """The broker that answers, over a connection of our own."""
    with open_kafka_cluster(address, {"default.api.timeout.ms": "20000", **settings}) as cluster:
        return cluster.admin().describe_quorum().leader_id


@pytest.mark.apache
def test_a_password_lets_us_in(secured: SecuredBroker) -> None:
    for mechanism in SCRAM:
        credential = f"{mechanism}=[iterations=4096,password=word-1]"
        made = run(
            "kafka-configs",
            "--bootstrap-server",
            secured.bootstrap,
            "--alter",
            "--user",
            "ann",
            "--add-config",
            credential,
        )
        assert made.returncode == 0, made.stderr
    assert ask(secured.login, logging_in(secured, "PLAIN")) == 1
    for mechanism in SCRAM:
        assert ask(secured.login, logging_in(secured, mechanism, "word-1")) == 1
    unsecured = {
        **trusting(secured),
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.jaas.config": "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="ann";',
    }
    assert ask(secured.login, unsecured) == 1


@pytest.mark.apache
@pytest.mark.parametrize("mechanism", ["PLAIN", *SCRAM])
def test_a_wrong_password_is_told_in_the_brokers_words_and_not_shown(secured: SecuredBroker, mechanism: str) -> None:
    with pytest.raises(StoreError) as refused:
        ask(secured.login, logging_in(secured, mechanism, "quite-wrong"))
    assert refused.value.kafka_name == "SaslAuthenticationException"
    assert secured.login in str(refused.value)
    assert "Authentication failed" in str(refused.value)
    assert "quite-wrong" not in str(refused.value)


@pytest.mark.apache
def test_a_mechanism_that_is_not_enabled_or_not_ours(secured: SecuredBroker) -> None:
    kerberos = {"sasl.mechanism": "GSSAPI", "security.protocol": "SASL_SSL", **trusting(secured)}
    with pytest.raises(InvalidConfigError, match="GSSAPI can't be honoured for this request"):
        ask(secured.login, kerberos)


@pytest.mark.apache
def test_a_certificate_of_ours_from_each_kind_of_store(secured: SecuredBroker) -> None:
    folder = secured.secrets
    chain, key, locked = ((folder / name).read_text() for name in ("cert.pem", "key.pem", "locked.pem"))
    base = {**trusting(secured), "security.protocol": "SSL"}
    for store in (
        {"ssl.keystore.location": str(folder / "server.pem"), "ssl.keystore.type": "PEM"},
        {"ssl.keystore.certificate.chain": chain, "ssl.keystore.key": key},
        {"ssl.keystore.certificate.chain": chain, "ssl.keystore.key": locked, "ssl.key.password": PASSWORD},
        {"ssl.keystore.location": str(folder / "client.p12"), "ssl.keystore.password": PASSWORD},
    ):
        assert ask(secured.certified, base | store) == 1
    inline = {"ssl.truststore.certificates": chain, "ssl.truststore.location": "", "ssl.truststore.type": "PEM"}
    assert (
        ask(secured.certified, base | inline | {"ssl.keystore.certificate.chain": chain, "ssl.keystore.key": key}) == 1
    )
    wrong = {"ssl.keystore.location": str(folder / "client.p12"), "ssl.keystore.password": "quite-wrong"}
    with pytest.raises(
        InvalidConfigError, match=r"client\.p12 can't be read: .*ssl\.keystore\.password right"
    ) as refused:
        ask(secured.certified, base | wrong)
    assert "quite-wrong" not in str(refused.value)
    locked_out = {"ssl.keystore.certificate.chain": chain, "ssl.keystore.key": locked, "ssl.key.password": "no"}
    with pytest.raises(InvalidConfigError, match=r"is it PEM, and ssl\.key\.password right"):
        ask(secured.certified, base | locked_out)


@pytest.mark.apache
def test_whom_nobody_vouches_for_is_not_trusted_and_not_asked_again(secured: SecuredBroker) -> None:
    with pytest.raises(StoreError, match="certificate verify failed") as refused:
        ask(secured.certified, {"security.protocol": "SSL"})
    assert refused.value.kafka_name == "SslAuthenticationException"


@pytest.mark.apache
def test_delegation_tokens_as_apaches_tool_has_them(java: Tools, secured: SecuredBroker, tmp_path: Path) -> None:
    config = tmp_path / "client.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in logging_in(secured, "PLAIN").items()))
    at = ("--bootstrap-server", secured.login, "--command-config", str(config))
    created = run(
        "kafka-delegation-tokens", *at, "--create", "--max-life-time-period", "-1", "--renewer-principal", "User:bob"
    )
    assert created.returncode == 0, created.stderr
    assert "Created delegation token with tokenId" in created.stdout
    listed = ("kafka-delegation-tokens", *at, "--describe", "--owner-principal", "User:ann")
    theirs = java.run(*listed).stdout.decode()
    assert run(*listed).stdout == theirs
    assert "User:bob" in theirs


# --------------------------------------------------------------------------------------------------------- controllers


@pytest.mark.apache
def test_a_controller_answers_what_administrates_the_cluster(java: Tools, broker: apache.Broker) -> None:
    controller = f"127.0.0.1:{broker.controller_port}"
    for words in (
        ("kafka-cluster", "cluster-id"),
        ("kafka-cluster", "list-endpoints"),
        ("kafka-cluster", "list-endpoints", "--include-fenced-brokers"),
    ):
        theirs = java.run(*words, "--bootstrap-controller", controller)
        ours = run(*words, "--bootstrap-controller", controller)
        assert (ours.stdout, ours.returncode) == (theirs.stdout.decode(), theirs.returncode)
        assert ours.stderr.splitlines()[:1] == theirs.stderr.decode().splitlines()[:1]
    at = ("--bootstrap-controller", controller)
    quorum = run("kafka-metadata-quorum", *at, "describe", "--status")
    assert quorum.returncode == 0, quorum.stderr
    assert f'"endpoints": ["CONTROLLER://{controller}"]' in quorum.stdout
    theirs = java.run("kafka-configs", *at, "--describe", "--entity-type", "brokers", "--entity-default")
    ours = run("kafka-configs", *at, "--describe", "--entity-type", "brokers", "--entity-default")
    assert (ours.stdout, ours.returncode) == (theirs.stdout.decode(), theirs.returncode)
    features = ("kafka-features", *at, "describe")
    epoch = -1  # the epoch counts what brokers tell, and never stands still
    assert [line.split()[:epoch] for line in run(*features).stdout.splitlines()] == [
        line.split()[:epoch] for line in java.run(*features).stdout.decode().splitlines()
    ]


@pytest.mark.apache
def test_what_a_controller_does_not_know_is_refused_at_once(broker: apache.Broker) -> None:
    controller = f"127.0.0.1:{broker.controller_port}"
    with open_kafka_cluster(controller, controllers=True) as cluster:
        with pytest.raises(UnsupportedVersionError, match="is a controller's"):
            cluster.admin().list_topics()
        partition = TopicPartition(fresh(), 0)
        (refused,) = cluster.admin().describe_producers([partition]).values()
        assert isinstance(refused, UnsupportedVersionError)
        assert cluster.admin().live_brokers() == (1,)


@pytest.mark.apache
def test_the_versions_that_a_broker_has_are_shown_as_by_apaches_tool(java: Tools, broker: apache.Broker) -> None:
    ours = run("kafka-broker-api-versions", "--bootstrap-server", broker.bootstrap)
    theirs = java.run("kafka-broker-api-versions", "--bootstrap-server", broker.bootstrap)
    assert (ours.stdout, ours.returncode) == (theirs.stdout.decode(), 0)


@pytest.mark.apache
def test_loggers_of_a_broker(java: Tools, broker: apache.Broker) -> None:
    at = ("--bootstrap-server", broker.bootstrap, "--broker-logger", "1")
    logger = "LogFutureTimestampLogger"
    changed = run("kafka-configs", *at, "--alter", "--add-config", f"{logger}=DEBUG")
    assert (changed.stdout, changed.returncode) == ("Completed updating config for broker-logger 1.\n", 0)
    shown = run("kafka-configs", *at, "--describe")
    assert f"  {logger}=DEBUG sensitive=false synonyms={{}}" in shown.stdout.splitlines()
    assert shown.stdout == java.run("kafka-configs", *at, "--describe").stdout.decode()
    assert run("kafka-configs", *at, "--alter", "--delete-config", logger).returncode == 0
    unknown = run("kafka-configs", *at, "--alter", "--add-config", "no.such=DEBUG")
    assert (unknown.stderr, unknown.returncode) == ("Invalid broker logger(s): no.such\n", 1)


# -------------------------------------------------------------------------------------- what is no broker, or lies


@pytest.fixture
def lying() -> Iterator[Callable[[bytes], str]]:
    """Listeners that answer whatever they are asked with the same bytes."""
    listeners = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):  # it hung up
                while peer.recv(65536):
                    peer.sendall(answer)

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (struct.pack(">i", 2**31 - 1), "another protocol"),
        (struct.pack(">i", -5), "another protocol"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP"),
        (struct.pack(">ii", 4, 1), "does not decode"),
        (struct.pack(">iih", 8, 77, 0) + b"xx", "answer 77 to question 1"),
        (struct.pack(">iihi", 10, 1, 0, 2**31 - 1), "does not decode"),
        (struct.pack(">iih", 11, 1, 0) + b"\xff\xff\xff\xff\x0f", "does not decode"),
    ],
)
def test_what_no_broker_would_say_ends_in_one_line(lying: Callable[[bytes], str], answer: bytes, cause: str) -> None:
    address = lying(answer)
    settings = {"default.api.timeout.ms": "1500"}
    with open_kafka_cluster(address, settings) as cluster, pytest.raises(TimeoutError) as refused:
        cluster.admin().describe_configs(ConfigResource("topic", "t"))
    assert str(refused.value).startswith(f"{address} did not answer within 1.5 s: ")
    assert cause in str(refused.value)
    assert "\n" not in str(refused.value)
