"""Opening: the functions that pick an engine, which they import when they are called.

A directory (``file:DIR`` or a path) is served by the embedded engine, ``host:port`` by a real Kafka cluster. What
either can be asked is in pykafka_store.api. The command line knows that module and this one, and neither engine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from pykafka_store.errors import EngineUnavailableError, InvalidConfigError

if TYPE_CHECKING:
    from pykafka_store.access import ScramUpsertion
    from pykafka_store.api import Cluster, KafkaCluster, RunningServer
    from pykafka_store.directory import DataDirectory
    from pykafka_store.embedded.unused import SetAside
    from pykafka_store.model import CheckReport, Finding, TopicPartition
    from pykafka_store.settings.listeners import Listener


def open_cluster(
    address: str | os.PathLike[str],
    *,
    create: bool = True,
    read_only: bool = False,
    config: Mapping[str, str] | None = None,
    patience: float | None = None,
    controllers: bool = False,
    on_notice: Callable[[str], None] | None = None,
    on_made: Callable[[str], None] | None = None,
    on_waiting: Callable[[str], None] | None = None,
) -> Cluster:
    """Open what an address names: ``file:DIR``, a directory's path, or ``host:port[,host:port]`` for a Kafka cluster.

    A missing directory is made if ``create`` is true. ``read_only`` promises that nothing will be changed; a
    directory that may only be read is opened so by itself. ``config`` are client settings in Java's names that say how
    to reach a cluster and how to log in; a directory needs none of them. ``patience``: how many seconds a cluster has
    for its first answer at most, where its settings leave it more. ``controllers``: the cluster's address is one of
    controllers, as in Kafka's ``bootstrap.controllers``: what administrates the cluster can be asked of them, and
    nothing else; a directory is its own controller. ``on_notice`` gets a line for each setting that
    librdkafka does not know, ``on_made`` the path of a data directory that was missing and is made, ``on_waiting`` a
    line where a cluster does not answer at once.

    A cluster is first talked to when something is asked of it. Raises StorageError for a directory that can't be
    used, UnsupportedVersionError for one of a newer layout, InvalidConfigError for a cluster's port that can't be one,
    EngineUnavailableError where confluent-kafka is not installed.
    """
    text = os.fspath(address)
    if is_cluster_address(text):
        from pykafka_store.remote.cluster import RemoteCluster

        return RemoteCluster(
            bootstrap_servers(text),
            config,
            read_only=read_only,
            patience=patience,
            controllers=controllers,
            on_notice=on_notice,
            on_waiting=on_waiting,
        )
    from pykafka_store.embedded.cluster import EmbeddedCluster

    return EmbeddedCluster(text.removeprefix("file:"), create=create, read_only=read_only, on_made=on_made)


def open_kafka_cluster(
    address: str,
    config: Mapping[str, str] | None = None,
    on_notice: Callable[[str], None] | None = None,
    *,
    controllers: bool = False,
    on_waiting: Callable[[str], None] | None = None,
) -> KafkaCluster:
    """Open ``host:port[,host:port]``, as ``open_cluster`` does, and with its errors.

    ``controllers`` and ``on_waiting`` as there.
    """
    from pykafka_store.remote.cluster import RemoteCluster

    return RemoteCluster(
        bootstrap_servers(address), config, controllers=controllers, on_notice=on_notice, on_waiting=on_waiting
    )


def open_data_directory(
    directory: str | os.PathLike[str], *, create: bool = False, on_made: Callable[[str], None] | None = None
) -> DataDirectory:
    """Open a data directory to change it; one that is missing is made if ``create`` is true, and ``on_made`` gets its
    path. Raises StorageError, UnsupportedVersionError.
    """
    from pykafka_store.embedded.cluster import EmbeddedCluster

    return EmbeddedCluster(os.fspath(directory), create=create, on_made=on_made)


def format_data_directory(
    directory: str | os.PathLike[str],
    cluster_id: str,
    broker: int = 0,
    log_dirs: Sequence[str] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
    features: Mapping[str, int] = MappingProxyType({}),
    credentials: Sequence[ScramUpsertion] = (),
) -> None:
    """Make a data directory with a cluster id of one's own, and a first broker with that number.

    ``log_dirs`` are log directories of the broker besides the one below the data directory, ``settings`` what its
    server.properties says (settings.static_configs), ``features`` the levels that are not the highest,
    ``credentials`` those of users from the beginning. Raises StorageError for a directory that is one already, or holds
    something else, and InvalidRequestError for log directories that can't be.
    """
    from pykafka_store.embedded.cluster import EmbeddedCluster
    from pykafka_store.embedded.making import NewDirectory

    with EmbeddedCluster(os.fspath(directory), new=NewDirectory(cluster_id, broker, tuple(log_dirs))) as made:
        if settings:
            made.set_server_settings(broker, settings)
        if features:
            made.admin().set_features(features)
        for each in credentials:  # one user may have two
            for problem in made.admin().alter_user_scram_credentials([each]).values():
                if problem is not None:
                    raise problem


def set_aside_unused(directory: str | os.PathLike[str]) -> SetAside | None:
    """Rename a data directory in which nothing was ever done, so that another may have its place. None where it is
    none, or is used. Raises StorageError.
    """
    from pykafka_store.embedded.unused import set_aside_unused

    return set_aside_unused(os.fspath(directory))


def check_data_directory(
    directory: str | os.PathLike[str],
    *,
    repair: bool = False,
    on_finding: Callable[[Finding], None] | None = None,
    on_progress: Callable[[TopicPartition | None, int], None] | None = None,
) -> CheckReport:
    """Look at every file of a data directory, and say what is wrong with it. Changes nothing unless ``repair``.

    This is no method of :class:`DataDirectory`, as one that is damaged may not open. Processes that work in the
    directory may go on. ``on_finding`` is called with each finding as it is found, ``on_progress`` with the partition
    that is being looked at and the bytes of logs read so far.

    ``repair`` then mends what can be mended without touching an acknowledged record, keeps copies of what it removes or
    overwrites in ``repaired/<time>/`` of the directory, and looks at everything again: the report's findings are those
    that are left, and ``on_finding`` is called with those only.

    Raises StorageError where there is no data directory, UnsupportedVersionError for one of a newer layout.
    """
    from pykafka_store.embedded.health.repair import check, check_and_repair

    path = os.fspath(directory)
    return check_and_repair(path, on_finding, on_progress) if repair else check(path, on_finding, on_progress)


_SERVER = r"(?:[0-9a-zA-Z\-%._]*://)?(\[?[0-9a-zA-Z\-%._:]*\]?):([0-9]+)"
"""Kafka's own rule. Source: org.apache.kafka.common.utils.Utils.HOST_PORT_PATTERN. Most commands use a directory, and
need not pay for its compilation.
"""
_LAST_PORT = 65535


def is_cluster_address(text: str) -> bool:
    """Whether an address is ``host:port[,…]`` and not a directory. A host may have ``scheme://`` in front of it, which
    Java's clients drop.
    """
    return not text.startswith("file:") and all(re.fullmatch(_SERVER, part) for part in _parts(text))


def bootstrap_servers(address: str) -> str:
    """A cluster's address as librdkafka takes it: ``host:port[,host:port]``, without the scheme of any.

    Raises InvalidConfigError for a port that can't be one, which librdkafka would cut to sixteen bits.
    Source: org.apache.kafka.clients.ClientUtils#parseAndValidateAddresses.
    """
    servers = []
    for part in _parts(address):
        server = re.fullmatch(_SERVER, part)
        if server is None:
            raise InvalidConfigError(f"Invalid url in bootstrap.servers: {part}")
        if len(server[2]) > len(str(_LAST_PORT)) or int(server[2]) > _LAST_PORT:
            raise InvalidConfigError(f"Invalid port in bootstrap.servers: {part}")
        host = server[1] if server[1].strip("[]") else "localhost"  # as Java takes an empty one
        servers.append(f"{host}:{server[2]}")
    return ",".join(servers)


def _parts(address: str) -> list[str]:
    """The addresses of the list. Java drops empty ones at its end, too."""
    return [part.strip() for part in address.rstrip(",").split(",")]


def server_of_directory(directory: str | os.PathLike[str]) -> int | None:
    """The process that serves a data directory, with a port or without, if one does. Raises StorageError."""
    from pykafka_store.embedded.cluster import EmbeddedCluster
    from pykafka_store.embedded.layout import SERVER_LOCK

    path = os.path.expanduser(os.fspath(directory))
    if not os.path.isdir(path):
        return None
    with EmbeddedCluster(path, create=False) as cluster:
        return cluster.engine.locks.kept_by(SERVER_LOCK)


def serve_data_directory(
    directory: str | os.PathLike[str],
    listeners: Sequence[Listener],
    on_notice: Callable[[str], None] = lambda line: None,  # noqa: ARG005 - nobody wants to know
) -> RunningServer:
    """Listen for clients of Kafka's protocol, who then work on a data directory; one that is missing is made. Nothing
    is answered before ``run``. ``on_notice`` gets a line of what whoever runs the server should know.

    Raises StorageError where another server has the directory, or an address is taken, InvalidConfigError for a
    certificate or users that are of no use, and EngineUnavailableError where the extra ``serve`` is not installed.
    """
    from pykafka_store.embedded.cluster import EmbeddedCluster

    try:
        from pykafka_store.wire.server import start
    except ModuleNotFoundError as error:
        if error.name != "kio":
            raise
        raise EngineUnavailableError(
            "kio, which speaks Kafka's protocol, is not installed: pip install 'pykafka-toolkit[serve]'"
        ) from None
    return start(EmbeddedCluster(os.fspath(directory)), listeners, on_notice)


def serve_without_port(directory: str | os.PathLike[str]) -> RunningServer:
    """Be the server of a data directory, as ``serve_data_directory``, for nobody: it needs no extra.

    Raises StorageError where another server has the directory.
    """
    from pykafka_store.embedded.cluster import EmbeddedCluster
    from pykafka_store.wire.portless import PortlessServer

    return PortlessServer(EmbeddedCluster(os.fspath(directory)))
