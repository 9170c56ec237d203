"""The five compressions of a record batch (bits 0-2 of its attributes), all through cramjam and zlib.

Sources: org.apache.kafka.common.compress; snappy is framed as snappy-java's SnappyOutputStream does, lz4 and zstd use
their standard frames. Every decompression is bounded: a batch can claim anything, and a log is read on small machines.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from pykafka_store.errors import CorruptRecordError, UnsupportedCompressionError

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
CODEC_MASK = 0x07

MAX_DECOMPRESSED = 256 << 20
"""No batch may unfold to more than this many bytes: 256 times what a default broker accepts of uncompressed ones."""

_MOST_LZ4, _MOST_ZSTD = 256, 1 << 15
"""Bytes that one byte can unfold to: a byte of an LZ4 length adds 255, and four bytes are a zstd block of 128 KiB. So
bad bytes, for which a buffer grows as for good ones, take memory by their size."""
_SMALL = 1 << 16

# snappy-java's stream: magic, version and compatible version, then blocks of (int32 length, raw snappy).
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK = 32 * 1024
_INT32 = struct.Struct(">i")


def codec(name: str) -> int:
    """The number of a codec. Raises UnsupportedCompressionError for a name that is none."""
    try:
        return NAMES.index("none" if name == "uncompressed" else name)
    except ValueError:
        raise UnsupportedCompressionError(f"Unknown compression name: {name}") from None


def compress(number: int, data: bytes, level: int | None = None) -> bytes:
    """``data`` as one compressed block. ``level`` as in Kafka's compression.*.level; None for the codec's default."""
    if number == NONE:
        return data
    import cramjam

    if number == GZIP:
        return bytes(cramjam.gzip.compress(data, level if level is not None and level >= 0 else 6))
    if number == SNAPPY:
        blocks = [_XERIAL_HEADER]
        for start in range(0, len(data), _XERIAL_BLOCK):
            block = bytes(cramjam.snappy.compress_raw(data[start : start + _XERIAL_BLOCK]))
            blocks += (_INT32.pack(len(block)), block)
        return b"".join(blocks)
    if number == LZ4:
        # Kafka's reader takes only frames whose blocks do not depend on one another (Lz4BlockInputStream).
        frame = cramjam.lz4.Compressor(level=9 if level is None else level, content_checksum=False, block_linked=False)
        frame.compress(data)
        return bytes(frame.finish())
    if number == ZSTD:
        return bytes(cramjam.zstd.compress(data, level if level is not None else 3))
    raise UnsupportedCompressionError(f"Unknown compression type id: {number}")


def decompress(number: int, data: bytes, limit: int = MAX_DECOMPRESSED) -> bytes:
    """The inverse of :func:`compress`. Raises CorruptRecordError for bytes that do not decode or exceed ``limit``."""
    if number == NONE:
        return data
    import zlib

    import cramjam

    try:
        if number == GZIP:
            return _gunzip(data, limit)
        if number == SNAPPY:
            return _unsnappy(data, limit)
        if number == LZ4:
            return _bounded(cramjam.lz4.decompress_into, data, min(limit, _MOST_LZ4 * len(data) + _SMALL))
        if number == ZSTD:
            return _bounded(cramjam.zstd.decompress_into, data, min(limit, _MOST_ZSTD * len(data) + _SMALL))
    except (cramjam.DecompressionError, zlib.error, struct.error) as error:
        raise CorruptRecordError(f"{NAMES[number]} data does not decode: {error}") from error
    raise UnsupportedCompressionError(f"Unknown compression type id: {number}")


def _gunzip(data: bytes, limit: int) -> bytes:
    import zlib

    inflater = zlib.decompressobj(wbits=31)
    out = inflater.decompress(data, limit)
    if not inflater.eof:
        raise _too_large(limit) if inflater.unconsumed_tail else CorruptRecordError("gzip data ends early")
    return out


def _unsnappy(data: bytes, limit: int) -> bytes:
    import cramjam

    if not data.startswith(_XERIAL_MAGIC):  # librdkafka before 1.0 and others wrote bare snappy
        if cramjam.snappy.decompress_raw_len(data) > limit:
            raise _too_large(limit)
        return bytes(cramjam.snappy.decompress_raw(data))
    if len(data) < len(_XERIAL_HEADER):
        raise CorruptRecordError("snappy data ends early")
    blocks: list[bytes] = []
    position, total = len(_XERIAL_HEADER), 0
    while position < len(data):
        (length,) = _INT32.unpack_from(data, position)
        block = data[position + 4 : position + 4 + length]
        if length < 0 or len(block) != length:
            raise CorruptRecordError("snappy data ends early")
        total += cramjam.snappy.decompress_raw_len(block)
        if total > limit:
            raise _too_large(limit)
        blocks.append(bytes(cramjam.snappy.decompress_raw(block)))
        position += 4 + length
    return b"".join(blocks)


def _bounded(decompress_into: Callable[[bytes, bytearray], int], data: bytes, limit: int) -> bytes:
    """Decompress into a buffer that grows up to ``limit``: frames need not say how large they unfold."""
    import cramjam

    size = min(limit, max(_SMALL, 8 * len(data)))
    while True:
        out = bytearray(size)
        try:
            return bytes(memoryview(out)[: decompress_into(data, out)])
        except cramjam.DecompressionError:
            # Too small a buffer and bad bytes are one error to cramjam; only the limit tells them apart.
            if size == limit:
                raise
        size = min(limit, 8 * size)


def _too_large(limit: int) -> CorruptRecordError:
    return CorruptRecordError(f"a batch unfolds to more than {limit} bytes")
