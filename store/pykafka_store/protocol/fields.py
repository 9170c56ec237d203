"""What a field of a schema is, for the reader and for the writer alike."""

from __future__ import annotations

import dataclasses
import typing
from types import NoneType
from typing import Any, NamedTuple


class FieldShape(NamedTuple):
    """One field: a primitive or an entity, or an array of either."""

    primitive: str
    """Kafka's name of its type; "" for an entity."""
    entity: type | None
    is_array: bool
    nullable: bool
    """Whether the field may be null; the items of an array never may."""
    flexible: bool
    """Whether its length is a varint (KIP-482)."""


def shape_of(field: dataclasses.Field[Any], hint: Any, schema: type) -> FieldShape:
    """``hint`` is the field's resolved annotation."""
    flexible = bool(schema.__flexible__)  # type: ignore[attr-defined]
    options = [each for each in typing.get_args(hint) if each is not NoneType] or [hint]
    nullable = NoneType in typing.get_args(hint)
    array = next((each for each in (hint, *options) if typing.get_origin(each) is tuple), None)
    kind = options[0] if array is None else typing.get_args(array)[0]
    if dataclasses.is_dataclass(kind):
        if array is None and "tag" in field.metadata:
            nullable = False  # it is left out instead
        return FieldShape("", typing.cast("type", kind), array is not None, nullable, flexible)
    if schema.__name__ == "RequestHeader" and field.name == "client_id":
        flexible = False  # in every version: RequestHeader.json says why
    return FieldShape(field.metadata["kafka_type"], None, array is not None, nullable, flexible)
