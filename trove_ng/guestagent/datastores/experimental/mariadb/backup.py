"""Backups by mariadb-backup: streamed, compressed, never staged as a whole.

Form of the stored data: an mbstream archive in one Zstandard frame, cut into segments.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import IO, cast

import zstandard

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.guestagent.datastores.mysql_family import causes
from trove_ng.guestagent.datastores.mysql_family.admin import AdminAccount
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import swift, upload
from trove_ng.guestagent.storage.http import Patience
from trove_ng.rpc import messages as m

_PIECE = 1024 * 1024
_DONE = "completed OK!"
_POSITION = re.compile(r"^(backup_type|from_lsn|to_lsn|last_lsn) = (\S+)$", re.MULTILINE)
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})\.\d{1,3}-MariaDB")
_ENGINE = "mariadb"
_FORM = "mbstream+zstd"
#: memory that unpacking may take; what is written here needs a quarter of it
_WINDOW = 8 * 1024 * 1024
_MB = 1024 * 1024


class MariaBackup:
    """Full backups with mariadb-backup.

    :param scratch: directory on the root disk for what is on its way; it exists
    """

    name = "mariabackup"

    def __init__(self, paths: Paths, admin: AdminAccount, scratch: pathlib.Path,
                 patience: Patience | None = None) -> None:
        self._paths = paths
        self._admin = admin
        self._scratch = scratch
        self._patience = patience or Patience()

    # ---- backup ---------------------------------------------------------------

    def create(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Stream a backup and return what was stored.

        :raises BadRequest: it is to continue another backup
        :raises GuestError: the program or the object store failed
        """
        if request.parent is not None:
            raise BadRequest(f"The backup strategy {self.name} makes full backups only.")
        version = installed_version()
        expected = max(1, _size_of(self._paths.data))
        size = upload.segment_size(request.segment_size, expected,
                                   filesystem_stats(str(self._scratch)).free)
        with tempfile.TemporaryDirectory(prefix="backup-", dir=self._scratch) as notes:
            argv = [
                "mariadb-backup", f"--defaults-extra-file={self._admin.option_file}",
                "--backup", "--stream=mbstream", f"--extra-lsndir={notes}",
                f"--target-dir={notes}", f"--datadir={self._paths.data}"]
            writer = upload.SegmentWriter(request.grant, size, self._scratch,
                                          patience=self._patience, check=progress.check)
            try:
                read = self._stream(argv, writer, expected, progress)
            except BaseException:
                writer.abort()
                raise
            position = _position(pathlib.Path(notes))
        return m.StoredBackup(
            strategy=self.name, segments=writer.segments,
            checksum=swift.checksum(writer.segments), size=writer.stored, data_size=read,
            metadata={**position, "engine": _ENGINE, "version": version, "form": _FORM})

    @staticmethod
    def _stream(argv: Sequence[str], writer: upload.SegmentWriter, expected: int,
                progress: Progress) -> int:
        """Run the program, compress and store its output; return the bytes it wrote."""
        read = 0
        compressor = zstandard.ZstdCompressor(level=3).compressobj()
        with Program(argv, stdout=subprocess.PIPE, explain=causes.find) as program:
            assert program.process.stdout is not None
            while piece := program.process.stdout.read(_PIECE):
                read += len(piece)
                writer.write(compressor.compress(piece))
                progress.report(min(95, 95 * read // expected))
            program.wait()
            if not program.said(_DONE):
                raise program.failure("did not complete")
        writer.write(compressor.flush())
        writer.close()
        return read

    # ---- restore --------------------------------------------------------------

    def restore(self, restore: m.RestoreSpec, progress: Progress) -> None:
        """Put a backup together beside the data directory, check it, and move it there.

        :raises BadRequest: there is not exactly one backup, with its grant
        :raises GuestError: a checksum is wrong, or a program failed
        """
        if len(restore.chain) != 1 or len(restore.grants) != 1:
            raise BadRequest(f"The backup strategy {self.name} restores one full backup.")
        stored, grant = restore.chain[0], restore.grants[0]
        check_fits(stored, installed_version())
        swift.verify(stored, grant, self._patience, progress.check)
        staging = self._paths.staging
        files.remove(staging, recursive=True)
        _check_room(stored, filesystem_stats(self._paths.mount).free)
        files.make_directory(staging, mode=0o700)
        try:
            self._extract(stored, grant, staging, progress)
            progress.report(50)
            self._prepare(staging)
            files.change_owner(staging, "mysql", "mysql", recursive=True)
            files.change_mode(staging, 0o750)
            if self._paths.data.exists():
                # prepare made sure that it is empty
                self._paths.data.rmdir()
            staging.rename(self._paths.data)
            files.sync_directory(self._paths.mount)
        finally:
            files.remove(staging, recursive=True)

    def _extract(self, stored: m.StoredBackup, grant: m.ObjectStoreGrant,
                 target: pathlib.Path, progress: Progress) -> None:
        done = 0
        with Program(["mbstream", "-x", "-C", str(target)], stdin=subprocess.PIPE,
                     explain=causes.find) as program:
            assert program.process.stdin is not None
            # a writer, because a small piece may become very much: it passes on in parts
            unpacked = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_writer(
                cast("IO[bytes]", _Bounded(program.process.stdin, stored.data_size)),
                closefd=False)
            try:
                for piece in swift.read(stored, grant, self._patience, progress.check):
                    unpacked.write(piece)
                    done += len(piece)
                    progress.report(10 + 35 * done // max(1, stored.size))
                program.process.stdin.close()
                program.wait()
                return
            except zstandard.ZstdError:
                failure = GuestError("The backup is damaged: it cannot be decompressed.")
            except BrokenPipeError:
                program.collect()
                failure = program.failure("ended before its input")
            except _TooMuch:
                failure = GuestError("The backup is damaged: it holds more than was recorded.")
        # the data may be wrong although the end of their segment was not reached
        swift.check_segment_at(stored, grant, done, self._patience, progress.check)
        raise failure

    @staticmethod
    def _prepare(staging: pathlib.Path) -> None:
        with Program(["mariadb-backup", "--no-defaults", "--prepare",
                      f"--target-dir={staging}"], explain=causes.find) as program:
            program.wait()
            if not program.said(_DONE):
                raise program.failure("did not complete")


class _TooMuch(Exception):
    """A backup holds more than was recorded."""


class _Bounded:
    """A stream that takes no more than a backup is known to hold; 0 means any amount."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = limit or sys.maxsize

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise _TooMuch
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


def installed_version(run: Callable[..., commands.Result] = commands.run) -> str:
    """Return the version of the server's program, for example ``10.11``.

    :raises GuestError: it does not tell
    """
    found = _VERSION.search(run(["mariadbd", "--version"], timeout=30).stdout[:1000])
    if found is None:
        raise GuestError("The database server does not tell its version.")
    return f"{found[1]}.{found[2]}"


def check_fits(stored: m.StoredBackup, installed: str) -> None:
    """Refuse a backup that this server cannot read.

    What a backup of an earlier release does not record is not checked.

    :raises BadRequest: it is of another engine, of a newer version, or of another form
    """
    about = stored.metadata
    if about.get("engine", _ENGINE) != _ENGINE:
        raise BadRequest("The backup is of another database engine.")
    if about.get("form", _FORM) != _FORM:
        raise BadRequest("The backup has a form that this release does not know.")
    version = about.get("version", installed)
    if not re.fullmatch(r"\d{1,3}\.\d{1,3}", version):
        raise BadRequest("The version in the record of the backup cannot be read.")
    if _ordered(version) > _ordered(installed):
        raise BadRequest(f"The backup is of version {version}, and the server has "
                         f"{installed}.")


def _ordered(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _check_room(stored: m.StoredBackup, free: int) -> None:
    if stored.data_size > free:
        raise GuestError(f"The volume is too small: the backup needs "
                         f"{-(-stored.data_size // _MB)} MiB, and {free // _MB} MiB are free.")


def _size_of(folder: pathlib.Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue  # the server removes files while it runs
    return total


def _position(folder: pathlib.Path) -> dict[str, str]:
    """Return the log positions that the program noted.

    :raises GuestError: there are none
    """
    for name in ("mariadb_backup_checkpoints", "xtrabackup_checkpoints"):
        path = folder / name
        if path.exists():
            return dict(_POSITION.findall(path.read_text()))
    raise GuestError("mariadb-backup did not write its position.")
