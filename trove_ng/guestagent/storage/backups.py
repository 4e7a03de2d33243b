"""What the backups of all engines have in common: storing one, and restoring a chain of them."""

from __future__ import annotations

import abc
import contextlib
import pathlib
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.common.secret import Secret
from trove_ng.guestagent import causes, entry_points
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.os.volumes import filesystem_stats
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage import swift, upload
from trove_ng.guestagent.storage.http import DamagedBackup, Patience
from trove_ng.guestagent.storage.packing import Packer, unpack
from trove_ng.rpc import messages as m

#: bytes that are read of a stream at once
PIECE = 1024 * 1024
_MB = 1024 * 1024
_NOTHING = "A restore needs backups, and the leave to read each of them."


class Form(NamedTuple):
    """What the backups of an engine are: who wrote them, and in which form.

    :param plain: the form of one that is not encrypted
    """

    engine: str
    plain: str

    @property
    def encrypted(self) -> str:
        """The form of one that is."""
        return f"{self.plain}+aes256gcm"

    def describe(self, key: Secret | None) -> dict[str, str]:
        """Return what the record of a backup says of it."""
        return {"engine": self.engine, "form": self.plain if key is None else self.encrypted}

    def check(self, stored: m.StoredBackup) -> None:
        """Refuse a backup of another form; what an earlier release did not record is not.

        :raises BadRequest: it is of another engine, or of another form
        """
        if stored.metadata.get("engine", self.engine) != self.engine:
            raise BadRequest("The backup is of another database engine.")
        if stored.metadata.get("form", self.plain) not in (self.plain, self.encrypted):
            raise BadRequest("The backup has a form that this release does not know.")


class Way(NamedTuple):
    """How backups come to the store.

    :param scratch: directory on the root disk for what is on its way; it exists
    """

    scratch: pathlib.Path
    patience: Patience

    def store(self, request: m.BackupRequest, strategy: str, expected: int, progress: Progress,
              produce: Callable[[Packer], None],
              describe: Callable[[], Mapping[str, str]]) -> m.StoredBackup:
        """Store a backup.

        :param expected: bytes that it is likely to have before it is compressed
        :param produce: writes it
        :param describe: called when it is stored; returns what to record of it
        """
        size = upload.segment_size(request.segment_size, expected,
                                   filesystem_stats(str(self.scratch)).free)
        writer = upload.SegmentWriter(request.grant, size, self.scratch,
                                      patience=self.patience, check=progress.check)
        packer = Packer(writer, request.key)
        try:
            produce(packer)
            packer.finish()
        except BaseException:
            writer.abort()
            raise
        return m.StoredBackup(
            strategy=strategy, segments=writer.segments,
            checksum=swift.checksum(writer.segments), size=writer.stored,
            data_size=packer.read, metadata={
                **describe(), **({"parent": request.parent.checksum}
                                 if request.parent is not None else {})})


def find_strategy(manager: str, name: str) -> Any:
    """Return the class that makes and restores the backups of an engine in a way.

    :param manager: name of the engine, whose ways are the entry points of
        ``trove_ng.guestagent.backup.<manager>``
    :raises BadRequest: there is none of the name
    """
    try:
        return entry_points.find(f"trove_ng.guestagent.backup.{manager}", name)
    except entry_points.NoEntryPoint as err:
        raise BadRequest(f"The backup strategy {name} is not known.") from err


def strategy_of(chain: Iterable[m.StoredBackup]) -> str:
    """Return the way in which the backups of a chain were made.

    :raises BadRequest: it is more than one, or there are none
    """
    names = sorted({stored.strategy for stored in chain})
    if not names:
        raise BadRequest(_NOTHING)
    name, *others = names
    if others:
        raise BadRequest("The backups of a chain are made in different ways: "
                         f"{', '.join([name, *others])}.")
    return name


def pump(source: IO[bytes], packer: Packer, expected: int, progress: Progress) -> None:
    """Pack all of a stream.

    :param expected: bytes that it is likely to have
    """
    while piece := source.read(PIECE):
        packer.write(piece)
        progress.report(min(95, 95 * packer.read // max(1, expected)))


def lineage(path: pathlib.Path) -> str:
    """Return what names the data, made at first; backups continue others of the same only.

    :param path: file on the volume, which a restore makes anew
    """
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        found = uuid.uuid4().hex
        files.write_text(path, found, mode=0o600)
        return found


def size_of(folder: pathlib.Path) -> int:
    """Return the bytes of all files below a directory, from which files may vanish."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue  # the server removes files while it runs
    return total


def check_room(needed: int, free: int) -> None:
    """Refuse what does not fit on the volume.

    :raises GuestError: says what is needed
    """
    if needed > free:
        raise GuestError(f"The volume is too small: the backup needs "
                         f"{-(-needed // _MB)} MiB, and {free // _MB} MiB are free.")


class Link(NamedTuple):
    """One backup of a chain, with what is needed to read it."""

    stored: m.StoredBackup
    grant: m.ObjectStoreGrant
    key: Secret | None


def links(restore: m.RestoreSpec, form: Form) -> list[Link]:
    """Return the backups of a restore with what is needed to read each.

    :raises BadRequest: something lacks
    """
    if not restore.chain:
        raise BadRequest(_NOTHING)
    return _links(restore.chain, restore.grants, restore.keys, form)


def log_links(log: m.LogReplay, form: Form) -> list[Link]:
    """Return the parts of an archived log with what is needed to read each.

    :raises BadRequest: something lacks
    """
    return _links(log.pieces, [log.grant] * len(log.pieces), log.keys, form)


def _links(stored: Sequence[m.StoredBackup], grants: Sequence[m.ObjectStoreGrant],
           known: Sequence[Secret | None], form: Form) -> list[Link]:
    keys = known or [None] * len(stored)
    if not len(grants) == len(keys) == len(stored):
        raise BadRequest("A restore needs the leave to read each of its backups.")
    found = [Link(*one) for one in zip(stored, grants, keys, strict=True)]
    for one in found:
        if one.stored.metadata.get("form") == form.encrypted and one.key is None:
            raise BadRequest("The backup is encrypted, and its key is not known.")
    return found


@contextlib.contextmanager
def blaming(backup: m.StoredBackup | None) -> Iterator[None]:
    """Have damage be a backup's: its segments were what had been stored, so were the files.

    :param backup: the one that is worked with; None if several were
    :raises DamagedBackup: files of the database are damaged, as far as a program says
    """
    checksum = backup.checksum if backup is not None else ""
    try:
        yield
    except DamagedBackup as err:
        err.checksum = err.checksum or checksum
        raise
    except GuestError as err:
        if not err.message.endswith(causes.DAMAGED):
            raise
        damaged = DamagedBackup(err.message)
        damaged.checksum = checksum
        raise damaged from err


class Restore(abc.ABC):
    """Makes the data directory from a chain of backups.

    All is checked and put together beside the data directory, and moved there at the end.

    :param data: the data directory
    :param staging: directories beside it that this works in; the first becomes the data
    :param owner: user that unpacks, and owns the data: what a backup holds gets no more
        rights than that
    :param mode: of the data directory
    :param explain: finds in a program's messages why it failed
    """

    def __init__(self, form: Form, data: pathlib.Path, staging: Sequence[pathlib.Path],
                 owner: str, mode: int, explain: Callable[[str], str], patience: Patience,
                 progress: Progress) -> None:
        self._form = form
        self._data = data
        self._staging = staging
        self._owner = owner
        self._mode = mode
        self._explain = explain
        self._patience = patience
        self._progress = progress
        self._done, self._all = 0, 1
        #: the parts of the archived log to apply after the backups
        self.log: Sequence[Link] = ()

    @abc.abstractmethod
    def check(self, chain: Sequence[m.StoredBackup]) -> None:
        """Refuse backups that do not continue each other, or that this server cannot read.

        :raises BadRequest: says which rule is broken
        """

    def check_log(self, chain: Sequence[m.StoredBackup], log: m.LogReplay) -> None:
        """Refuse archived log that does not continue the backups, or has a gap.

        :raises BadRequest: says which rule is broken; no log can be applied, unless an engine
            says otherwise
        """
        raise BadRequest("The datastore applies no log after a backup.")

    @abc.abstractmethod
    def needed(self, chain: Sequence[m.StoredBackup]) -> int:
        """Return the bytes of the volume that this takes at most."""

    @abc.abstractmethod
    def assemble(self, links: Sequence[Link]) -> None:
        """Make the first of the directories from the backups."""

    def run(self, restore: m.RestoreSpec) -> None:
        """Restore.

        :raises BadRequest: the backups do not continue each other, or are not for this server
        :raises GuestError: a checksum is wrong, or a program failed
        """
        found = links(restore, self._form)
        self.check(restore.chain)
        if restore.log is not None:
            self.check_log(restore.chain, restore.log)
            self.log = log_links(restore.log, self._form)
        for one in [*found, *self.log]:
            with blaming(one.stored):
                swift.verify(one.stored, one.grant, self._patience, self._progress.check)
        stored = [one.stored for one in (*found, *self.log)]
        self._all += sum(one.size for one in stored)
        self._clear()
        check_room(self.needed(stored),
                   filesystem_stats(str(self._data.parent)).free)
        try:
            self.assemble(found)
            self._put_in_place()
        finally:
            self._clear()

    def _clear(self) -> None:
        for folder in self._staging:
            files.remove(folder, recursive=True)

    def extract(self, argv: Sequence[str], link: Link) -> None:
        """Give what a backup holds to a program."""
        with Program(argv, stdin=subprocess.PIPE, explain=self._explain,
                     user=self._owner) as program:
            assert program.process.stdin is not None
            try:
                unpack(link.stored, link.grant, link.key, program.process.stdin,
                       self._patience, check=self._progress.check, passed=self._passed)
                program.process.stdin.close()
            except BrokenPipeError:
                program.collect()
                raise program.failure("ended before its input") from None
            program.wait()

    def _passed(self, size: int) -> None:
        self._done += size
        self._progress.report(10 + 40 * self._done // self._all)

    def _put_in_place(self) -> None:
        staging = self._staging[0]
        files.change_owner(staging, self._owner, self._owner, recursive=True)
        files.change_mode(staging, self._mode)
        if self._data.exists():
            # prepare made sure that it is empty
            self._data.rmdir()
        staging.rename(self._data)
        files.sync_directory(self._data.parent)
