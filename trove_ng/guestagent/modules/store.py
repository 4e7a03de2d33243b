"""The modules of this server: a directory each, with the file and what became of it."""

from __future__ import annotations

import logging
import pathlib
import re
import shutil
import uuid
from collections.abc import Callable

import msgspec

from trove_ng.common.errors import NotFound, UnprocessableEntity
from trove_ng.guestagent.os import files

LOG = logging.getLogger(__name__)

_RECORD = "module.json"
#: characters of a file's name, without its ending
_LENGTH = 200
_UNSAFE = re.compile(r"[^0-9A-Za-z._-]")


class Record(msgspec.Struct, kw_only=True):
    """What is remembered of a module; its file is beside it.

    :param ok: it was put in force; False also while that is tried
    :param md5: hex digest of the file
    :param installed_at: Unix time in seconds
    """

    id: str
    type: str
    name: str
    datastore: str
    datastore_version: str
    md5: str
    priority_apply: bool
    apply_order: int
    is_admin: bool
    ok: bool
    message: str
    installed_at: float
    updated_at: float

    @property
    def filename(self) -> str:
        """Name of the file, ``<datastore>-<version>-<name>.lic`` as the spec has it."""
        text = f"{self.datastore}-{self.datastore_version}-{self.name}"
        return _UNSAFE.sub("_", text)[:_LENGTH].lstrip(".") + ".lic"


class ModuleStore:
    """Reads and writes records and files.

    :param folder: returns the directory; raises GuestError while it cannot be used
    """

    def __init__(self, folder: Callable[[], pathlib.Path]) -> None:
        self._folder = folder

    def get(self, ident: str) -> Record | None:
        """Return what is remembered of a module, None if there is nothing."""
        return self._read(self._place(ident))

    def need(self, ident: str) -> Record:
        """Return what is remembered of a module.

        :raises NotFound: there is nothing
        """
        found = self.get(ident)
        if found is None:
            raise NotFound.of("Module", ident)
        return found

    def all(self) -> list[Record]:
        """Return all that is remembered, in no order."""
        folder = self._folder()
        found = [self._read(place) for place in folder.iterdir()] if folder.is_dir() else []
        return [one for one in found if one is not None]

    def path(self, record: Record) -> pathlib.Path:
        """Return where the file of a module is."""
        return self._place(record.id) / record.filename

    def put(self, record: Record) -> None:
        """Remember a module; it is on the disk when this returns."""
        files.write_bytes(self._made(record.id) / _RECORD, msgspec.json.encode(record),
                          mode=0o600)

    def put_file(self, record: Record, contents: bytes) -> None:
        """Write the file of a module; one under a former name goes."""
        place = self._made(record.id)
        files.write_bytes(place / record.filename, contents, mode=0o600)
        files.clear_directory(place, keep=(_RECORD, record.filename))

    def drop(self, ident: str) -> None:
        """Forget a module: the record goes first, so that no half of one is ever seen."""
        place = self._place(ident)
        files.remove(place / _RECORD)
        shutil.rmtree(place)

    def _made(self, ident: str) -> pathlib.Path:
        place = self._place(ident)
        if not place.is_dir():
            files.make_directory(place.parent, mode=0o700)
            files.make_directory(place, mode=0o700)
        return place

    def _place(self, ident: str) -> pathlib.Path:
        try:
            # it comes from the bus: nothing else becomes a name
            return self._folder() / str(uuid.UUID(ident))
        except ValueError:
            raise UnprocessableEntity(f"{ident} is not the id of a module.") from None

    @staticmethod
    def _read(place: pathlib.Path) -> Record | None:
        try:
            return msgspec.json.decode((place / _RECORD).read_bytes(), type=Record)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except msgspec.MsgspecError:
            LOG.error("the record in %s cannot be read and is left out", place)
            return None
