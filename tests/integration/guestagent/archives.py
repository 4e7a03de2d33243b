"""The archive of a server's log, as the control plane has it."""

from __future__ import annotations

import base64
from typing import Any

from tests.integration.guestagent.store import grant
from trove_ng.common.secret import Secret
from trove_ng.rpc import archive_messages as am
from trove_ng.rpc import messages as m

KEY = Secret(base64.urlsafe_b64encode(bytes(range(32))).decode())


class Archive:
    """What the control plane would know of the archive of a server.

    :param server: with its manager
    :param key: what is archived is encrypted with it
    """

    def __init__(self, server: Any, url: str, key: Secret | None = None,
                 folder: str = "archive") -> None:
        self.server = server
        self.folder = folder
        self.url = url
        self.key = key
        self.pieces: list[am.ArchivedLog] = []

    def ship(self, seconds: float = 30.0) -> am.ArchivedLog:
        """Archive what is not yet."""
        last, manager = self.pieces[-1] if self.pieces else None, self.server.manager
        if not manager.writes_log():
            manager.begin_log_archive()
        done: am.ArchivedLog = manager.archive_log(am.ArchiveRequest(
            grant=grant(self.url, f"{self.folder}/{len(self.pieces)}/"), key=self.key,
            after=None if last is None else am.LogPosition(
                stream=last.begin.stream, number=last.end), seconds=seconds))
        self.pieces.append(done)
        return done

    def lose(self) -> am.ArchivedLog:
        """Archive the same again elsewhere, as after an answer that did not arrive."""
        lost = self.pieces.pop()
        again = self.ship()
        assert again.begin == lost.begin
        assert again.end > lost.end
        return again

    def replay(self, until: float, after: m.StoredBackup, *pieces: am.ArchivedLog,
               ) -> m.LogReplay:
        """Return what is to be applied of it; all after a backup, if nothing is named."""
        wanted = [one.stored for one in pieces or self.pieces
                  if pieces or one.end > int(after.metadata[am.NUMBER])]
        return m.LogReplay(until=until, pieces=wanted, grant=grant(self.url, f"{self.folder}/"),
                           keys=[self.key] * len(wanted) if self.key else [])


def restored(make: Any, url: str, chain: list[m.StoredBackup], log: m.LogReplay | None,
             name: str = "two", key: Secret | None = None, **more: Any) -> Any:
    """Return a new server that was made of backups, and brought to a time."""
    one = make(name)
    one.prepare(restore=m.RestoreSpec(
        backup_id="1", chain=chain, keys=[key] * len(chain) if key else [], log=log,
        grants=[grant(url, stored.segments[0].name.partition("/")[0] + "/")
                for stored in chain]), **more)
    return one
