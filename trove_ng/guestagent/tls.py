"""What a server shows its clients: its certificates and keys, and which are in force.

On the data volume, so that they outlast the root disk::

    tls/state.json          what is in force, and what was before
    tls/<operation>/        certificate.pem, key.pem, authority.pem of one change
    tls/live                link to the directory that is in force
    tls/source.pem          what a replica verifies its source with

The server's settings name the files below ``live``: they stay the same when a certificate is
replaced, which servers do without a restart.
"""

from __future__ import annotations

import os
import pathlib
import ssl
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.common.tls import STRICT
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.codecs import JsonCodec
from trove_ng.rpc import tls_messages as tm

#: end of who wrote a state that undid an operation
_UNDONE = " undone"
_CERTIFICATE, _KEY, _AUTHORITY = "certificate.pem", "key.pem", "authority.pem"
_SOURCE = "source.pem"

#: keeps what a source is verified with, and says where; see :meth:`TlsStore.trust`
Trust = Callable[[str], pathlib.Path | None]


class TlsFiles(NamedTuple):
    """What a server's settings name.

    :param mode: one of :data:`trove_ng.common.tls.MODES`
    """

    mode: str
    certificate: pathlib.Path
    key: pathlib.Path
    authority: pathlib.Path

    @property
    def strict(self) -> bool:
        """True if nobody comes in without it."""
        return self.mode in STRICT


class _Change(msgspec.Struct):
    """One change: the operation that made it, and to what."""

    id: str
    mode: str | None = None
    reference: str = ""


class _State(msgspec.Struct):
    """What is in force, and the two changes before it, the newest first.

    :param by: the operation that wrote this
    :param renewed: whose place the one in force took, for who undoes that
    """

    by: str = ""
    current: _Change | None = None
    before: list[_Change] = []
    renewed: _Change | None = None


class TlsStore:
    """The files.

    Each change may be repeated, whole or after a part.

    :param folder: returns where they are
    :param user: that the server runs as; its group may read them
    """

    def __init__(self, folder: Callable[[], pathlib.Path], user: str) -> None:
        self._find = folder
        self._how = {"group": user or None}

    @property
    def _folder(self) -> pathlib.Path:
        return self._find()

    def change(self, request: tm.TlsRequest) -> None:
        """Put a certificate in force, or none.

        :raises BadRequest: there is a mode and no certificate
        """
        known = self._load()
        if known.current is not None and known.current.id == request.operation_id:
            self._link(known.current)
            return
        wanted = _Change(request.operation_id, request.mode, request.reference)
        files.make_directory(self._folder, mode=0o750, **self._how)
        if request.mode is not None:
            self._write(request)
        if request.renewal and known.current is not None:
            self._keep(_State(request.operation_id, wanted, known.before, known.current))
            return
        # that no certificate was there before can be gone back to, too
        self._keep(_State(request.operation_id, wanted,
                          [known.current or _Change(""), *known.before][:2]))

    def _write(self, request: tm.TlsRequest) -> None:
        if request.key is None or not request.certificate or not request.authority:
            raise BadRequest("TLS needs a certificate, its key and the authority's certificate.")
        folder = self._folder / request.operation_id
        files.make_directory(folder, mode=0o750, **self._how)
        for name, text in ((_CERTIFICATE, request.certificate), (_KEY, request.key.reveal()),
                           (_AUTHORITY, request.authority)):
            files.write_text(folder / name, text, mode=0o640, **self._how)
        try:
            # as a server does, with the same library and its rules for what is weak
            found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            found.load_cert_chain(folder / _CERTIFICATE, folder / _KEY)
            found.load_verify_locations(folder / _AUTHORITY)
        except (ssl.SSLError, OSError) as err:
            files.remove(folder, recursive=True)
            raise BadRequest("The certificate cannot be used by a server: "
                             f"{getattr(err, 'reason', None) or 'it cannot be read'}.") from err

    def own(self) -> None:
        """Let the server's user of this root disk read the files."""
        if self._how["group"] and self._folder.is_dir():
            files.change_owner(self._folder, None, self._how["group"], recursive=True)

    def roll_back(self, operation_id: str) -> None:
        """Put in force what was before; once more brings this back.

        :raises UnprocessableEntity: nothing was before
        """
        known = self._load()
        if known.by == operation_id:
            self._link(known.current)
            return
        if known.current is None or not known.before:
            raise UnprocessableEntity("Nothing was in force before.")
        first, *rest = known.before
        self._keep(_State(operation_id, first, [known.current, *rest]))

    def undo(self, operation_id: str) -> None:
        """Put in force what was before an operation, if that changed something."""
        known, by = self._load(), f"{operation_id}{_UNDONE}"
        if known.by == by:
            # what it did may not be in force yet
            self._keep(known)
        elif known.current is not None and known.current.id == operation_id:
            if known.renewed is not None:
                self._keep(_State(by, known.renewed, known.before))
                return
            first, *rest = known.before
            self._keep(_State(by, first, rest))
        elif known.by == operation_id and known.current is not None:
            # it was a way back
            first, *rest = known.before
            self._keep(_State(by, first, [known.current, *rest]))

    def in_force(self) -> TlsFiles | None:
        """Return what the server's settings have to name; None: it speaks no TLS."""
        found = self._load().current
        if found is None or found.mode is None:
            return None
        return TlsFiles(found.mode, self.live_certificate, self._live / _KEY,
                        self._live / _AUTHORITY)

    @property
    def live_certificate(self) -> pathlib.Path:
        """Where the certificate in force is, if there is one."""
        return self._live / _CERTIFICATE

    def state(self) -> tm.TlsState:
        """Return what is in force and what was before, without keys."""
        known = self._load()
        return tm.TlsState(
            current=self._entry(known.current or _Change("")),
            previous=self._entry(known.before[0]) if known.before else None)

    @property
    def trusted(self) -> pathlib.Path | None:
        """What a replica verifies its source with; None: it follows none over TLS."""
        found = self._folder / _SOURCE
        return found if found.exists() else None

    def trust(self, authority: str) -> pathlib.Path | None:
        """Keep what a source is verified with; return where it is.

        :param authority: PEM; empty: none is
        """
        if not authority:
            files.remove(self._folder / _SOURCE)
            return None
        files.make_directory(self._folder, mode=0o750, **self._how)
        files.write_text(self._folder / _SOURCE, authority, mode=0o640, **self._how)
        return self.trusted

    def forget(self) -> None:
        """Remove all."""
        files.remove(self._folder, recursive=True)

    def _entry(self, change: _Change) -> tm.TlsEntry:
        if change.mode is None:
            return tm.TlsEntry()
        folder = self._folder / change.id
        return tm.TlsEntry(
            mode=change.mode, certificate=files.read_text(folder / _CERTIFICATE),
            authority=files.read_text(folder / _AUTHORITY), reference=change.reference)

    @property
    def _live(self) -> pathlib.Path:
        return self._folder / "live"

    def _load(self) -> _State:
        found = files.read(self._folder / "state.json", JsonCodec(), default={})
        return msgspec.convert(found, _State)

    def _keep(self, state: _State) -> None:
        """Write the state, put it in force, and remove what is in no state any more."""
        files.write(self._folder / "state.json", msgspec.to_builtins(state), JsonCodec(),
                    mode=0o600)
        self._link(state.current)
        named = {one.id for one in (state.current, *state.before, state.renewed)
                 if one is not None}
        for path in self._folder.iterdir():
            if path.is_dir() and not path.is_symlink() and path.name not in named:
                files.remove(path, recursive=True)

    def _link(self, change: _Change | None) -> None:
        if change is None or change.mode is None:
            files.remove(self._live)
            return
        draft = self._folder / "live.new"
        files.remove(draft)
        os.symlink(change.id, draft)
        os.rename(draft, self._live)
        files.sync_directory(self._folder)
