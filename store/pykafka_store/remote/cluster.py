"""A Kafka cluster behind the seam: hands out admins, producers and consumers that talk to it through librdkafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from confluent_kafka.admin import AdminClient

from pykafka_store.errors import StoreError, UnsupportedVersionError
from pykafka_store.model import Delivery, SendFailure
from pykafka_store.remote import configs
from pykafka_store.remote.link import Endpoint, Link

if TYPE_CHECKING:  # a command pays for the clients that it uses: each method imports its own
    from pykafka_store.remote.admin import RemoteAdmin
    from pykafka_store.remote.consumer import RemoteConsumer
    from pykafka_store.remote.producer import RemoteProducer
    from pykafka_store.remote.requests.network import Network
    from pykafka_store.remote.transactions import RemoteTransactionalProducer


class RemoteCluster:
    """See :class:`pykafka_store.api.Cluster`."""

    def __init__(
        self,
        address: str,
        config: Mapping[str, str] | None = None,
        *,
        read_only: bool = False,
        patience: float | None = None,
        controllers: bool = False,
        on_notice: Callable[[str], None] | None = None,
        on_waiting: Callable[[str], None] | None = None,
    ) -> None:
        """``controllers``: the address is one of controllers, which answer what administrates the cluster only."""
        self._controllers = controllers
        self._endpoint = Endpoint(address, patience, on_waiting)
        self._read_only = read_only
        self._config = dict(config or {})
        self._admin: Link[AdminClient] | None = None
        self._network: Network | None = None
        if on_notice is not None:
            for line in configs.admin_warnings(self._config):
                on_notice(line)

    def admin(self) -> RemoteAdmin:
        from pykafka_store.remote.admin import RemoteAdmin

        return RemoteAdmin(self.admin_link, self.network, self._require_writable, of_controllers=self._controllers)

    def producer(
        self,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
        on_notice: Callable[[str], None] | None = None,
    ) -> RemoteProducer:
        from pykafka_store.remote.producer import RemoteProducer

        self._require_writable()
        return RemoteProducer(
            self._endpoint, self._connection() | dict(config or {}), self.admin, on_delivery, on_failure, on_notice
        )

    def transactional_producer(
        self,
        transactional_id: str,
        config: Mapping[str, str] | None = None,
        *,
        on_delivery: Callable[[Delivery], None] | None = None,
        on_failure: Callable[[SendFailure], None] | None = None,
    ) -> RemoteTransactionalProducer:
        from pykafka_store.remote.transactions import RemoteTransactionalProducer

        self._require_writable()
        config = self._connection() | dict(config or {})
        return RemoteTransactionalProducer(
            self._endpoint, transactional_id, config, self.admin, on_delivery, on_failure
        )

    def consumer(
        self, config: Mapping[str, str] | None = None, *, on_notice: Callable[[str], None] | None = None
    ) -> RemoteConsumer:
        from pykafka_store.remote.consumer import RemoteConsumer

        creating = None if self._read_only else self.admin_link
        return RemoteConsumer(self._endpoint, self._connection() | dict(config or {}), creating, on_notice)

    def close(self) -> None:
        self._admin = None
        if self._network is not None:
            self._network.close()
            self._network = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------------- connections

    def admin_link(self) -> Link[AdminClient]:
        """The connection for admin requests, made when it is first asked for."""
        if self._controllers:  # librdkafka would ask controllers for what only brokers tell, until the time is over
            raise UnsupportedVersionError(
                f"{self._endpoint.address} is a controller's, and this is asked of brokers: use --bootstrap-server"
            )
        if self._admin is None:
            self._admin = Link(self._endpoint, "admin", self._config, AdminClient, {})
        return self._admin

    def network(self) -> Network:
        """The connections for what librdkafka has no request for, made when they are first asked for."""
        from pykafka_store.remote.requests.network import Network

        if self._network is None:
            self._network = Network(self._endpoint, self._config, controllers=self._controllers)
        return self._network

    def _connection(self) -> dict[str, str]:
        """Those of the cluster's settings that a producer and a consumer share: how to reach it, and how to log in."""
        shared = configs.CONNECTION
        return {name: value for name, value in self._config.items() if name in shared}

    def _require_writable(self) -> None:
        if self._read_only:
            raise StoreError(f"{self._endpoint.address} was opened to read only")
