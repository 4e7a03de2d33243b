"""Backups of Redis: the snapshot that the server writes, compressed and stored.

Form of the stored data: an RDB file in one Zstandard frame, encrypted if the control plane
gives a key, cut into segments.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.guestagent import versions
from trove_ng.guestagent.datastores.experimental.redis.config import OWNER
from trove_ng.guestagent.datastores.experimental.redis.paths import Paths
from trove_ng.guestagent.datastores.experimental.redis.server import Server, Session
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import backups, swift
from trove_ng.guestagent.storage.http import DamagedBackup, FullBackupNeeded, Patience
from trove_ng.guestagent.storage.packing import Packer, unpack
from trove_ng.rpc import messages as m

FORM = backups.Form("redis", "rdb+zstd")
#: the copy of a snapshot that a backup reads, beside the data
COPY = "backup.rdb"
_MB = 1024 * 1024
_VERSION = re.compile(r"v=(\d{1,3})\.(\d{1,3})\.\d{1,3}")
#: looking at a large snapshot takes long
_CHECK_SECONDS = 3600


def installed_version() -> str:
    """Return the version of the server's program, for example ``7.0``.

    :raises GuestError: it does not tell
    """
    return versions.installed("redis-server", _VERSION)


class RdbBackup:
    """Full backups.

    :param scratch: directory on the root disk for what is on its way; it exists
    :param explain: finds in the server's log why it could not do something
    """

    name = "redis_rdb"

    def __init__(self, paths: Paths, server: Server, scratch: pathlib.Path,
                 patience: Patience, explain: Callable[[], str]) -> None:
        self._paths = paths
        self._server = server
        self._way = backups.Way(scratch, patience)
        self._explain = explain

    # ---- backup ---------------------------------------------------------------

    def create(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Have the server write a snapshot, and store it.

        :raises FullBackupNeeded: it was to continue another one
        :raises GuestError: the server or the object store failed
        """
        if request.parent is not None:
            raise FullBackupNeeded("Backups of Redis do not continue each other.")
        version, copy = installed_version(), self._paths.data / COPY
        try:
            with self._server.session() as session:
                self._snapshot(session, progress)
            return self._store(copy, version, request, progress)
        finally:
            files.remove(copy)

    def _snapshot(self, session: Session, progress: Progress) -> None:
        """Have the server write a snapshot, and keep a copy that nothing writes to."""
        self._check_room(session)
        existed = self._paths.snapshot.exists()
        if not session.snapshot(self._paths.snapshot, progress.check):
            raise GuestError("The database could not write a snapshot"
                             + (f": {cause}" if (cause := self._explain()) else
                                "; its log says why."))
        files.remove(self._paths.data / COPY)
        os.link(self._paths.snapshot, self._paths.data / COPY)
        if not existed and not session.config_get("save")["save"]:
            # the owner wants no snapshots: a later start must not find this one
            files.remove(self._paths.snapshot)

    def _check_room(self, session: Session) -> None:
        used, free = (int(session.info("memory")["used_memory"]),
                      filesystem_stats(self._paths.mount).free)
        if used > free:
            raise GuestError(f"The volume is too small for a snapshot: it may need "
                             f"{-(-used // _MB)} MiB, and {free // _MB} MiB are free.")

    def _store(self, path: pathlib.Path, version: str, request: m.BackupRequest,
               progress: Progress) -> m.StoredBackup:
        expected = path.stat().st_size

        def produce(packer: Packer) -> None:
            with path.open("rb") as source:
                backups.pump(source, packer, expected, progress)

        return self._way.store(request, self.name, expected, progress, produce, lambda: {
            **FORM.describe(request.key), "version": version})

    # ---- restore --------------------------------------------------------------

    def restore(self, restore: m.RestoreSpec, progress: Progress) -> None:
        """Put a snapshot where the server looks for it when it starts.

        :raises BadRequest: it is not for this server
        :raises GuestError: it is damaged, or cannot be had
        """
        if len(restore.chain) != 1:
            raise BadRequest("Redis is restored from one full backup.")
        ((stored, grant, key),) = backups.links(restore, FORM)
        _check_fits(stored, installed_version())
        swift.verify(stored, grant, self._way.patience, progress.check)
        backups.check_room(stored.data_size, filesystem_stats(self._paths.mount).free)
        done, target = 0, self._paths.data / COPY

        def passed(size: int) -> None:
            nonlocal done
            done += size
            progress.report(10 + 50 * done // max(1, stored.size))

        try:
            with target.open("wb") as sink:
                unpack(stored, grant, key, sink, self._way.patience, check=progress.check,
                       passed=passed)
                sink.flush()
                os.fsync(sink.fileno())
            files.change_owner(target, OWNER)
            files.change_mode(target, 0o640)
            self._check(target)
            target.rename(self._paths.snapshot)
            files.sync_directory(self._paths.data)
        finally:
            files.remove(target)

    @staticmethod
    def _check(path: pathlib.Path) -> None:
        try:
            look_through(path, _CHECK_SECONDS)
        except commands.CommandTimeout:
            raise
        except commands.CommandError as err:
            raise DamagedBackup("The backup is damaged: it holds no snapshot of Redis.") from err


def look_through(path: pathlib.Path, seconds: float) -> None:
    """Have the server's own program look through a snapshot, with the server's rights.

    :raises CommandTimeout: it takes longer
    :raises CommandError: it finds something wrong
    """
    commands.run(["redis-check-rdb", str(path)], timeout=seconds, user=OWNER)


def _check_fits(stored: m.StoredBackup, installed: str) -> None:
    """Refuse a backup that this server cannot read; raises BadRequest."""
    FORM.check(stored)
    versions.check_recorded(stored.metadata.get("version", ""), installed)
