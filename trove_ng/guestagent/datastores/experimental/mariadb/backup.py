"""Backups by mariadb-backup: streamed, compressed, never staged on disk.

Form of the stored data: an mbstream archive in one Zstandard frame, cut into segments.
"""

from __future__ import annotations

import collections
import logging
import pathlib
import re
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

import zstandard

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.guestagent.datastores.mysql_family.admin import AdminAccount
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import swift
from trove_ng.rpc import messages as m

LOG = logging.getLogger(__name__)

_PIECE = 1024 * 1024
_KEPT_LINES = 50
_DONE = "completed OK!"
_POSITION = re.compile(r"^(backup_type|from_lsn|to_lsn|last_lsn) = (\S+)$", re.MULTILINE)


class MariaBackup:
    """Full backups with mariadb-backup."""

    name = "mariabackup"

    def __init__(self, paths: Paths, admin: AdminAccount) -> None:
        self._paths = paths
        self._admin = admin

    # ---- backup ---------------------------------------------------------------

    def create(self, request: m.BackupRequest, progress: Progress) -> m.StoredBackup:
        """Stream a backup and return what was stored.

        :raises BadRequest: it is to continue another backup
        :raises GuestError: the program or the object store failed
        """
        if request.parent is not None:
            raise BadRequest(f"The backup strategy {self.name} makes full backups only.")
        expected = max(1, _size_of(self._paths.data))
        writer = swift.SegmentWriter(request.grant, request.segment_size)
        with tempfile.TemporaryDirectory(prefix="trove-backup-") as scratch:
            argv = [
                "mariadb-backup", f"--defaults-extra-file={self._admin.option_file}",
                "--backup", "--stream=mbstream", f"--extra-lsndir={scratch}",
                f"--target-dir={scratch}", f"--datadir={self._paths.data}"]
            try:
                read = self._stream(argv, writer, expected, progress)
            except BaseException:
                writer.abort()
                raise
            position = _position(pathlib.Path(scratch))
        return m.StoredBackup(
            strategy=self.name, segments=writer.segments,
            checksum=swift.checksum(writer.segments), size=writer.stored, data_size=read,
            metadata=position)

    @staticmethod
    def _stream(argv: Sequence[str], writer: swift.SegmentWriter, expected: int,
                progress: Progress) -> int:
        """Run the program, compress and store its output; return the bytes it wrote."""
        read = 0
        compressor = zstandard.ZstdCompressor(level=3).compressobj()
        with _Program(argv, stdout=subprocess.PIPE) as program:
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
        staging = self._paths.staging
        files.remove(staging, recursive=True)
        files.make_directory(staging, mode=0o700)
        try:
            self._extract(restore.chain[0], restore.grants[0], staging, progress)
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

    @staticmethod
    def _extract(stored: m.StoredBackup, grant: m.ObjectStoreGrant, target: pathlib.Path,
                 progress: Progress) -> None:
        done = 0
        with _Program(["mbstream", "-x", "-C", str(target)], stdin=subprocess.PIPE) as program:
            assert program.process.stdin is not None
            # a writer, because a small piece may become very much: it passes on in parts
            decompressor = zstandard.ZstdDecompressor().stream_writer(
                program.process.stdin, closefd=False)
            try:
                for piece in swift.read(stored, grant):
                    decompressor.write(piece)
                    done += len(piece)
                    progress.report(10 + 35 * done // max(1, stored.size))
                program.process.stdin.close()
            except zstandard.ZstdError as err:
                raise GuestError("The backup is damaged: it cannot be decompressed.") from err
            except BrokenPipeError:
                raise program.failure("ended before its input") from None
            program.wait()

    @staticmethod
    def _prepare(staging: pathlib.Path) -> None:
        with _Program(["mariadb-backup", "--no-defaults", "--prepare",
                       f"--target-dir={staging}"]) as program:
            program.wait()
            if not program.said(_DONE):
                raise program.failure("did not complete")


class _Program:
    """A program whose messages are kept, and that does not outlive the block."""

    def __init__(self, argv: Sequence[str], *, stdin: int = subprocess.DEVNULL,
                 stdout: int = subprocess.DEVNULL) -> None:
        self._name = argv[0]
        LOG.info("running %s", " ".join(argv))
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(
                list(argv), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                env=commands.environment(), start_new_session=True)
        except OSError as err:
            raise GuestError(f"The program {self._name} cannot be run: {err.strerror}."
                             ) from err
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        assert self.process.stderr is not None
        self._reader = threading.Thread(
            target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            self._lines.append(line.decode(errors="replace").rstrip())

    def __enter__(self) -> _Program:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            commands.kill_group(self.process)
            self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    LOG.debug("%s left input unread", self._name)

    def wait(self) -> None:
        """Wait for the end.

        :raises GuestError: it failed
        """
        status = self.process.wait()
        self._reader.join()
        if status:
            raise self.failure(f"ended with status {status}")

    def said(self, text: str) -> bool:
        """Return whether one of the last messages has a text."""
        return any(text in line for line in self._lines)

    def failure(self, why: str) -> GuestError:
        """Return the error, and log what the program said."""
        LOG.error("%s %s:\n%s", self._name, why, "\n".join(self._lines))
        return GuestError(f"The program {self._name} {why}.")


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
