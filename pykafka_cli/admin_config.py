"""``--command-config FILE``: the admin client's settings: a cluster's, for a data directory needs none."""

from __future__ import annotations

from pykafka_cli.env import Env
from pykafka_cli.options import Options
from pykafka_cli.properties import PropertiesError, load_properties

# AdminClientConfig of Kafka 4.3, but for the families below.
_ADMIN_SETTINGS = frozenset(
    {
        "bootstrap.controllers", "bootstrap.servers", "client.dns.lookup", "client.id", "config.providers",
        "connections.max.idle.ms", "default.api.timeout.ms", "enable.metrics.push", "metadata.max.age.ms",
        "metadata.recovery.rebootstrap.trigger.ms", "metadata.recovery.strategy", "metric.reporters",
        "metrics.num.samples", "metrics.recording.level", "metrics.sample.window.ms", "receive.buffer.bytes",
        "reconnect.backoff.max.ms", "reconnect.backoff.ms", "request.timeout.ms", "retries",
        "retry.backoff.max.ms", "retry.backoff.ms", "security.protocol", "security.providers", "send.buffer.bytes",
        "socket.connection.setup.timeout.max.ms", "socket.connection.setup.timeout.ms",
    }
)  # fmt: skip
_FAMILIES = ("config.providers.", "sasl.", "ssl.")


def check_admin_config(env: Env, options: Options, option: str = "command-config") -> None:
    """What ``read_admin_config`` finds in the file that ``--command-config``, or another ``option``, names, for
    ``open_cluster``.
    """
    path = options.maybe_text(option)
    if path is not None:
        named = options.has("bootstrap-server") or options.has("data-dir")
        options.admin_config = read_admin_config(env, path, address_named=named)


def read_admin_config(env: Env, path: str, *, address_named: bool) -> dict[str, str]:
    """The settings in a file of ``--command-config``; a warning of what is no setting of Kafka's admin client.

    How to reach a cluster, how long to wait for it and how to log in go to ``open_cluster``, and mean nothing to a
    directory. Which cluster is meant does: where no option says it (``address_named``), the file's
    ``bootstrap.servers`` must not be answered from a directory. Raises PropertiesError for that, and for a file that
    can't be read.
    """
    properties = load_properties(path)
    if "bootstrap.servers" in properties and not address_named:
        raise PropertiesError(
            f"--bootstrap-server must be specified: bootstrap.servers in {path} is not read by Kafka's tool either"
        )
    unknown = [name for name in properties if name not in _ADMIN_SETTINGS and not name.startswith(_FAMILIES)]
    if unknown:
        from pykafka_store.client_configs import shown_name

        names = ", ".join(map(shown_name, unknown))
        env.err(f"WARNING: {path}: no setting of Kafka's admin client, and ignored: {names}")
    return {name: value for name, value in properties.items() if name not in unknown}
