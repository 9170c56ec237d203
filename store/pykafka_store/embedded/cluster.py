"""A data directory as a cluster: it hands out admins, producers and consumers.

What is in a directory: store/FORMAT.md and :mod:`pykafka_store.embedded.layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.engine import Engine
from pykafka_store.embedded.open import open_engine
from pykafka_store.embedded.parts import Part

if TYPE_CHECKING:
    from pykafka_store.embedded.admin import EmbeddedAdmin
    from pykafka_store.embedded.admin.brokers import BrokerAdmin
    from pykafka_store.embedded.admin.moves import MoveAdmin
    from pykafka_store.embedded.clients.consumer import EmbeddedConsumer
    from pykafka_store.embedded.clients.copier import EmbeddedCopier
    from pykafka_store.embedded.clients.producer import EmbeddedProducer
    from pykafka_store.embedded.making import NewDirectory
    from pykafka_store.model import CopiedRun, Delivery, MaintenanceReport, SendFailure, TopicPartition


def _brokers(engine: Engine) -> BrokerAdmin:
    from pykafka_store.embedded.admin.brokers import BrokerAdmin

    return BrokerAdmin(engine)


def _moves(engine: Engine) -> MoveAdmin:
    from pykafka_store.embedded.admin.moves import MoveAdmin

    return MoveAdmin(engine)


class EmbeddedCluster:
    """See :class:`pykafka_store.api.Cluster`."""

    def __init__(
        self,
        directory: str,
        *,
        create: bool = True,
        read_only: bool = False,
        disk: Disk | None = None,
        clock: Clock | None = None,
        new: NewDirectory | None = None,
        on_made: Callable[[str], None] | None = None,
    ) -> None:
        """With ``new``, the directory must not be a data directory yet; ``on_made`` hears that it was made here."""
        self.engine = open_engine(
            directory, create=create, read_only=read_only, disk=disk, clock=clock, new=new, on_made=on_made
        )
        self.directory = self.engine.directory

    # ------------------------------------------------------------------------------------------------------ clients

    def admin(self) -> EmbeddedAdmin:
        from pykafka_store.embedded.admin import EmbeddedAdmin

        return EmbeddedAdmin(self.engine)

    def producer(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> EmbeddedProducer:
        from pykafka_store.embedded.clients.producer import LINGER_MS, EmbeddedProducer
        from pykafka_store.settings.client_configs import ClientConfig

        linger = ClientConfig("producer", config).milliseconds("linger.ms", LINGER_MS)
        if not linger:
            return EmbeddedProducer(self.engine, config, on_delivery, on_failure, on_notice)
        from pykafka_store.embedded.clients.lingering import LingeringProducer

        return LingeringProducer(self.engine, config, linger, on_delivery, on_failure, on_notice)

    def consumer(
        self, config: Mapping[str, str] | None = None, *, on_notice: Callable[[str], None] | None = None
    ) -> EmbeddedConsumer:
        from pykafka_store.settings.client_configs import ClientConfig, group_id

        settings = ClientConfig("consumer", config)
        group = group_id(config or {})
        if group is None:
            from pykafka_store.embedded.clients.consumer import EmbeddedConsumer

            if settings.is_given("partition.assignment.strategy"):  # of no use without a group, and checked as in Kafka
                from pykafka_store.embedded.groups.assignors import assignor_names

                assignor_names(settings.text("partition.assignment.strategy", ""))
            return EmbeddedConsumer(self.engine, settings, on_notice)
        from pykafka_store.embedded.clients.member_consumer import MemberConsumer

        return MemberConsumer(self.engine, settings, group, on_notice)

    def copier(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> EmbeddedCopier:
        from pykafka_store.embedded.clients.copier import EmbeddedCopier

        return EmbeddedCopier(self.engine, config, on_delivery, on_notice)

    def copied(self, partition: TopicPartition, source: str, since: int = 0) -> list[CopiedRun]:
        from pykafka_store.embedded.replication.reader import open_reader
        from pykafka_store.format.copies import producer_id_of

        with closing(open_reader(self.engine, partition)) as reader:
            return reader.copied(producer_id_of(source), since)

    def set_server_settings(self, broker: int, settings: Mapping[str, str]) -> None:
        from pykafka_store.settings.configs import static_name

        self.engine.require_writable()
        self.engine.brokers.require(broker)
        catalog, name = self.engine.catalog, static_name(broker)
        with catalog.transaction():
            before = catalog.configs("broker").get(name, {})
            catalog.change_entity_configs("broker", name, settings, before.keys() - settings.keys())

    def keep_lock(self, name: str) -> bool:
        self.engine.require_writable()
        return self.engine.locks.keep(name)

    def lock_is_kept(self, name: str) -> bool:
        return self.engine.locks.is_kept(name)

    # -------------------------------------------------------------------------------------------- the whole directory

    def maintain(self, on_progress: Callable[[TopicPartition, int], None] | None = None) -> MaintenanceReport:
        from pykafka_store.embedded.health.maintenance import maintain

        return maintain(self.engine, on_progress)

    _moves = Part(_moves)
    reassign = _moves.method(lambda part: part.reassign)

    _brokers = Part(_brokers)
    brokers = _brokers.method(lambda part: part.brokers)
    add_broker = _brokers.method(lambda part: part.add_broker)
    stop_broker = _brokers.method(lambda part: part.stop_broker)
    start_broker = _brokers.method(lambda part: part.start_broker)
    remove_broker = _brokers.method(lambda part: part.remove_broker)

    # -------------------------------------------------------------------------------------------------------- closing

    def close(self) -> None:
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
