"""Run a command in this process, in a world of its own: as a program would, but for the process."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pykafka_cli import main
from pykafka_cli.env import Env
from pykafka_store.api import Cluster

NOW = 1_700_000_000.25
NOWHERE = Path("/dev/null/no-data-directory")


class Done(NamedTuple):
    stdout: str
    stderr: str
    code: int

    @property
    def message(self) -> str:
        """stderr without the option help that follows a usage error."""
        return self.stderr.partition("\nUsage: ")[0].rstrip("\n")


class FakeClusterEnv(Env):
    """A world whose every address leads to the one cluster given."""

    cluster: Cluster

    def open_cluster(self, *_args: object, **_options: object) -> Cluster:
        return self.cluster


def run(
    tool: str,
    *arguments: str,
    data_dir: Path | None = None,
    cluster: Cluster | None = None,
    environ: Mapping[str, str] | None = None,
) -> Done:
    """Run ``tool`` over a data directory, over a cluster that a test made up, or over none, where a directory can't be
    made either. The clock stands still.
    """
    streams = io.BytesIO(), io.BytesIO(), io.StringIO()
    world = FakeClusterEnv if cluster is not None else Env
    env = world(
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        environ={"PYKAFKA_DATA_DIR": os.fspath(data_dir or NOWHERE), **(environ or {})},
        clock=lambda: NOW,
    )
    if isinstance(env, FakeClusterEnv) and cluster is not None:
        env.cluster = cluster
    code = main.run(lambda: main.load_command(tool.removeprefix("kafka-")), tool, list(arguments), env)
    return Done(streams[1].getvalue().decode("utf-8", "surrogateescape"), streams[2].getvalue(), code)
