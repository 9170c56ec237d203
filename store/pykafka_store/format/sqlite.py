"""The pages of a SQLite database as its last commit left them, from the bytes of its file and of its write-ahead log.

SQLite itself reads a write-ahead log only through a third file, which it has to make, and that takes a directory that
may be written and a disk that has room. Source: https://www.sqlite.org/walformat.html, https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

from struct import Struct, unpack_from

_WAL_HEADER = Struct(">8I")
"""Magic, version, page size, checkpoint number, two salts, two checksums."""
_FRAME_HEADER = Struct(">6I")
"""Page number, pages of the database after a commit (else 0), two salts, two checksums."""
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""The byte order of the words that the checksums add up."""
_VERSION = 3007000
_MODES = slice(18, 20)
"""Where the database's header says that it has a write-ahead log (2) or none (1)."""


def image(file: bytes, wal: bytes) -> bytes:
    """A database of one piece: ``file`` with all that ``wal`` has committed, and a header that knows no WAL.

    A WAL that is empty, torn or left over from before counts as far as SQLite's recovery would take it. Nothing in
    nothing out.
    """
    pages = bytearray(file)
    salts_at, size = 16, len(wal)
    if size >= _WAL_HEADER.size:
        magic, version, page_size, _, *_, one, two = _WAL_HEADER.unpack_from(wal)
        order = _MAGIC.get(magic)
        valid_size = 512 <= page_size <= 65536 and not page_size & (page_size - 1)
        if order and version == _VERSION and valid_size and _checksum(wal, 0, 24, order, 0, 0) == (one, two):
            _apply(pages, wal, page_size, order, wal[salts_at : salts_at + 8], (one, two))
    if len(pages) >= _MODES.stop:
        pages[_MODES] = b"\x01\x01"
    return bytes(pages)


def _apply(pages: bytearray, wal: bytes, page_size: int, order: str, salts: bytes, sums: tuple[int, int]) -> None:
    """Put the pages of committed transactions into the file's bytes, up to the first frame that does not check."""
    pending: dict[int, int] = {}
    position = _WAL_HEADER.size
    while position + _FRAME_HEADER.size + page_size <= len(wal):
        number, commit, *_, one, two = _FRAME_HEADER.unpack_from(wal, position)
        content = position + _FRAME_HEADER.size
        if not number or wal[position + 8 : position + 16] != salts:
            return
        sums = _checksum(wal, position, 8, order, *sums)
        sums = _checksum(wal, content, page_size, order, *sums)
        if sums != (one, two):
            return
        pending[number] = content
        position = content + page_size
        if commit:
            _resize(pages, commit * page_size)
            for page, at in pending.items():
                if page <= commit:
                    pages[(page - 1) * page_size : page * page_size] = wal[at : at + page_size]
            pending.clear()


def _resize(pages: bytearray, size: int) -> None:
    if len(pages) > size:
        del pages[size:]
    else:
        pages.extend(bytes(size - len(pages)))


def _checksum(data: bytes, position: int, size: int, order: str, one: int, two: int) -> tuple[int, int]:
    """The checksums ``one`` and ``two`` with ``size`` more bytes, a multiple of eight."""
    words = iter(unpack_from(f"{order}{size // 4}I", data, position))
    for first, second in zip(words, words, strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
