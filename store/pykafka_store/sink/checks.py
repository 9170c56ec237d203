"""What a sink looks at before it writes: that the tables are for it, and that its group writes into one database."""

from __future__ import annotations

from pykafka_store.api import Admin
from pykafka_store.sink.target import DeadLetter, SinkError, Target

CLIENT_ID = "pykafka-sink-"
"""What the client ids of sinks begin with; the target's id follows."""


def require_letters_table(target: Target, table: str) -> None:
    """Raise SinkError where a table for dead letters is there, and is for something else."""
    schema = target.schema(table)
    if schema is not None and tuple(schema.columns)[: len(DeadLetter._fields)] != DeadLetter._fields:
        raise SinkError(f"{target.name}: table {table} is none for dead letters: name another one")


def own_client_id(admin: Admin, group: str, target: Target) -> str:
    """The client id of a sink of the group. Raises SinkError where the group's members write into another database:
    they would share the partitions, and each database would have a part of the rows.
    """
    client_id = f"{CLIENT_ID}{target.id}"
    for member in admin.describe_group(group).members:
        if member.client_id.startswith(CLIENT_ID) and member.client_id != client_id:
            raise SinkError(f"group {group} is writing into another database: name another --group for {target.name}")
    return client_id
