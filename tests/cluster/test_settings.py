"""Java's client settings as librdkafka gets them: nothing silent, nothing secret in a text. No broker is needed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from pykafka_store.errors import InvalidConfigError, StoreError
from pykafka_store.open import open_cluster
from pykafka_store.remote import link as remote
from pykafka_store.remote.configs import Kind, translate
from pykafka_store.remote.errors import error_of
from tests.cluster.test_tools import run
from tests.support.apache import free_port

SECRET = "correct horse"
PLAIN = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="ann" password="{SECRET}";'


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (
            "admin",
            {"security.protocol": "SASL_SSL", "client.id": "me"},
            {"security.protocol": "SASL_SSL", "client.id": "me"},
        ),
        ("admin", {"request.timeout.ms": "5000"}, {"socket.timeout.ms": "5000"}),
        ("admin", {"send.buffer.bytes": "-1"}, {"socket.send.buffer.bytes": 0}),
        ("producer", {"acks": "1"}, {"acks": "1", "enable.idempotence": "false"}),
        (
            "producer",
            {},
            {"enable.idempotence": "true", "partitioner": "murmur2_random", "delivery.timeout.ms": "120000"},
        ),
        ("producer", {"retries": "0"}, {"enable.idempotence": "false"}),
        ("producer", {"buffer.memory": "2097152"}, {"queue.buffering.max.kbytes": 2048}),
        (
            "producer",
            {"compression.type": "zstd", "compression.zstd.level": "9"},
            {"compression.type": "zstd", "compression.level": 9},
        ),
        ("producer", {"partitioner.ignore.keys": "true"}, {"partitioner": "random"}),
        ("consumer", {}, {"isolation.level": "read_uncommitted", "partition.assignment.strategy": "range"}),
        ("consumer", {"auto.offset.reset": "none"}, {"auto.offset.reset": "error"}),
        ("consumer", {"fetch.max.wait.ms": "7"}, {"fetch.wait.max.ms": "7"}),
        ("consumer", {"group.id": " g "}, {"group.id": " g "}),
        (
            "consumer",
            {"partition.assignment.strategy": "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"},
            {"partition.assignment.strategy": "cooperative-sticky"},
        ),
        ("admin", {"ssl.endpoint.identification.algorithm": ""}, {"ssl.endpoint.identification.algorithm": "none"}),
        ("admin", {"ssl.truststore.certificates": "PEM", "ssl.truststore.type": "PEM"}, {"ssl.ca.pem": "PEM"}),
        (
            "admin",
            {"ssl.keystore.certificate.chain": "CERT", "ssl.keystore.key": "KEY", "ssl.key.password": "p"},
            {"ssl.certificate.pem": "CERT", "ssl.key.pem": "KEY", "ssl.key.password": "p"},
        ),
        (
            "admin",
            {"sasl.mechanism": "PLAIN", "sasl.jaas.config": PLAIN},
            {"sasl.username": "ann", "sasl.password": SECRET},
        ),
        (
            "admin",
            {"sasl.jaas.config": 'a.b.ScramLoginModule required\n username=\'u"\' password="p\\"\\\\;q" ;'},
            {"sasl.username": 'u"', "sasl.password": 'p"\\;q'},
        ),
        (
            "admin",
            {
                "sasl.jaas.config": 'o.OAuthBearerLoginModule required clientId="i" clientSecret="s" scope="a b" '
                'extension_x="1" extension_y="2";',
                "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
            },
            {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.client.id": "i",
                "sasl.oauthbearer.client.secret": "s",
                "sasl.oauthbearer.scope": "a b",
                "sasl.oauthbearer.extensions": "x=1,y=2",
                "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
            },
        ),
        (
            "admin",
            {
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.client.credentials.client.id": "i",
                "sasl.oauthbearer.client.credentials.client.secret": "s",
            },
            {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.client.id": "i",
                "sasl.oauthbearer.client.secret": "s",
            },
        ),
        (
            "admin",
            {"sasl.jaas.config": 'o.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="thePrincipalName";'},
            {"enable.sasl.oauthbearer.unsecure.jwt": True, "sasl.oauthbearer.config": "principal=thePrincipalName"},
        ),
    ],
)
def test_a_setting_is_translated(kind: Kind, given: dict[str, str], expected: dict[str, object]) -> None:
    made = translate(kind, given)
    assert {name: made.settings.get(name) for name in expected} == expected
    assert made.warnings == []


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("producer", {"metric.reporters": "a.B"}),
        ("producer", {"partitioner.adaptive.partitioning.enable": "false"}),
        ("consumer", {"key.deserializer": "a.B"}),
        ("consumer", {"ssl.cipher.suites": "TLS_X"}),
    ],
)
def test_a_setting_without_a_counterpart_is_warned_of(kind: Kind, given: dict[str, str]) -> None:
    (warning,) = translate(kind, given).warnings
    assert list(given)[-1] in warning


def test_a_warning_reaches_the_user() -> None:
    told: list[str] = []
    address = f"127.0.0.1:{free_port()}"
    open_cluster(address, config={"security.providers": "a.B", "client.id": "me"}, on_notice=told.append).close()
    assert told == ["security.providers has no counterpart in librdkafka and has no effect"]
    told.clear()
    with open_cluster(address) as cluster:
        cluster.consumer({"metrics.num.samples": "3"}, on_notice=told.append).close()
    assert told == ["metrics.num.samples has no counterpart in librdkafka and has no effect"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"sasl.jaas.config": f"PlainLoginModule required username= password={SECRET!r}"},
            "sasl.jaas.config is malformed",
        ),
        ({"sasl.jaas.config": f'x.PlainLoginModule required password="{SECRET}";'}, "sasl.jaas.config has no username"),
        ({"sasl.jaas.config": f'x.MyLogin required password="{SECRET}";'}, "MyLogin, which has no counterpart"),
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "MAGIC", "sasl.jaas.config": PLAIN}, "MAGIC"),
        ({"security.protocol": "SSL", "ssl.keystore.key": SECRET, "ssl.keystore.certificate.chain": "x"}, "ssl."),
        ({"request.timeout.ms": "1"}, "request.timeout.ms"),
    ],
)
def test_what_can_not_be_used_is_refused_without_its_secrets(given: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidConfigError) as refused, open_cluster("127.0.0.1:1", config=given) as cluster:
        cluster.admin().list_topics()
    assert text in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"linger.ms": "soon"}, "Invalid value soon for configuration linger.ms: Not a number"),
        ({"linger.ms": "99999999"}, "linger.ms: "),
        ({"max.in.flight.requests.per.connection": "0"}, "max.in.flight.requests.per.connection"),
    ],
)
def test_a_value_that_can_not_be_is_refused_under_the_name_it_was_given(given: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidConfigError, match=text), open_cluster("127.0.0.1:1") as cluster:
        cluster.producer(given)


def test_a_java_key_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    store = tmp_path / "store.jks"
    store.write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    for name in ("ssl.truststore", "ssl.keystore"):
        given = {f"{name}.location": str(store), f"{name}.password": SECRET}
        with pytest.raises(InvalidConfigError, match="keytool") as refused:
            translate("admin", given)
        assert f"{name}.location {store} is a JKS store" in str(refused.value)
        assert SECRET not in str(refused.value)
    with pytest.raises(InvalidConfigError, match="can't be read: No such file or directory"):
        translate("admin", {"ssl.truststore.location": str(tmp_path / "missing")})


def test_stores_in_other_forms_are_used(tmp_path: Path) -> None:
    pem, pkcs12 = tmp_path / "store.pem", tmp_path / "store.p12"
    pem.write_text("-----BEGIN CERTIFICATE-----\n")
    pkcs12.write_bytes(b"\x30\x82")
    assert translate("admin", {"ssl.truststore.location": str(pem)}).settings == {"ssl.ca.location": str(pem)}
    assert translate("admin", {"ssl.keystore.location": str(pem)}).settings == {
        "ssl.certificate.location": str(pem),
        "ssl.key.location": str(pem),
    }
    given = {"ssl.keystore.location": str(pkcs12), "ssl.keystore.password": "p"}
    assert translate("admin", given).settings == given


@pytest.mark.parametrize(
    "command",
    [
        ("kafka-topics", "--list", "--command-config"),
        ("kafka-console-producer", "--topic", "t", "--command-config"),
        ("kafka-console-consumer", "--topic", "t", "--max-messages", "0", "--command-config"),
    ],
)
def test_a_key_that_was_pasted_line_by_line_is_not_shown(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Without backslashes at the ends of its lines each of them is a setting by itself."""
    key = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSj+AgEAAoIBAQC7/abc==", "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ"]
    config = tmp_path / "config"
    config.write_text("\n".join(["ssl.keystore.key=-----BEGIN PRIVATE KEY-----", *key, "no.such.setting=1", ""]))
    with open_cluster(tmp_path / "d") as cluster:
        cluster.admin().create_topic("t")
    done = run(*command, str(config), "--data-dir", str(tmp_path / "d"), input="")
    assert done.stderr.count("\n") <= 2
    assert "MI... (the rest is not shown: it may be part of a secret)" in done.stderr
    for line in key:
        assert line[3:] not in done.stdout + done.stderr


def test_the_password_in_an_address_is_a_secret() -> None:
    url = "https://me:hush@idp.example.com/token"
    assert translate("admin", {"sasl.oauthbearer.token.endpoint.url": url}).secrets == ["hush"]


def test_a_token_needs_somebody_to_ask_for_it() -> None:
    """librdkafka would wait for the program to bring one."""
    with pytest.raises(InvalidConfigError, match=r"OAUTHBEARER needs sasl.oauthbearer.client"):
        translate("admin", {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"})


def test_nobody_listens() -> None:
    """One error in the time that was given, with the cause."""
    started = time.monotonic()
    with open_cluster(f"127.0.0.1:{free_port()}", config={"default.api.timeout.ms": "700"}) as cluster:
        with pytest.raises(StoreError, match=r"did not answer within 0.7 s: .*Connection refused") as refused:
            cluster.admin().list_topics()
        assert refused.value.kafka_name == "TimeoutException"
        with pytest.raises(StoreError), cluster.producer({"max.block.ms": "500"}) as producer:
            producer.send("t", [b"x"])
        with pytest.raises(StoreError), cluster.consumer() as consumer:
            consumer.subscribe(["t"])
    assert time.monotonic() - started < 30  # and not the minute that each would be given


def test_what_can_not_be_interrupted_is_waited_for_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who presses Ctrl-C while a cluster is silent need not wait for as long as a request may take."""
    monkeypatch.setattr(remote, "FIRST_TURN", 0.01)
    with open_cluster(f"127.0.0.1:{free_port()}") as cluster:
        link = cluster.admin_link()  # type: ignore[attr-defined]
        turns: list[float] = []

        def silence(seconds: float) -> None:
            turns.append(seconds)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

        with pytest.raises(StoreError, match="Timed out"):
            link.patiently(silence, 60.0)
        assert turns[:3] == [0.01, 0.02, 0.04]

        def refusal(seconds: float) -> None:
            turns.append(seconds)
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

        turns.clear()
        with pytest.raises(StoreError):
            link.patiently(refusal)
        assert turns == [0.01]


def test_errors_have_kafkas_names_by_their_numbers() -> None:
    exists = error_of(36, "TOPIC_ALREADY_EXISTS", "Broker: Topic already exists")
    assert (exists.kafka_name, exists.code, str(exists)) == (
        "TopicExistsException", 36, "Topic with this name already exists.",
    )  # fmt: skip
    own = error_of(36, "TOPIC_ALREADY_EXISTS", "Topic 't' already exists.")
    assert str(own) == "Topic 't' already exists."
    unlisted = error_of(6, "NOT_LEADER_FOR_PARTITION", "Broker: Not leader for partition")
    assert (unlisted.kafka_name, unlisted.code, unlisted.retriable) == ("NotLeaderOrFollowerException", 6, True)
    assert error_of(-195, "_TRANSPORT", "x").kafka_name == "TimeoutException"
    assert error_of(9999, "?", "x").kafka_name == "UnknownServerException"


def test_without_confluent_kafka_one_line_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['confluent_kafka'] = None\n"
        "from pykafka_cli import main; from pykafka_cli.env import Env\n"
        "sys.exit(main.run(lambda: main.load_command('topics'), 'kafka-topics', "
        "['--bootstrap-server', 'localhost:9092', '--list'], Env.of_process()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'pykafka-toolkit[cluster]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_engine_is_imported_only_for_a_cluster() -> None:
    code = (
        "import sys; from pykafka_store.open import open_cluster; import tempfile\n"
        "open_cluster(tempfile.mkdtemp()).close(); assert 'confluent_kafka' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
