"""What all parts of an opened data directory share: admins, clients, replicas and upkeep are each given an Engine."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pykafka_store.embedded import reserve
from pykafka_store.embedded.brokers import Brokers
from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.clock import Clock
from pykafka_store.embedded.disk import Disk, is_nearly_full
from pykafka_store.embedded.locks import Locks

if TYPE_CHECKING:
    from typing import Protocol

    from pykafka_store.embedded.groups.database import GroupDatabase
    from pykafka_store.embedded.groups.views import GroupViews
    from pykafka_store.settings.configs import BrokerConfigs, TopicConfig

    class Client(Protocol):
        def close(self) -> None: ...


class Engine:
    """One data directory, opened by one process, for all of its threads."""

    def __init__(
        self, directory: str, disk: Disk, clock: Clock, locks: Locks, catalog: Catalog, *, read_only: bool
    ) -> None:
        """``directory``: the absolute path. The engine closes the catalogue and the locks in the end."""
        self.directory = directory
        self.disk = disk
        self.clock = clock
        self.locks = locks
        self.catalog = catalog
        self.brokers = Brokers(catalog, disk, directory, read_only=read_only)
        self.read_only = read_only
        """Whether nothing may be changed: by the caller's wish, or because the process may not write here."""
        self.was_full = False
        """Whether the disk of the data directory was nearly full when room was made."""
        self.clients: weakref.WeakSet[Client] = weakref.WeakSet()
        """Those that may have something to finish before the directory is closed."""
        self._groups: GroupDatabase | None = None
        self._group_views: GroupViews | None = None
        self._opening = threading.Lock()
        """Held while ``groups`` is opened: of threads that ask at once, one does."""

    @property
    def groups(self) -> GroupDatabase:
        """The groups' database, opened when it is first asked for: most commands have no use for it."""
        if self._groups is None:
            from pykafka_store.embedded.groups.database import GroupDatabase

            self.catalog.require_ours()
            with self._opening:
                if self._groups is None:
                    self._groups = GroupDatabase(self.directory, read_only=self.read_only)
        return self._groups

    @property
    def group_views(self) -> GroupViews:
        """What members look at: for all that this process has of a group."""
        if self._group_views is None:
            from pykafka_store.embedded.groups.views import GroupViews

            groups = self.groups
            with self._opening:
                if self._group_views is None:
                    self._group_views = GroupViews(groups, self.catalog)
        return self._group_views

    def require_writable(self) -> None:
        """Raises StorageError where the directory may only be read."""
        if self.read_only:
            raise self.disk.not_writable(self.directory)

    def broker_configs(self, broker: int | None) -> BrokerConfigs:
        """The settings that were given to a broker, or with None to all brokers."""
        from pykafka_store.settings.configs import BrokerConfigs

        return BrokerConfigs.of(self.catalog.configs("broker"), broker)

    def server_setting(self, name: str) -> str | None:
        """What a server.properties says of topics that are made, and of clients: that of the first broker that has one;
        None if none has.
        """
        from pykafka_store.settings.configs import static_name

        stored = self.catalog.configs("broker")
        for broker in self.brokers.all() if stored else ():
            value = stored.get(static_name(broker), {}).get(name)
            if value is not None:
                return value
        return None

    def topic_config(self, overrides: Mapping[str, str], leader: int | None) -> TopicConfig:
        """The settings in force for a topic with these overrides, for a partition that this broker leads."""
        from pykafka_store.settings.configs import BrokerConfigs, TopicConfig

        stored = self.catalog.configs("broker")
        return TopicConfig.of(overrides, BrokerConfigs.of(stored, leader)) if stored else TopicConfig.of(overrides)

    def make_room(self) -> None:
        """For what frees space: on a disk that is nearly full, take the room that was kept for that."""
        if is_nearly_full(self.directory):
            self.was_full = True
            reserve.release(self.directory)

    def close(self) -> None:
        try:
            for client in list(self.clients):
                client.close()
        finally:
            self._close()

    def _close(self) -> None:
        if self._groups is not None:
            self._groups.close()
        self.catalog.close()
        self.locks.close()
        if not self.read_only:
            reserve.keep(self.directory)
