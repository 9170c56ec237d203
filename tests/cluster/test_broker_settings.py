"""What a broker lets one change in its settings is kept here, by the same bounds, or is one that says who may in."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource

from pykafka_store.errors import StoreError
from pykafka_store.settings.dynamic_configs import (
    BROKER_SETTINGS,
    WITHOUT_EFFECT,
    BrokerConfigs,
    check_broker,
    describe_broker,
)
from pykafka_store.settings.server_configs import SHOWN, describe_server
from tests.support.apache import Broker

REFUSED = {
    "config.providers", "cordoned.log.dirs", "group.consumer.assignment.interval.ms",
    "group.share.assignment.interval.ms", "group.streams.assignment.interval.ms", "listener.security.protocol.map",
    "listeners", "max.connections.per.ip.overrides", "metric.reporters", "principal.builder.class",
    "sasl.enabled.mechanisms", "sasl.jaas.config", "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.principal.to.local.rules", "sasl.kerberos.service.name", "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds", "sasl.mechanism.inter.broker.protocol",
}  # fmt: skip
"""What a broker can be told while it runs, and a directory can't; and all of ``ssl.``."""


@pytest.fixture(scope="module")
def admin(broker: Broker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap})


def _described(admin: AdminClient, broker: Broker) -> dict[str, ConfigEntry]:
    resource = ConfigResource("broker", str(broker.node_id))
    return dict(admin.describe_configs([resource])[resource].result(60))


def test_what_can_be_changed_there_is_known_here_but_for_these(admin: AdminClient, broker: Broker) -> None:
    there = {name for name, entry in _described(admin, broker).items() if not entry.is_read_only}
    missing = {name for name in there - BROKER_SETTINGS.keys() if not name.startswith("ssl.")}
    assert missing == REFUSED


def test_what_has_no_effect_has_a_brokers_defaults(admin: AdminClient, broker: Broker) -> None:
    theirs = _described(admin, broker)
    ours = {each.name: each.value for each in describe_broker(BrokerConfigs.of({}, None))}
    names = WITHOUT_EFFECT.keys() - {"log.cleaner.threads"}
    assert {name: ours[name] for name in names} == {name: theirs[name].value for name in names}


def test_what_is_shown_of_a_server_has_a_brokers_defaults(admin: AdminClient, broker: Broker) -> None:
    theirs = _described(admin, broker)
    shown = {each.name: each for each in describe_server(0, ["/logs"], {})}
    assert {name for name in shown if not theirs[name].is_read_only} == {"listeners", "listener.security.protocol.map"}
    defaults = {
        name: [each for each in entry.synonyms.values() if each.source == ConfigSource.DEFAULT_CONFIG.value]
        for name, entry in theirs.items()
    }
    for name, ours in shown.items():
        expected = [each.value for each in defaults[name]] or [None]
        assert [SHOWN[name].default] == ["null" if each is None else each for each in expected], ours


@pytest.mark.parametrize("value", ["x", "-2", "-1", "0", "0.3", "true"])
def test_what_has_no_effect_has_a_brokers_bounds(admin: AdminClient, broker: Broker, value: str) -> None:
    asked = {}
    for name in WITHOUT_EFFECT:
        if value == "0" and name.startswith(("max.connection", "log.cleaner.threads")):
            continue  # refused by the part of a broker that would have none any more: some of it says "/ by zero"
        change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource("broker", str(broker.node_id), incremental_configs=[change])
        asked[name] = admin.incremental_alter_configs([resource], validate_only=True)[resource]
    theirs, ours = {}, {}
    for name, answer in asked.items():
        try:
            answer.result(60)
            theirs[name] = ""
        except KafkaException as error:
            theirs[name] = error.args[0].str()
        try:
            check_broker("1", {name: value}, ())
            ours[name] = ""
        except StoreError as error:
            ours[name] = str(error)
    assert ours == theirs
