"""How long a member may be silent, by what a server's file or its group says."""

from __future__ import annotations

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.engine import Engine
from pykafka_store.errors import InvalidSessionTimeoutError


def check_session(engine: Engine, session: float, *, by_default: bool) -> None:
    """Whether the ``session`` of a classic member, in seconds, is within what a server's file says
    (group.min.session.timeout.ms, group.max.session.timeout.ms), or ``by_default`` within what a broker takes where it
    says nothing.

    Clients elsewhere are held to both. Members of the shell to the file only: that they follow each other faster than
    in Kafka's 6 s is what several of them on one machine are for.

    Raises InvalidSessionTimeoutError. Source: GroupCoordinatorService.joinGroup.
    """
    if not by_default and not engine.catalog.configs("broker"):
        return  # no file was ever read: what follows is for the others to import
    from pykafka_store.settings.dynamic_configs import MAX_SESSION, MIN_SESSION, READ_ONLY

    low, high = (
        int(engine.server_setting(name) or (READ_ONLY[name].default if by_default else otherwise))
        for name, otherwise in ((MIN_SESSION, "0"), (MAX_SESSION, str((1 << 31) - 1)))
    )
    if not low <= 1000 * session <= high:
        raise InvalidSessionTimeoutError(
            "The session timeout is not within the range allowed by the broker (as configured by "
            f"group.min.session.timeout.ms and group.max.session.timeout.ms): it is {round(1000 * session)} ms, and "
            f"may be {low} to {high}."
        )


def of_group(catalog: Catalog, group: str, session: float, heartbeat: float) -> tuple[float, float]:
    """The session and the time between heartbeats, in seconds, of members of the consumer protocol: the group's, where
    it has any, and else their own (KIP-848).
    """
    configs = catalog.configs("group").get(group, {})
    if "consumer.session.timeout.ms" in configs:
        session = int(configs["consumer.session.timeout.ms"]) / 1000
    if "consumer.heartbeat.interval.ms" in configs:
        heartbeat = int(configs["consumer.heartbeat.interval.ms"]) / 1000
    return session, heartbeat
