"""Backups of the server's files: streamed, compressed, never staged as a whole.

Form of the stored data: the stream of the engine's program in one Zstandard frame, encrypted
if the control plane gives a key, cut into segments.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import ClassVar

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import causes, sql
from trove_ng.guestagent.datastores.mysql_family.admin import AdminAccount
from trove_ng.guestagent.datastores.mysql_family.binlog import NAME, Place
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.datastores.mysql_family.restore import DONE, FamilyRestore
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import backups
from trove_ng.guestagent.storage.http import FullBackupNeeded, Patience
from trove_ng.guestagent.storage.packing import Packer
from trove_ng.rpc import messages as m

#: key of the last transaction in what a backup says of itself
GTID = "gtid"
_GTID = re.compile(r"^binlog_pos = .*GTID of the last change '([^']*)'", re.MULTILINE)
_PLACE = re.compile(rf"^binlog_pos = filename '{NAME.pattern}', position '([0-9]{{1,18}})'",
                    re.MULTILINE)
_POSITION = re.compile(r"^(backup_type|from_lsn|to_lsn|last_lsn) = (\S+)$", re.MULTILINE)


class PhysicalBackup:
    """Full and incremental backups with the engine's :attr:`tool`.

    :param scratch: directory on the root disk for what is on its way; it exists
    :param log_after: called as a backup begins; returns what tells, when it has ended, which log
        continues it from a place on
    """

    #: entry point name
    name: ClassVar[str]
    tool: ClassVar[Tool]

    def __init__(self, paths: Paths, server: sql.Server, admin: AdminAccount,
                 scratch: pathlib.Path,
                 log_after: Callable[[], Callable[[Place], Mapping[str, str]]],
                 patience: Patience | None = None) -> None:
        self._paths = paths
        self._server = server
        self._admin = admin
        self._log_after = log_after
        self._way = backups.Way(scratch, patience or Patience())

    # ---- backup ---------------------------------------------------------------

    def create(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Stream a backup and return what was stored.

        :raises FullBackupNeeded: it cannot continue the other backup
        :raises GuestError: the program or the object store failed
        """
        tool, lineage = self.tool, backups.lineage(self._paths.lineage)
        version = tool.version()
        tool.check(version)
        since = (_since(request.parent, tool.engine, version, lineage) if request.parent
                 else None)
        expected, log_after = backups.size_of(self._paths.data), self._log_after()
        # asked first: one that begins to number meanwhile has committed without numbers
        unwritten = self.unwritten()
        with tempfile.TemporaryDirectory(prefix="backup-", dir=self._way.scratch) as notes:
            argv = [
                tool.program, f"--defaults-extra-file={self._admin.option_file}",
                "--backup", f"--stream={tool.unpacker}", f"--extra-lsndir={notes}",
                f"--target-dir={notes}", f"--datadir={self._paths.data}",
                *([f"--incremental-lsn={since}"] if since else [])]

            def produce(packer: Packer) -> None:
                with Program(argv, stdout=subprocess.PIPE, explain=causes.find) as program:
                    assert program.process.stdout is not None
                    backups.pump(program.process.stdout, packer, expected, progress)
                    program.wait()
                    if not program.said(DONE):
                        raise program.failure("did not complete")

            return self._way.store(
                request, self.name, expected, progress, produce, lambda: {
                    **_position(pathlib.Path(notes), since),
                    **_log(pathlib.Path(notes), unwritten, log_after),
                    **tool.stored.describe(request.key),
                    "version": version, "lineage": lineage})

    def unwritten(self) -> Mapping[str, str]:
        """Return what it means that the program writes a place of the log and no transaction."""
        return {}

    # ---- restore --------------------------------------------------------------

    def restore(self, restore: m.RestoreSpec, progress: Progress) -> FamilyRestore:
        """Make the data directory from backups; see :class:`FamilyRestore`."""
        made = FamilyRestore(self.tool, self._paths, self._way.patience, progress)
        made.run(restore)
        return made


def _since(parent: m.StoredBackup, engine: str, version: str, lineage: str) -> str:
    """Return the position from which a backup continues another one.

    :raises FullBackupNeeded: it cannot
    """
    about = parent.metadata
    if about.get("engine") != engine or not re.fullmatch(r"[0-9]{1,20}",
                                                         about.get("to_lsn", "")):
        raise FullBackupNeeded("The backup to continue does not tell where it ends.")
    if about.get("version") != version:
        raise FullBackupNeeded("The backup to continue is of another version of the database: "
                               "a full one is needed.")
    if about.get("lineage", lineage) != lineage:
        raise FullBackupNeeded("The backup to continue is of other data: a full one is needed.")
    return about["to_lsn"]


def _position(folder: pathlib.Path, since: str | None) -> dict[str, str]:
    """Return the log positions that the program noted.

    :param since: where an incremental backup was to begin
    :raises GuestError: there are none, or others
    """
    for name in ("mariadb_backup_checkpoints", "xtrabackup_checkpoints"):
        path = folder / name
        if path.exists():
            found = dict(_POSITION.findall(path.read_text()))
            if found.get("from_lsn") != (since or "0"):
                raise GuestError("The backup did not begin where it was to.")
            return found
    raise GuestError("The backup program did not write its position.")


def _log(folder: pathlib.Path, unwritten: Mapping[str, str],
         after: Callable[[Place], Mapping[str, str]]) -> Mapping[str, str]:
    """Return the last transaction and which log continues the backup, if one is written.

    :param unwritten: the last transaction, if the program does not write it
    :param after: returns which log continues it from a place on
    """
    info = _info(folder)
    place, last = _PLACE.search(info), _GTID.search(info)
    # of several servers in several lines
    found = {GTID: "".join(last[1].split())} if last else {}
    if place is None:
        return found
    return {**(found or unwritten), **after(Place(int(place[1]), int(place[2])))}


def _info(folder: pathlib.Path) -> str:
    """Return what the program noted of a backup besides; nothing if it did not."""
    for name in ("mariadb_backup_info", "xtrabackup_info"):
        path = folder / name
        if path.exists():
            return path.read_text(errors="replace")
    return ""
