"""``--command-config FILE``: the admin client's settings: a cluster's, for a data directory needs none."""

from __future__ import annotations

from collections.abc import Collection

from pykafka_cli.env import Env
from pykafka_cli.java.properties import PropertiesError, load_properties
from pykafka_cli.tool.properties import warn_of_ignored


class AdminSettingError(PropertiesError):
    """A value that Kafka's admin client does not take."""


def read_admin_config(
    env: Env, path: str, *, address_named: bool, only: Collection[str] | None = None
) -> dict[str, str]:
    """The settings in a file of ``--command-config``; a warning of what is no setting of Kafka's admin client.

    How to reach a cluster, how long to wait for it and how to log in go to ``open_cluster``, and mean nothing to a
    directory; their values are checked as in Kafka. Which cluster is meant does: where no option says it
    (``address_named``), the file's ``bootstrap.servers`` must not be answered from a directory. Raises PropertiesError
    for that and for a file that can't be read, AdminSettingError for a value that no admin client takes.

    ``only``: the settings of a tool whose client is smaller than the others'; what the rest say is nothing to it.
    """
    properties = load_properties(path)
    if "bootstrap.servers" in properties and not address_named:
        raise PropertiesError(
            f"--bootstrap-server must be specified: bootstrap.servers in {path} is not read by Kafka's tool either"
        )
    from pykafka_store.errors import InvalidConfigError
    from pykafka_store.settings.client_configs import ClientConfig, client_settings, is_client_setting

    known = {name: value for name, value in properties.items() if is_client_setting("admin", name)}
    ignored = [name for name in properties if name not in known]
    if only is not None:
        known = {name: value for name, value in known.items() if name in only or name not in client_settings("admin")}
    try:
        ClientConfig("admin", known)
    except InvalidConfigError as error:
        raise AdminSettingError(str(error), f"org.apache.kafka.common.config.ConfigException: {error}") from None
    warn_of_ignored(env, f"{path}: no setting of Kafka's admin client", ignored, client_settings("admin"))
    return known
