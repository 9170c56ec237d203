"""Log-ins and TLS at the port: who comes in, who does not, and that nobody else is held up by either."""

from __future__ import annotations

import shutil
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pykafka_store import scram
from pykafka_store.open import open_data_directory
from tests.support import apache
from tests.support.apache_tools import Tools
from tests.support.certificates import KEY_PASSWORD, Certificates
from tests.support.console import produce, values
from tests.support.frames import ask, authenticate, connect, handshake, plain, receive, send
from tests.support.served import PATIENCE, Served, refusal

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl, which makes the certificates")

USER, PASSWORD = "alice", 'p:a,s=s "wörd"'
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
FAILED, UNSUPPORTED_MECHANISM, ILLEGAL_STATE = 58, 33, 34


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text(f"# who may come in\n{USER}:{PASSWORD}\nbob:builder\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def served(tmp_path: Path, users: Path, certificates: Certificates) -> Iterator[Served]:
    """A server with a port of each kind: with a log-in, with both, with TLS alone, with neither."""
    listen = "SASL_PLAINTEXT://127.0.0.1:0"
    others = [word for each in ("SASL_SSL", "SSL", "PLAINTEXT") for word in ("--listen", f"{each}://127.0.0.1:0")]
    with Served(
        tmp_path / "data", *others, "--users", str(users), "--certificate", str(certificates.server), listen=listen
    ) as server:
        yield server
        code, told = server.stop()
        assert "unexpected" not in told, told
        assert code == 143, (code, told)


# ------------------------------------------------------------------------------------------------------------- clients


def _settings(served: Served, protocol: str, mechanism: str, password: str, authority: Path) -> dict[str, str]:
    found = {
        "bootstrap.servers": served.addresses[["SASL_PLAINTEXT", "SASL_SSL", "SSL", "PLAINTEXT"].index(protocol)],
        "security.protocol": protocol,
        "log_level": "0",
    }
    if protocol.startswith("SASL"):
        found |= {"sasl.mechanism": mechanism, "sasl.username": USER, "sasl.password": password}
    if protocol.endswith("SSL"):
        found |= {"ssl.ca.location": str(authority)}
    return found


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL", "SSL", "PLAINTEXT"])
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_librdkafka_comes_in_with_the_password_and_not_without(
    served: Served, certificates: Certificates, protocol: str, mechanism: str
) -> None:
    client = pytest.importorskip("confluent_kafka")
    if mechanism != "PLAIN" and not protocol.startswith("SASL"):
        pytest.skip("no log-in there")
    settings = _settings(served, protocol, mechanism, PASSWORD, certificates.authority)
    producer = client.Producer(settings)
    payload = [b"%d" % number * 1000 for number in range(2000)]  # more than a record of TLS, and than a socket takes
    for value in payload:
        producer.produce("guarded", value, partition=0)
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0
    consumer = client.Consumer(settings | {"group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["guarded"])
    got: list[bytes] = []
    while len(got) < len(payload):
        some = consumer.consume(500, timeout=PATIENCE)
        assert some
        got += [each.value() for each in some]
    consumer.close()
    assert got == payload
    told = client.Producer(settings).list_topics(timeout=PATIENCE)
    (broker,) = told.brokers.values()
    assert f"{broker.host}:{broker.port}" == settings["bootstrap.servers"]  # the address of the port that it came by
    if protocol.startswith("SASL"):
        assert not _comes_in(settings | {"sasl.password": "wrong"})


def _comes_in(settings: dict[str, str]) -> bool:
    """Or is refused: nothing else is an answer, however long it takes."""
    client = pytest.importorskip("confluent_kafka")
    errors: list[int] = []
    producer = client.Producer(settings | {"error_cb": lambda error: errors.append(error.code())})
    deadline = time.monotonic() + PATIENCE
    while client.KafkaError._AUTHENTICATION not in errors:
        assert time.monotonic() < deadline, errors
        with suppress(client.KafkaException):
            producer.list_topics(timeout=0.5)
            return True
        producer.poll(0)
    return False


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_kafka_python_comes_in(served: Served, certificates: Certificates, mechanism: str) -> None:
    kafka = pytest.importorskip("kafka")
    settings = {
        "bootstrap_servers": served.addresses[1],
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(certificates.authority),
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }
    producer = kafka.KafkaProducer(**settings)
    producer.send("guarded", b"x", partition=0).get(PATIENCE)
    producer.close()
    assert values(served.directory, "guarded") == [b"x"]


@pytest.mark.skipif(shutil.which("kcat") is None, reason="no kcat")
@pytest.mark.parametrize(("password", "code"), [(PASSWORD, 0), ("wrong", 1)])
def test_kcat_comes_in_with_the_password_and_not_without(
    served: Served, certificates: Certificates, password: str, code: int
) -> None:
    options = {
        "security.protocol": "SASL_SSL", "ssl.ca.location": certificates.authority, "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": USER, "sasl.password": password, "message.timeout.ms": "3000",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-X", f"{name}={value}")]
    done = subprocess.run(
        ["kcat", "-b", served.addresses[1], *words, "-L", "-m", "5" if code else "30"],
        capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == code, done.stderr


@pytest.mark.apache
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_apaches_tools_come_in_with_the_password_and_not_without(
    java: Tools, served: Served, certificates: Certificates, tmp_path: Path, mechanism: str
) -> None:
    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    assert produce(served.directory, "one\n", "--topic", "guarded").code == 0

    def run(password: str) -> subprocess.CompletedProcess[bytes]:
        config = tmp_path / "client.properties"
        config.write_text(
            f"security.protocol=SASL_SSL\nsasl.mechanism={mechanism}\nssl.truststore.type=PEM\n"
            f"ssl.truststore.location={certificates.authority}\nsasl.jaas.config=org.apache.kafka.common.security."
            f'{module} required username="{USER}" password="{password}";\n',
            encoding="iso-8859-1",
        )
        words = ("--bootstrap-server", served.addresses[1], "--command-config", str(config), "--list")
        return java.run("kafka-topics", *words)

    assert run(PASSWORD.replace('"', r'\\"')).stdout == b"guarded\n"
    wrong = run("wrong")
    assert wrong.returncode == 1
    assert b"SaslAuthenticationException" in wrong.stderr + wrong.stdout


# ----------------------------------------------------------------------------------------------------------- the gate


def test_versions_are_asked_for_once_and_a_mechanism_that_is_not_there_is_told_with_those_that_are(
    served: Served,
) -> None:
    with connect(served.address) as client:
        assert ask(client, 18, 0) is not None
        assert ask(client, 18, 0) is None
    with connect(served.address) as client:
        answer = ask(client, 17, 1, struct.pack(">h", 6) + b"GSSAPI")
        assert answer is not None
        assert struct.unpack_from(">h", answer)[0] == UNSUPPORTED_MECHANISM
        assert all(each.encode() in answer for each in MECHANISMS)
        assert receive(client) is None


@pytest.mark.parametrize(
    "message",
    [
        plain(USER, "wrong"),
        plain("nobody", PASSWORD),
        plain(USER, ""),
        f"bob\0{USER}\0{PASSWORD}".encode(),
        b"",
        b"\xff" * 10,
        b"\0" * 1000,
    ],
)
def test_a_log_in_that_fails_is_told_so_and_is_the_end(served: Served, message: bytes) -> None:
    with connect(served.address) as client:
        assert handshake(client, "PLAIN") == 0
        found = authenticate(client, message)
        assert found is not None and found[0] == FAILED
        assert receive(client) is None


def test_an_old_clients_bare_messages_log_it_in_and_who_is_in_may_log_in_again(served: Served) -> None:
    with connect(served.address) as client:
        assert handshake(client, "PLAIN", version=0) == 0
        send(client, plain(USER, PASSWORD))
        assert receive(client) == b""
        assert ask(client, 18, 0) is not None
        assert ask(client, 18, 0) is not None
        found = authenticate(client, plain(USER, PASSWORD))
        assert found is not None and found[0] == ILLEGAL_STATE
        assert handshake(client, "PLAIN") == 0
        found = authenticate(client, plain(USER, PASSWORD))
        assert found is not None and found[0] == 0
        assert ask(client, 18, 0) is not None
    with connect(served.address) as client:
        assert handshake(client, "PLAIN", version=0) == 0
        send(client, plain(USER, "wrong"))
        assert receive(client) is None


@pytest.mark.parametrize("size", [-1, (512 << 10) + 1, 100 << 20])
def test_a_strangers_request_is_small(served: Served, size: int) -> None:
    with connect(served.address) as client:
        client.sendall(struct.pack(">i", size) + bytes(8))
        assert receive(client) is None


def test_the_directorys_credentials_count_at_once_and_more_than_those_of_the_file(
    served: Served, certificates: Certificates
) -> None:
    mechanism = scram.MECHANISMS["SCRAM-SHA-256"]

    def comes_in(user: str, password: str) -> bool:
        settings = _settings(served, "SASL_PLAINTEXT", "SCRAM-SHA-256", password, certificates.authority)
        return _comes_in(settings | {"sasl.username": user})

    assert not comes_in("carol", "secret")
    assert comes_in(USER, PASSWORD)
    with open_data_directory(served.directory) as directory:
        admin = directory.admin()
        for user in ("carol", USER):
            admin.alter_user_scram_credentials([scram.upsertion(user, mechanism, "secret", 4096)])
        assert comes_in("carol", "secret")
        assert comes_in(USER, "secret")
        assert not comes_in(USER, PASSWORD)


# ------------------------------------------------------------------------------------------------------------------ TLS


def _tls(address: str, authority: Path, client: Path | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority))
    if client is not None:
        context.load_cert_chain(str(client))
    return context.wrap_socket(connect(address), server_hostname="127.0.0.1")


def test_a_clients_certificate_is_asked_for(tmp_path: Path, certificates: Certificates) -> None:
    words = (
        "--certificate", str(certificates.certificate), "--key", str(certificates.key), "--client-ca",
        str(certificates.authority),
    )  # fmt: skip
    with Served(tmp_path / "data", *words, listen="SSL://127.0.0.1:0") as server:
        with _tls(server.address, certificates.authority, certificates.client) as client:
            assert ask(client, 18, 0) is not None
        with pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: SIM117
            with _tls(server.address, certificates.authority) as client:
                if ask(client, 18, 0) is None:
                    raise ConnectionError
        code, told = server.stop()
        assert code == 143
        assert "127.0.0.1" in told and told.count("\n") == 1


# ------------------------------------------------------------------------------------------------- what is said of it


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--listen", "SSL://127.0.0.1:0"], "--certificate and a --listen SSL://"),
        (["--listen", "127.0.0.1:0", "--users", "{users}"], "--users needs"),
        (["--listen", "127.0.0.1:0", "--key", "{server}"], "need --certificate"),
        (["--listen", "GSSAPI://127.0.0.1:0"], "is none of PLAINTEXT, SSL"),
        (["--listen", "SSL://127.0.0.1:0", "--certificate", "{users}"], "certificate of"),
        (["--listen", "SSL://127.0.0.1:0", "--certificate", "{certificate}", "--key", "{locked}"], "can't be used"),
        (["--listen", "SSL://0.0.0.0:0", "--certificate", "{server}"], "--insecure-network"),
        (["--listen", "127.0.0.1:0", "--advertise", "SSL://a:1"], "0 addresses"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line(
    tmp_path: Path, users: Path, certificates: Certificates, words: Sequence[str], why: str
) -> None:
    places = {
        "users": users,
        "server": certificates.server,
        "certificate": certificates.certificate,
        "locked": certificates.locked_key,
    }
    assert why in refusal(tmp_path / "data", *(each.format(**places) for each in words))


# ------------------------------------------------------------------------------------------------- server.properties


def _started(tmp_path: Path, text: str) -> subprocess.Popen[bytes]:
    file = tmp_path / "server.properties"
    file.write_text(f"log.dirs={tmp_path / 'data'}\n{text}\n")
    return subprocess.Popen(
        [sys.executable, "-m", "pykafka_cli", "server-start", str(file)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def _serving(tmp_path: Path, text: str) -> Iterator[list[str]]:
    """A server of that file, which has started. What it told on stderr is in the list when the context is left."""
    told: list[str] = []
    process = _started(tmp_path, text)
    try:
        assert process.stdout is not None
        assert b"Kafka Server started" in process.stdout.readline()
        yield told
    finally:
        process.terminate()
        told.append(process.communicate(timeout=PATIENCE)[1].decode())


def test_a_servers_file_opens_its_listeners(tmp_path: Path, certificates: Certificates) -> None:
    ports = [apache.free_port() for _ in range(3)]
    inline = certificates.certificate.read_text().replace("\n", "\\\n")
    locked = certificates.locked_key.read_text().replace("\n", "\\\n")
    with _serving(
        tmp_path,
        f"listeners=CLIENTS://127.0.0.1:{ports[0]},SSL://127.0.0.1:{ports[1]},PLAINTEXT://:{ports[2]},CONTROLLER://:1\n"
        "listener.security.protocol.map=CLIENTS:SASL_SSL,SSL:SSL,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
        "sasl.enabled.mechanisms=PLAIN\n"
        "listener.name.clients.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="admin" password="x" user_admin="x" user_alice="with \\\\"quotes\\\\"";\n'
        f"ssl.keystore.type=PEM\nssl.keystore.location={certificates.server}\n"
        f"listener.name.ssl.ssl.keystore.certificate.chain={inline}\nlistener.name.ssl.ssl.keystore.key={locked}\n"
        f"listener.name.ssl.ssl.key.password={KEY_PASSWORD}\n"
        "listener.name.ssl.ssl.client.auth=required\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={certificates.authority}\n",
    ):
        with _tls(f"127.0.0.1:{ports[0]}", certificates.authority) as client:
            assert handshake(client, "SCRAM-SHA-256") == UNSUPPORTED_MECHANISM
        for user, password in (("alice", 'with "quotes"'), ("admin", "x")):
            with _tls(f"127.0.0.1:{ports[0]}", certificates.authority) as client:
                assert handshake(client, "PLAIN") == 0
                found = authenticate(client, plain(user, password))
                assert found is not None and found[0] == 0
        with _tls(f"127.0.0.1:{ports[1]}", certificates.authority, certificates.client) as client:
            assert ask(client, 18, 0) is not None
        with connect(f"127.0.0.1:{ports[2]}") as bare:
            assert ask(bare, 18, 0) is not None


@pytest.mark.parametrize("setting", ["", "plain.", "listener.name.sasl_plaintext.plain."])
def test_who_does_not_log_in_again_in_time_is_closed(tmp_path: Path, setting: str) -> None:
    port = apache.free_port()
    with (
        _serving(
            tmp_path,
            f"listeners=SASL_PLAINTEXT://127.0.0.1:{port}\nsasl.enabled.mechanisms=PLAIN\n"
            f"{setting}connections.max.reauth.ms=700\n"
            "listener.name.sasl_plaintext.plain.sasl.jaas.config="
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="x";\n',
        ) as told,
        connect(f"127.0.0.1:{port}") as client,
    ):
        assert handshake(client, "PLAIN") == 0
        message = plain(USER, "x")
        answer = ask(client, 36, 1, struct.pack(">i", len(message)) + message)
        assert answer is not None and struct.unpack(">q", answer[-8:]) == (700,)
        deadline = time.monotonic() + PATIENCE
        while ask(client, 18, 0) is not None:
            assert time.monotonic() < deadline
    assert "it did not log in again within connections.max.reauth.ms; its connection was closed" in told[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ssl.keystore.location=server.jks", "keytool -importkeystore -srckeystore server.jks -destkeystore"),
        ("ssl.keystore.type=PKCS12\nssl.keystore.location=a.p12", "openssl pkcs12 -in a.p12 -nodes -out keystore.pem"),
        ("", "ssl.keystore.type=PEM"),
    ],
)
def test_stores_of_java_are_refused_with_the_line_that_converts_them(tmp_path: Path, text: str, why: str) -> None:
    process = _started(tmp_path, f"listeners=SSL://127.0.0.1:{apache.free_port()}\n{text}")
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert why in told.decode()
    assert not (tmp_path / "data").exists()
