"""What a data directory keeps and does not enforce: said once a command, by the command that changes it."""

from __future__ import annotations

from pykafka_cli.env import Env
from pykafka_cli.output.kafka_log import log_line
from pykafka_cli.tool.options import Options

UNENFORCED = "are kept and shown, not enforced"


def tell_unenforced(env: Env, options: Options, what: str, logger: str) -> None:
    """A warning in the log of the tool, where the options name a data directory; none for a cluster, which enforces."""
    if env.directory(options.maybe_text("bootstrap-server"), options.maybe_text("data-dir")) is None:
        return
    warning = f"{what}: who may read and write a data directory says the file system"
    env.err(log_line(env.clock(), "WARN", warning, logger))
