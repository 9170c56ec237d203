"""Which cluster is meant, where click's rules or argparse4j's read the command line; for jopt's, frame.py has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pykafka_cli.env import Env
from pykafka_cli.tool.admin_config import read_admin_config

if TYPE_CHECKING:
    from pykafka_store.api import Cluster, KafkaCluster


class Connection(NamedTuple):
    """What ``connection_options`` and their like say."""

    bootstrap_server: str | None
    data_dir: str | None
    command_config: str | None = None
    bootstrap_controller: str | None = None

    def directory(self, env: Env) -> str | None:
        """The path of the data directory that is named; None for a cluster. A directory is its own controller."""
        return env.directory(self._server, self.data_dir)

    @property
    def _server(self) -> str | None:
        return self.bootstrap_server if self.bootstrap_controller is None else self.bootstrap_controller

    def config(self, env: Env) -> dict[str, str] | None:
        """The settings in the file of ``--command-config``; None where it is not given. Raises PropertiesError."""
        if self.command_config is None:
            return None
        named = self._server is not None or self.data_dir is not None
        return read_admin_config(env, self.command_config, address_named=named)

    def open(self, env: Env) -> Cluster:
        """The cluster; a directory that is missing is made, unless PYKAFKA_AUTO_CREATE forbids it: a probe that asks
        before anything is there gets the answer of a broker that has just started. Raises PropertiesError for a file
        that can't be read.
        """
        return env.open_cluster(
            self._server,
            self.data_dir,
            create=env.auto_create,
            config=self.config(env),
            controllers=self.bootstrap_controller is not None,
        )

    def open_kafka_cluster(self, env: Env) -> KafkaCluster:
        """The cluster, where ``directory`` found that it is one."""
        from pykafka_store.open import open_kafka_cluster

        return open_kafka_cluster(
            env.address(self._server, self.data_dir),
            self.config(env),
            controllers=self.bootstrap_controller is not None,
            on_waiting=env.on_waiting,
        )
