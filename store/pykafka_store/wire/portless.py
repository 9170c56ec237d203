"""Being the server of a data directory: one process at a time, found by its lock, and here one that opens no port.

Kafka's protocol needs a package that not every installation has. A script that starts a server, waits for it and stops
it needs a process that does as little as this one.
"""

from __future__ import annotations

import select
from collections.abc import Sequence

from pykafka_store.embedded.cluster import EmbeddedCluster
from pykafka_store.embedded.layout import SERVER_LOCK
from pykafka_store.errors import StorageError
from pykafka_store.settings.listeners import Listener
from pykafka_store.wire.waking import Waker


def become_server(cluster: EmbeddedCluster) -> None:
    """Be the server of the directory for as long as the cluster is open. Raises StorageError where another is."""
    if not cluster.keep_lock(SERVER_LOCK):
        raise StorageError(
            f"{cluster.directory} is served by another pykafka serve already: stop that one, or use its address"
        )


class PortlessServer:
    """A :class:`pykafka_store.api.RunningServer` that answers nobody. It closes the cluster in the end."""

    address = ("", 0)
    listeners: Sequence[Listener] = ()

    def __init__(self, cluster: EmbeddedCluster) -> None:
        """Raises StorageError where another server has the directory."""
        self._cluster = cluster
        try:
            become_server(cluster)
        except BaseException:
            cluster.close()
            raise
        self._waker = Waker()
        self.wakes = self._waker.descriptor
        self._stopped = False

    def run(self) -> None:
        """Wait for ``stop``."""
        poll = select.poll()  # not select(), which knows no number of a file over 1,023
        poll.register(self._waker.wakee, select.POLLIN)
        try:
            while not self._stopped:
                poll.poll()
                self._waker.drain()
        finally:
            self._waker.close()
            self._cluster.close()

    def stop(self) -> None:
        """End ``run`` soon. May be called from a signal handler, and from another thread."""
        self._stopped = True
        self._waker.wake()
