"""groups.db looked at for ``pykafka doctor``: what is committed against the logs, and members against their leases."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing

from pykafka_store.embedded.disk import Disk
from pykafka_store.embedded.groups.leases import group_directory, is_locked, is_overdue, list_leases
from pykafka_store.embedded.health.database_copy import DatabaseBytes, copied, read_database
from pykafka_store.embedded.health.findings import Findings, Remedy, without_path
from pykafka_store.embedded.layout import GROUPS, GROUPS_FILE
from pykafka_store.errors import StorageError
from pykafka_store.model import Severity

_MEANING = "it has the groups and their commits: restore it from a backup, or remove it and commit anew"
_KILLED = "its process was killed; who looks at the group next takes it out"


class GroupCheck:
    """One check of the groups of one data directory."""

    def __init__(self, directory: str, disk: Disk, findings: Findings) -> None:
        self._directory = directory
        self._disk = disk
        self._findings = findings
        self._path = os.path.join(directory, GROUPS_FILE)
        self._content = DatabaseBytes(None, None)

    def read(self) -> None:
        """Read the database, before the logs are looked at: what is committed is older than what it is held against."""
        try:
            self._content = read_database(self._disk, self._path)
        except StorageError as error:
            self._findings.report(Severity.ERROR, self._path, without_path(self._path, error), _MEANING)

    def check(self, ends: Mapping[tuple[str, int], int]) -> None:
        """Check what was read. ``ends``: (topic id, partition) -> the leader's log end offset."""
        if self._content.file is None:
            return
        path = self._path
        try:
            with copied(path, self._content) as copy, closing(sqlite3.connect(copy)) as connection:
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    return  # the process that made it was killed: the next member goes on with it
                ids = [str(row[0]) for row in connection.execute("SELECT id FROM groups ORDER BY id")]
                members = connection.execute(
                    "SELECT group_id, lease, id, instance_id, session_timeout FROM members ORDER BY group_id, id"
                ).fetchall()
                offsets = connection.execute(
                    "SELECT group_id, topic, partition, topic_id, position FROM offsets ORDER BY 1, 2, 3"
                ).fetchall()
        except (StorageError, sqlite3.Error) as error:
            self._findings.report(Severity.ERROR, path, without_path(path, error), _MEANING)
            return
        for group, topic, partition, topic_id, position in offsets:
            end = ends.get((topic_id, partition))
            if end is not None and position > end:
                text = f"group {group} committed offset {position} of {topic}-{partition}, which ends at {end}"
                meaning = "kafka-consumer-groups --reset-offsets puts it right"
                self._findings.report(Severity.WARNING, path, text, meaning)
        leases: dict[str, set[str]] = {group: set() for group in ids}
        for group, lease, *_ in members:
            leases.setdefault(group, set()).add(lease)
        self._check_members(members)
        self._check_strays(leases)

    def _check_members(self, members: Sequence[tuple[str, str, str, str | None, float]]) -> None:
        """Members whose process was killed: who looks at the group next takes them out."""
        for group, lease, member, instance, timeout in members:
            path = self._lease(group, lease)
            gone = not is_locked(self._disk, path) and (instance is None or is_overdue(self._disk, path, timeout))
            if gone and self._disk.exists(path):
                text = f"member {member} of group {group} is dead"
                self._findings.report(Severity.INFO, path, text, _KILLED, Remedy.DEAD_MEMBERS)

    def _check_strays(self, leases: Mapping[str, set[str]]) -> None:
        """Leases that no member has. ``leases``: group -> those that its members have."""
        for group, known in leases.items():
            for name in sorted(set(list_leases(self._disk, self._lease(group))) - known):
                path = self._lease(group, name)
                # A lease that is free now and was free a moment ago has no member: a member holds its lease before
                # others can see it.
                if not name.endswith(".joining") and self._disk.exists(path) and not is_locked(self._disk, path):
                    text = f"is a lease that no member of group {group} has"
                    self._findings.report(Severity.INFO, path, text, _KILLED, Remedy.DEAD_MEMBERS)

    def _lease(self, group: str, *name: str) -> str:
        return os.path.join(self._directory, GROUPS, group_directory(group), *name)
