"""Which controllers vote at first, as kafka-storage format is told: a data directory has none of them, and the line
that says how it was formatted depends on them.

Source: org.apache.kafka.raft.DynamicVoters and DynamicVoter, kafka.tools.StorageTool of Kafka 4.3.
"""

from __future__ import annotations

from typing import NamedTuple

from pykafka_cli.errors import Refusal
from pykafka_cli.tool.server_properties import Server
from pykafka_store.numbers import whole_number

_DIRECTORY_ID = 22
"""How long a directory's id is: 16 bytes in base64 without its padding."""


class Quorum(NamedTuple):
    """What ``--standalone``, ``--no-initial-controllers`` and ``--initial-controllers`` make of a server."""

    is_dynamic: bool
    directory: str
    """What Kafka calls the directory that has its metadata."""


def quorum_of(server: Server, *, standalone: bool, none_yet: bool, listed: str | None) -> Quorum:
    """Raises Refusal, where Kafka refuses."""
    if server.has_static_voters and (standalone or listed is not None):
        raise Refusal(
            "You cannot specify controller.quorum.voters and format the node with --initial-controllers or "
            "--standalone. If you want to use dynamic quorum, please remove controller.quorum.voters and specify "
            "controller.quorum.bootstrap.servers instead."
        )
    if listed is not None:
        voters = _voters(listed)
        return Quorum(True, f"dynamic metadata {'voter ' if server.broker in voters else ''}directory")
    if standalone:
        if server.is_broker_only:
            raise Refusal("You can only use --standalone on a controller.")
        return Quorum(True, "dynamic metadata voter directory")
    if server.is_controller_without_voters and not none_yet:
        raise Refusal(
            "Because controller.quorum.voters is not set on this controller, you must specify one of the following: "
            "--standalone, --initial-controllers, or --no-initial-controllers."
        )
    return Quorum(none_yet and not server.has_static_voters, "metadata directory")


def check_kraft_version(given: int | None, quorum: Quorum) -> None:
    """Raises Refusal, where ``--feature kraft.version`` does not go with the quorum."""
    flags = "--standalone, --initial-controllers, or --no-initial-controllers"
    if given == 0 and quorum.is_dynamic:
        raise Refusal(
            "Cannot set kraft.version to 0 if controller.quorum.voters is empty and one of the flags "
            f"{flags} is used. For dynamic controllers support, try removing the --feature flag for kraft.version."
        )
    if given and not quorum.is_dynamic:
        raise Refusal(
            f"Cannot set kraft.version to {given} unless controller.quorum.voters is empty and one of the flags "
            f"{flags} is used. For dynamic controllers support, try using one of {flags} and removing "
            "controller.quorum.voters."
        )


def _voters(text: str) -> set[int]:
    """The numbers of the controllers in ``ID@HOST:PORT:DIRECTORY,...``. Raises Refusal."""
    voters: set[int] = set()
    if not text:
        raise Refusal("No voters given.")
    for each in text.split(","):
        number = _voter(each.strip())
        if number in voters:
            raise Refusal(f"Node id {number} was specified more than once.")
        voters.add(number)
    return voters


def _voter(text: str) -> int:
    """Raises Refusal."""
    node, at, rest = text.partition("@")
    if not at:
        raise Refusal("No @ found in dynamic voter string.")
    if not node:
        raise Refusal("Invalid @ at beginning of dynamic voter string.")
    number = whole_number(node, 32)
    if number is None:
        raise Refusal("Failed to parse node id in dynamic voter string.")
    if number < 0:
        raise Refusal(f"Invalid negative node id {number} in dynamic voter string.")
    if not rest:
        raise Refusal("No hostname found after node id.")
    _check_place(rest)
    return number


def _check_place(text: str) -> None:
    """``HOST:PORT:DIRECTORY``. Raises Refusal."""
    if text.startswith("["):
        _, bracket, rest = text.partition("]")
        if not bracket:
            raise Refusal("Hostname began with left bracket, but no right bracket was found.")
        if not rest.startswith(":"):
            raise Refusal("Port section must start with a colon.")
        rest = rest[1:]
    else:
        _, colon, rest = text.partition(":")
        if not colon:
            raise Refusal("No colon following hostname could be found.")
    written, colon, directory = rest.partition(":")
    if not colon:
        raise Refusal("No colon following port could be found.")
    port = whole_number(written, 32)
    if port is None:
        raise Refusal("Failed to parse port in dynamic voter string.")
    if not 0 <= port <= 65535:
        raise Refusal(f"Invalid port {port} in dynamic voter string.")
    if len(directory) != _DIRECTORY_ID:
        raise Refusal("Failed to parse directory ID in dynamic voter string.")
