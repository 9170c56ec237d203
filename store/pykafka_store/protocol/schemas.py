"""Kafka's requests, answers and the like, by kio's descriptions of them; the only module that knows kio."""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

from pykafka_store.protocol.reading import Reader, reader_of
from pykafka_store.protocol.writing import Writer, writer_of

# Where hypothesis is installed kio imports it, for tests of its own: that takes longer than all that the server does
# before its first answer. It does without where there is none.
_hidden = "hypothesis" not in sys.modules
if _hidden:
    sys.modules["hypothesis"] = None  # type: ignore[assignment]
try:
    from kio.index import load_entity_schema, load_request_schema, load_response_schema
    from kio.static.constants import EntityType
finally:
    if _hidden:
        del sys.modules["hypothesis"]


@cache
def request_readers(key: int, version: int) -> tuple[Reader, Reader]:
    """What reads a request's header, and its body."""
    schema = load_request_schema(key, version)
    header: type = schema.__header_schema__
    return reader_of(header), reader_of(schema)


@cache
def response_writer(key: int, version: int) -> tuple[bool, Writer]:
    """Whether the answer's header has tagged fields, and what writes its body."""
    schema = load_response_schema(key, version)
    return bool(schema.__header_schema__.__flexible__), writer_of(schema)


class Question(NamedTuple):
    """How one version of a request is asked."""

    key: int
    write_header: Writer
    write: Writer
    read_header: Reader
    read: Reader


@cache
def question(name: str, version: int) -> Question:
    """How a request is asked, by kio's name of it, such as ``describe_log_dirs``."""
    request = load_entity_schema(name, version, EntityType.request)
    answer = load_entity_schema(name, version, EntityType.response)
    headers: tuple[type, type] = request.__header_schema__, answer.__header_schema__  # type: ignore[attr-defined]
    return Question(
        int(request.__api_key__),  # type: ignore[attr-defined]
        writer_of(headers[0]),
        writer_of(request),
        reader_of(headers[1]),
        reader_of(answer),
    )


def data_reader(name: str, version: int) -> Reader:
    """What reads something that clients say to each other."""
    return reader_of(load_entity_schema(name, version, EntityType.data))


def data_writer(name: str, version: int) -> Writer:
    """What writes it."""
    return writer_of(load_entity_schema(name, version, EntityType.data))
