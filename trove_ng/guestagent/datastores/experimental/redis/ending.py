"""Ending a server that has no room for the snapshot that it writes at its end.

Such a server does not end, however it is asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from trove_ng.common.errors import UnsavedChanges
from trove_ng.guestagent.datastores.experimental.redis.paths import Paths
from trove_ng.guestagent.datastores.experimental.redis.server import Server, Session

#: clients may write again after this, whatever becomes of the agent
_PAUSE_MS = 60_000


class LastSnapshot:
    """The snapshot that the server writes at its end.

    :param explain: finds in the server's log why it could not do something
    """

    def __init__(self, server: Server, paths: Paths, explain: Callable[[], str]) -> None:
        self._server = server
        self._paths = paths
        self._explain = explain

    @contextlib.contextmanager
    def left_out(self) -> Iterator[None]:
        """Have a server that ends in the block write none; one that does not goes on as before.

        :raises UnsavedChanges: it could not write one before either, and has changes
        """
        with self._server.session() as session:
            saves = session.config_get("save")["save"]
            # what is written from now on would be lost
            session.run("CLIENT", "PAUSE", _PAUSE_MS, "WRITE")
            try:
                if saves:
                    self._keep(session)
                    session.config_set("save", "")
                yield
            except BaseException:
                session.config_set("save", saves)
                session.run("CLIENT", "UNPAUSE")
                raise

    def write_again(self, saves: str) -> None:
        """Have a server that did not end, as its agent did, write snapshots as before.

        :param saves: when
        """
        with self._server.session() as session:
            if session.config_get("save")["save"] != saves:
                session.config_set("save", saves)

    def _keep(self, session: Session) -> None:
        if not self._is_kept(session) and not session.snapshot(
                self._paths.snapshot, lambda: None):
            cause = self._explain() or "it cannot write its snapshot; its log says why."
            raise UnsavedChanges(f"The database would lose changes if it ended now: {cause}")

    def _is_kept(self, session: Session) -> bool:
        """Return whether the next start finds all data."""
        now = session.info("persistence")
        if now["aof_enabled"]:
            return bool(now["aof_last_write_status"] == "ok")
        return not now["rdb_changes_since_last_save"] and (
            self._paths.snapshot.exists() or not session.info("keyspace"))
