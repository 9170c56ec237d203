"""Groups, their members, and what they have committed."""

from typing import NamedTuple

from pykafka_store.model.records import TopicPartition


class CommittedOffset(NamedTuple):
    """What a group has committed for a partition: the next record to read."""

    offset: int
    leader_epoch: int = -1
    metadata: str = ""


CONSUMER_PROTOCOL = "consumer"
"""What the members of a group speak to each other, where they are consumers."""


class GroupListing(NamedTuple):
    group_id: str
    type: str
    """``Classic`` or ``Consumer``, by the members' group.protocol."""
    state: str
    """``Empty``, ``Stable``, ``PreparingRebalance`` (classic) or ``Reconciling`` (consumer)."""


class MemberDescription(NamedTuple):
    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    """As a broker gives it: ``/127.0.0.1``."""
    assignment: tuple[TopicPartition, ...]
    """What the member owns now, sorted."""
    topics: tuple[str, ...] = ()
    """What it wants to read, as far as the cluster says."""


class GroupDescription(NamedTuple):
    group_id: str
    type: str
    state: str
    """As in GroupListing, or ``Dead`` for a group that does not exist."""
    assignor: str
    """``range``, ``roundrobin``, ``sticky``, ``cooperative-sticky``; empty while nothing is assigned."""
    coordinator: int
    """The broker's id."""
    epoch: int
    members: tuple[MemberDescription, ...]

    @property
    def protocol_type(self) -> str:
        """What a group's members agreed on. One that never had a member, only commits, has none."""
        return "" if self.type == "Classic" and self.state == "Empty" and self.epoch == 0 else CONSUMER_PROTOCOL
