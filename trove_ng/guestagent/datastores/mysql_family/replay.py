"""Applying archived binary logs to a server that has just been restored.

Up to where is found by the agent, and told to the server's own program as a place: that
program's ``--stop-datetime`` would end within a transaction, and at the first one that a
session with a clock of its own dated to later.
"""

from __future__ import annotations

import math
import pathlib
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import causes
from trove_ng.guestagent.datastores.mysql_family.binlog import (
    BEGIN,
    COMPLETE,
    NAME,
    UNTIL,
    Place,
    extent,
)
from trove_ng.guestagent.datastores.mysql_family.sql import BEGIN as BEGIN_SESSION
from trove_ng.guestagent.datastores.mysql_family.tool import Tool
from trove_ng.guestagent.os.streaming import Program
from trove_ng.guestagent.storage.http import DamagedBackup

#: seconds that the server usually takes at most to begin a new file
_SHORT_SECONDS = 1
#: seconds between two looks at programs that work
_LOOK_SECONDS = 0.1
#: seconds that a change waits for a table that is in use: by nobody else's will
_LOCK_SECONDS = 3600
#: seconds that the server waits for the next statement: longer than any download
_PATIENCE = 7 * 24 * 3600
_ERROR = re.compile(r"^ERROR ([0-9]{1,5}) \(", re.MULTILINE)
#: server lost
_GONE = frozenset({"2006", "2013", "2026", "1053"})


class Replay:
    """One connection that all files are applied on: tables that a session has go on in the next.

    :param tool: the engine's programs
    :param option_file: with the agent's account
    :param unhurried: variable of a session that lets statements take any time, being 0
    :param owner: user that the reader runs as; None: the agent's
    :param begin: where the restored backup ends
    :param until: Unix time after which nothing is applied; changes are dated to the second,
        and one of the same second counts as later
    :param check: raises to give up
    """

    def __init__(self, tool: Tool, option_file: pathlib.Path, unhurried: str,
                 owner: str | None, begin: Place, until: float,
                 check: Callable[[], None]) -> None:
        self._reader = [tool.log_reader, "--no-defaults", "--disable-log-bin",
                        "--verify-binlog-checksum", *tool.log_options]
        self._owner = owner
        self._begin = begin
        self._until = until
        self._check = check
        self._client = Program([
            tool.client, f"--defaults-file={option_file}", "--binary-mode", "--batch",
            "--max-allowed-packet=1G", "--default-character-set=binary",
            f"--init-command={BEGIN_SESSION}, wait_timeout = {_PATIENCE}, "
            f"net_read_timeout = {_PATIENCE}, lock_wait_timeout = {_LOCK_SECONDS}, "
            f"{unhurried} = 0"], stdin=subprocess.PIPE)
        #: when the last transaction was that is applied; None: there was none
        self.last: float | None = None

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._client.__exit__(kind, err, trace)

    def apply(self, folder: pathlib.Path, about: Mapping[str, str]) -> bool:
        """Apply the files of a part; return whether the time is reached.

        :param about: the record of the part
        :raises DamagedBackup: a file is not what the server wrote
        :raises GuestError: the server refuses a change
        """
        complete = float(about[COMPLETE])
        # of before for sure, whatever a session had for its clock
        whole = complete <= self._until or _is_end(about, complete, self._until)
        until = None if whole else math.floor(self._until)
        for path in sorted(folder.iterdir(), key=_number):
            number = _number(path)
            if number < self._begin.number:
                # it was before the backup, or in the part before
                continue
            if number > self._begin.number:
                raise DamagedBackup(f"The archived log is damaged: it lacks {path.name}'s "
                                    "predecessor.")
            begin, self._begin = self._begin.begin, Place(number + 1, BEGIN)
            found = extent(path, begin, until, complete)
            if found.last is not None:
                self._play(path, begin, found.end)
                self.last = max(self.last or 0, found.last) or None
            if found.reached:
                return True
        return False

    def _play(self, path: pathlib.Path, begin: int, end: int) -> None:
        client = self._client.process
        assert client.stdin is not None
        with Program([
                *self._reader, f"--start-position={begin}", f"--stop-position={end}", str(path)],
                stdout=client.stdin.fileno(), explain=causes.find, user=self._owner) as reader:
            self._wait(reader.process)
            status = reader.collect()
            if status and client.poll() is None and not self._ends():
                # the client did what it was told: the file is what cannot be read
                raise DamagedBackup(f"The archived log is damaged: {path.name} cannot be read.")
        if status or client.poll() is not None:
            raise self._failure()

    def _ends(self) -> bool:
        """Return whether the client is about to end for a statement that failed."""
        try:
            self._client.process.wait(1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> None:
        """Wait until all is applied.

        :raises GuestError: the server refuses a change
        """
        assert self._client.process.stdin is not None
        self._client.process.stdin.close()
        self._wait(self._client.process)
        if self._client.collect():
            raise self._failure()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            self._check()
            time.sleep(_LOOK_SECONDS)

    def _failure(self) -> GuestError:
        """Return why the client ended; its words quote data."""
        self._client.collect()
        found = _ERROR.search(self._client.messages)
        if found is None or found[1] in _GONE:
            return GuestError("The archived log cannot be applied: the database server has gone.")
        return GuestError("The archived log cannot be applied to the backup: the database server "
                          f"refused a change (error {found[1]}).")


def _is_end(about: Mapping[str, str], complete: float, until: float) -> bool:
    """Return whether a time is the one that a part was archived up to: all of it is asked for.

    What was done while the server ended the last file is in it, unless that took long.
    """
    ended = about.get(UNTIL)
    return (ended is not None and ended == f"{until:.3f}"
            and complete - until < _SHORT_SECONDS)


def _number(path: pathlib.Path) -> int:
    found = NAME.fullmatch(path.name)
    if found is None:
        raise DamagedBackup("The archived log is damaged: it holds other files.")
    return int(found[1])
