"""The brokers of a data directory: where their log directories lie, and which of them can be used.

A broker is a number and some log directories. There is no process behind it: it runs when the catalogue says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pykafka_store.embedded.catalog import Catalog
from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.layout import is_elsewhere, read_meta
from pykafka_store.errors import BrokerIdNotRegisteredError, StorageError
from pykafka_store.format.checkpoint import META_PROPERTIES_FILE

if TYPE_CHECKING:
    from pykafka_store.embedded.catalog_rows import BrokerRow


class Brokers:
    """The brokers of a data directory, looked up again only when the catalogue moved."""

    def __init__(self, catalog: Catalog, disk: Disk, root: str, *, read_only: bool = False) -> None:
        """``read_only``: a log directory that may only be read serves as well as any other."""
        self._catalog = catalog
        self._disk = disk
        self._root = root
        self._read_only = read_only
        self._seen: tuple[tuple[int, int] | None, dict[int, BrokerRow]] = (None, {})
        """The catalogue's version, and what it said: in one, as threads look at once."""

    def all(self) -> dict[int, BrokerRow]:
        """By id. Raises StorageError where a log directory is that of another data directory, which has locks of its
        own: nobody writes then.
        """
        version = self._catalog.version()
        seen, rows = self._seen
        if version != seen:
            rows = self._catalog.brokers()
            if not self._read_only:
                self._claim(rows.values())
            self._seen = version, rows
        return rows

    def _claim(self, rows: Iterable[BrokerRow]) -> None:
        for log_dir in (log_dir for row in rows for log_dir in row.log_dirs):
            path = os.path.join(self._root, log_dir.path)
            # What is away, or an empty mount point, is not written to.
            if is_elsewhere(path, log_dir.path) and self._fault(path, log_dir.directory_id) is None:
                from pykafka_store.embedded.owner import claim

                claim(self._disk, path, self._root)

    def require(self, broker: int) -> BrokerRow:
        """The broker's row. Raises BrokerIdNotRegisteredError."""
        row = self.all().get(broker)
        if row is None:
            raise BrokerIdNotRegisteredError(
                f"Broker ID {broker} is not currently registered: pykafka brokers list shows those that are"
            )
        return row

    def paths(self, broker: int) -> list[str]:
        """The broker's log directories. Raises BrokerIdNotRegisteredError."""
        return self.paths_of(self.require(broker))

    def all_paths(self) -> dict[int, list[str]]:
        """The log directories of all brokers, by one look: the next may find one of them removed."""
        return {id: self.paths_of(row) for id, row in self.all().items()}

    def paths_of(self, row: BrokerRow) -> list[str]:
        """The log directories of a broker, as it was when it was looked up."""
        return [os.path.join(self._root, log_dir.path) for log_dir in row.log_dirs]

    def problem(self, path: str) -> str | None:
        """Why a log directory can't be used, or None."""
        rows = (log_dir for row in self.all().values() for log_dir in row.log_dirs)
        row = next((row for row in rows if os.path.join(self._root, row.path) == path), None)
        fault = self._fault(path, None if row is None else row.directory_id)
        if fault is not None or row is None or self._read_only or not is_elsewhere(path, row.path):
            return fault
        from pykafka_store.embedded.owner import other_owner

        try:
            other = other_owner(self._disk, path, self._root)
        except StorageError as error:
            return str(error)
        return None if other is None else f"{path} belongs to the data directory {other}"

    def _fault(self, path: str, directory_id: str | None) -> str | None:
        if not self._disk.exists(path):
            return f"{path} does not exist"
        if self._read_only:
            if not self._disk.may_read(path):
                return f"{path} can't be read"
        elif not self._disk.may_write(path):
            return f"{path} can't be written to"
        if directory_id is None:
            return None
        try:
            meta = read_meta(self._disk, path)
        except FileNotFoundError:
            return f"{path} has no {META_PROPERTIES_FILE}: is its disk mounted?"
        except StorageError as error:
            return str(error)
        if meta.get("directory.id") != directory_id:
            return f"{path} is not the broker's: its {META_PROPERTIES_FILE} says another directory.id"
        return None

    def usable(self) -> list[int]:
        """Brokers that run and have a log directory that can be used, sorted."""
        return [
            id
            for id, row in self.all().items()
            if row.running and any(self.problem(path) is None for path in self.paths_of(row))
        ]
