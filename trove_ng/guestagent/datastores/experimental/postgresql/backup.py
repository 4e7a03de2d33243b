"""Backups by pg_basebackup, and those that continue them: the write-ahead log since then.

Form of the stored data: a tar archive (of the data directory, or of segments of the log) in
one Zstandard frame, encrypted if the control plane gives a key, cut into segments.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import time
import uuid
from collections.abc import Iterator

from psycopg.sql import SQL

from trove_ng.common.errors import GuestError
from trove_ng.datastores.postgresql.rules import ADMIN
from trove_ng.guestagent.datastores.experimental.postgresql import causes, sql
from trove_ng.guestagent.datastores.experimental.postgresql.config import KEEPS_WAL
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.restore import (
    FORM,
    PostgreSqlRestore,
)
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server, Session
from trove_ng.guestagent.datastores.experimental.postgresql.wal import (
    NAME,
    REPLICA_SLOT,
    Kept,
    Segments,
    check_room,
    clock,
    is_recovering,
    stream,
)
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import backups
from trove_ng.guestagent.storage.http import FullBackupNeeded, Patience
from trove_ng.guestagent.storage.log_archive import LogReused, kept_log, pack
from trove_ng.guestagent.storage.packing import Packer
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m

_DAMAGED = re.compile(r"checksum (verification failed|error)")
_NOT_KEPT = ("The write-ahead log since the backup to continue is not kept any more: a full one "
             "is needed.")
_END = re.compile(r"write-ahead log end point: ([0-9A-F]+/[0-9A-F]+)")


class BaseBackup:
    """Full and incremental backups.

    :param lineage: file on the volume that names the data
    :param scratch: directory on the root disk for what is on its way; it exists
    """

    name = "pg_basebackup"

    def __init__(self, paths: Paths, server: Server, lineage: pathlib.Path,
                 scratch: pathlib.Path, patience: Patience) -> None:
        self._paths = paths
        self._server = server
        self._lineage = lineage
        self._way = backups.Way(scratch, patience)

    def create(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Store a backup and return what was stored.

        :raises FullBackupNeeded: it cannot continue the other backup
        :raises GuestError: the program, the server or the object store failed
        """
        with self._session() as (session, _):
            standby = is_recovering(session)
        if standby and request.parent is not None:
            raise FullBackupNeeded("Backups of a replica do not continue each other: a full one "
                                   "is needed.")
        # none continues a replica's backups, and old versions always keep log
        keeps = int(self._paths.version) >= KEEPS_WAL and not standby
        files.make_directory(self._lineage.parent, mode=0o700)
        lineage = backups.lineage(self._lineage)
        about = {"version": self._paths.version, "lineage": lineage,
                 **FORM.describe(request.key)}
        since = _since(request.parent, self._paths.version, lineage) if request.parent else None
        try:
            # no session lasts as long as a backup may take
            with self._session() as (session, kept):
                segments = Segments.of(session)
                if not standby:
                    check_room(session, segments, filesystem_stats(self._paths.mount).free)
                if since is None:
                    (Kept(session, 0, REPLICA_SLOT) if standby else kept).begin()
                end = _end_segment(session) if since is not None else ""
                now = clock(session)
            stored = (self._store_data(request, progress, segments, about) if since is None
                      else self._store_log(request, progress, segments, since, end, now, about))
            if keeps:
                with self._session() as (_, kept):
                    kept.make_room(stored.metadata["to_lsn"])
        finally:
            if not keeps:
                self.clean()
        return stored

    def clean(self) -> None:
        """Have no slot keep log after a backup, however it ended, where slots have no bounds."""
        with self._session() as (session, kept):
            Kept(session, 0, REPLICA_SLOT).end()
            if int(self._paths.version) < KEEPS_WAL:
                kept.end()

    @contextlib.contextmanager
    def _session(self) -> Iterator[tuple[Session, Kept]]:
        limit = kept_log(filesystem_stats(self._paths.mount).total)
        with self._server.session() as session:
            yield session, Kept(session, limit)

    def _store_data(self, request: m.BackupRequest, progress: Progress, segments: Segments,
                    about: dict[str, str]) -> m.StoredBackup:
        expected, ended = backups.size_of(self._paths.data), list[str]()

        def produce(packer: Packer) -> None:
            with _program(self._paths, "fetch") as program:
                assert program.process.stdout is not None
                backups.pump(program.process.stdout, packer, expected, progress)
                program.wait()
                ended.extend(_END.findall(program.messages))
                if len(ended) != 1:
                    raise program.failure("did not tell where the backup ends")

        def describe() -> dict[str, str]:
            with self._session() as (session, _):
                now = clock(session)
            return {**about, **_end(segments, ended[0], about["lineage"], now)}

        return self._way.store(request, self.name, expected, progress, produce, describe)

    def _store_log(self, request: m.BackupRequest, progress: Progress, segments: Segments,
                   since: str, end: str, ended: float, about: dict[str, str],
                   ) -> m.StoredBackup:
        found = [self._paths.data / "pg_wal" / name
                 for name in segments.names(since, segments.ending(end))]
        if not found or not all(path.is_file() for path in found):
            raise FullBackupNeeded(_NOT_KEPT)
        expected = len(found) * segments.size

        def produce(packer: Packer) -> None:
            def more() -> bool:
                progress.report(min(95, 95 * packer.read // expected))
                return True

            try:
                pack(packer, found, more, reused=True)
            except LogReused as err:
                raise FullBackupNeeded(_NOT_KEPT) from err

        return self._way.store(request, self.name, expected, progress, produce, lambda: {
            **about, "wal_from": since, **_end(segments, end, about["lineage"], ended)})

    def restore(self, restore: m.RestoreSpec, progress: Progress) -> None:
        """Make the data directory from backups; see :class:`PostgreSqlRestore`."""
        PostgreSqlRestore(self._paths, self._way.patience, progress).run(restore)


def _program(paths: Paths, log: str) -> Program:
    """Return the program, which writes the data directory as a tar archive.

    :param log: ``fetch`` adds the write-ahead log to it, ``none`` does not
    """
    # its words are read: they must be in the language that is known here, and what owners
    # set is not meant for it
    settings = {**sql.settings(int(paths.version)), "client_min_messages": "warning",
                "lock_timeout": "0"}
    return Program([
        paths.program("pg_basebackup"), "--host", paths.run, "--port", str(paths.port),
        "--username", ADMIN, "--no-password", "--pgdata=-", "--format=tar",
        f"--wal-method={log}", "--checkpoint=fast", "--verbose"],
        stdout=subprocess.PIPE, explain=causes.of_program, env={
            "LC_ALL": "C", "PGOPTIONS": sql.options(settings)})


def look_through(paths: Paths, seconds: float, progress: Progress) -> bool:
    """Read every page of the data; return whether the checksums of all are right.

    :param seconds: that it may take
    :raises GuestError: it takes longer, or the program failed
    """
    expected, read = backups.size_of(paths.data), 0
    end = time.monotonic() + seconds
    with _program(paths, "none") as program:
        assert program.process.stdout is not None
        while piece := program.process.stdout.read(backups.PIECE):
            read += len(piece)
            progress.report(min(99, 99 * read // max(1, expected)))
            progress.check()
            if time.monotonic() > end:
                raise GuestError(f"The data were not looked through in {seconds:g} seconds.")
        failed = program.collect()
        if _DAMAGED.search(program.messages):
            return False
        if failed:
            raise program.failure(f"ended with status {failed}")
    return True


def _end_segment(session: Session) -> str:
    """End a segment of the log; return the position at its end."""
    # a record, so that there is something to end
    session.run(SQL("SELECT pg_create_restore_point(%s)"), (f"trove-{uuid.uuid4().hex}",))
    ((end,),) = session.run(SQL("SELECT pg_switch_wal()::text"))
    return str(end)


def _end(segments: Segments, position: str, lineage: str, ended: float) -> dict[str, str]:
    """Return where a backup ends, and with which segment others, or the archive, continue it.

    :param ended: when all that it has was written, by the server's clock
    """
    following = segments.ending(position) + 1
    return {"to_lsn": position, "wal_next": segments.name(following),
            am.STREAM: stream(lineage, segments), am.NUMBER: str(following),
            am.ENDED: f"{ended:.3f}"}


def _since(parent: m.StoredBackup, version: str, lineage: str) -> str:
    """Return the segment with which a backup continues another one.

    :raises FullBackupNeeded: it cannot
    """
    about = parent.metadata
    if about.get("engine") != FORM.engine or not NAME.fullmatch(about.get("wal_next", "")):
        raise FullBackupNeeded("The backup to continue does not tell where it ends.")
    if about.get("version") != version:
        raise FullBackupNeeded("The backup to continue is of another version of the database: "
                               "a full one is needed.")
    if about.get("lineage") != lineage:
        raise FullBackupNeeded("The backup to continue is of other data: a full one is needed.")
    return about["wal_next"]
