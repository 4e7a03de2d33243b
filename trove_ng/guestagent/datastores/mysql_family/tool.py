"""Programs that copy the files of a running server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from trove_ng.guestagent.storage.backups import Form


@dataclasses.dataclass(frozen=True)
class Tool:
    """The programs of one engine, and what its backups are called.

    :param engine: whose data these are
    :param program: makes backups and prepares restores
    :param unpacker: takes the stream of a backup apart
    :param version: returns the version of the installed server, for example ``8.0``
    :param log_reader: makes statements of binary logs
    :param log_options: of that program
    :param client: runs statements
    :param check: refuses, by a GuestError, programs that do not fit a server's version
    :param upgrades: a backup of an older version of the server can be restored
    :param keeps_open: a backup that is to be continued is prepared in another way
    """

    engine: str
    program: str
    unpacker: str
    version: Callable[[], str]
    log_reader: str
    client: str
    log_options: Sequence[str] = ()
    check: Callable[[str], None] = lambda _version: None
    upgrades: bool = True
    keeps_open: bool = False

    @property
    def log(self) -> Form:
        """How parts of the archived log are stored: files of the server."""
        return Form(self.engine, "tar+zstd")

    @property
    def stored(self) -> Form:
        """How a backup is stored: the program's stream in a Zstandard frame."""
        return Form(self.engine, f"{self.unpacker}+zstd")
