"""Putting backups of the server's files together: a full one, and those that continue it."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from trove_ng.common.errors import BadRequest
from trove_ng.guestagent import versions
from trove_ng.guestagent.datastores.mysql_family import causes
from trove_ng.guestagent.datastores.mysql_family.binlog import (
    COMPLETE,
    FIRST,
    NEXT,
    PLACE,
    UNTIL,
    Place,
)
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.replay import Replay
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.backups import Link, Restore, blaming
from trove_ng.guestagent.storage.http import Patience
from trove_ng.guestagent.storage.log_archive import check_parts
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m

#: what the program says last when all went well
DONE = "completed OK!"
#: what the program leaves beside the data: redo log that is applied, notes, the last binary log
_NO_DATA = ("xtrabackup_logfile", "xtrabackup_info", "xtrabackup_binlog_*",
            "xtrabackup_tablespaces", "mariadb_backup_info", "mariadb_backup_binlog_*",
            "backup-my.cnf", "binlog.[0-9]*", "binlog.index")
#: user that the server runs as
OWNER = "mysql"


class FamilyRestore(Restore):
    """Makes the data directory from a full backup and those that continue it."""

    def __init__(self, tool: Tool, paths: Paths, patience: Patience,
                 progress: Progress) -> None:
        super().__init__(tool.stored, paths.data, (paths.staging, paths.increment), OWNER,
                         0o750, causes.find, patience, progress)
        self._tool = tool
        self._paths = paths

    def check(self, chain: Sequence[m.StoredBackup]) -> None:
        check_chain(chain, self._tool)
        self._tool.check(self._tool.version())

    def check_log(self, chain: Sequence[m.StoredBackup], log: m.LogReplay) -> None:
        """Refuse log that leaves a gap, or does not reach the time, or a time before it."""
        installed, about = self._tool.version(), chain[-1].metadata
        begin = place_of(chain[-1])

        def span(stored: m.StoredBackup) -> tuple[int, int] | None:
            found = stored.metadata
            versions.check_recorded(found.get("version", ""), installed,
                                    upgrades=self._tool.upgrades)
            if found.get(am.STREAM) != about.get(am.STREAM) or COMPLETE not in found:
                return None
            return int(found.get(FIRST, -1)), int(found.get(NEXT, -1))

        check_parts(self._tool.log, log, begin.number, span)
        if log.until < float(about.get(am.ENDED, "inf")):
            raise BadRequest("The time to restore to is before the end of the backup.")
        if not log.pieces or log.until > float(log.pieces[-1].metadata.get(UNTIL, "-inf")):
            raise BadRequest("The archived log ends before the time to restore to.")

    def needed(self, chain: Sequence[m.StoredBackup]) -> int:
        return needed(chain)

    def assemble(self, links: Sequence[Link]) -> None:
        """Unpack the full backup, apply the others one after the other."""
        staging, increment = self._paths.staging, self._paths.increment
        for number, link in enumerate(links):
            target = increment if number else staging
            files.make_directory(target, mode=0o700, owner=OWNER)
            with blaming(link.stored):
                self.extract([self._tool.unpacker, "-x", "-C", str(target)], link)
                self._prepare(staging, increment if number else None,
                              last=number == len(links) - 1)
            files.remove(increment, recursive=True)
        for pattern in _NO_DATA:
            for path in staging.glob(pattern):
                files.remove(path)

    def _prepare(self, staging: pathlib.Path, increment: pathlib.Path | None, *,
                 last: bool) -> None:
        argv = [self._tool.program, "--no-defaults", "--prepare", f"--target-dir={staging}"]
        if self._tool.keeps_open and not last:
            argv.append("--apply-log-only")
        if increment is not None:
            argv.append(f"--incremental-dir={increment}")
        with Program(argv, explain=causes.find, user=OWNER) as program:
            program.wait()
            if not program.said(DONE):
                raise program.failure("did not complete")

    def replay(self, replay: Replay) -> float | None:
        """Apply the archived log to the running server; return when the last change was.

        :raises DamagedBackup: a part is not what was stored
        :raises GuestError: the server refuses a change
        """
        folder = self._paths.increment
        try:
            with replay:
                for link in self.log:
                    files.make_directory(folder, mode=0o700, owner=OWNER)
                    with blaming(link.stored):
                        self.extract(["tar", "--extract", "--directory", str(folder)], link)
                        if replay.apply(folder, link.stored.metadata):
                            break
                    files.remove(folder, recursive=True)
                replay.finish()
            return replay.last
        finally:
            files.remove(folder, recursive=True)


def place_of(stored: m.StoredBackup) -> Place:
    """Return where the log continues a backup.

    :raises BadRequest: it does not tell
    """
    try:
        return Place(int(stored.metadata[am.NUMBER]), int(stored.metadata[PLACE]))
    except (KeyError, ValueError):
        raise BadRequest("The backup does not tell where the log continues it.") from None


def check_fits(stored: m.StoredBackup, tool: Tool, installed: str) -> None:
    """Refuse a backup that this server cannot read.

    What a backup of an earlier release does not record is not checked.

    :param installed: version of the server
    :raises BadRequest: it is of another engine, of a version that does not do, or of another
        form
    """
    tool.stored.check(stored)
    versions.check_recorded(stored.metadata.get("version", installed), installed,
                            upgrades=tool.upgrades)


def check_chain(chain: Sequence[m.StoredBackup], tool: Tool) -> None:
    """Refuse backups that do not continue each other, or that this server cannot read.

    :param chain: the full one first
    :raises BadRequest: says which rule is broken
    """
    installed = tool.version()
    for number, stored in enumerate(chain):
        check_fits(stored, tool, installed)
        begin = stored.metadata.get("from_lsn", "0")
        if not number:
            if begin != "0":
                raise BadRequest("The first backup of the chain is not a full one.")
        elif (begin != chain[number - 1].metadata.get("to_lsn")
              or stored.metadata.get("parent", "") != chain[number - 1].checksum):
            raise BadRequest(f"Backup {number + 1} of the chain does not continue the one "
                             "before it.")


def needed(chain: Sequence[m.StoredBackup]) -> int:
    """Return the bytes of a restore: the full backup, and one of the others at a time."""
    return chain[0].data_size + max((one.data_size for one in chain[1:]), default=0)
