"""Putting backups of PostgreSQL together: the data, and the write-ahead log after them."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL

from trove_ng.common.errors import BadRequest
from trove_ng.guestagent.datastores.experimental.postgresql import causes
from trove_ng.guestagent.datastores.experimental.postgresql.config import OWNER
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server
from trove_ng.guestagent.datastores.experimental.postgresql.wal import POSITION
from trove_ng.guestagent.os import files
from trove_ng.guestagent.steps import Progress
from trove_ng.guestagent.storage.backups import Form, Link, Restore, blaming
from trove_ng.guestagent.storage.http import DamagedBackup, Patience
from trove_ng.guestagent.storage.log_archive import check_parts
from trove_ng.rpc import messages as m

FORM = Form("postgresql", "tar+zstd")
#: settings that went along with the data, and what would have the server wait for more log
_NOT_OURS = ("postgresql.auto.conf", "recovery.signal", "standby.signal")


class PostgreSqlRestore(Restore):
    """Makes the data directory; the server reads the log when it is started."""

    def __init__(self, paths: Paths, patience: Patience, progress: Progress) -> None:
        super().__init__(FORM, paths.data, (paths.staging,), OWNER, 0o700, causes.of_program,
                         patience, progress)
        self._paths = paths

    def check(self, chain: Sequence[m.StoredBackup]) -> None:
        check_chain(chain, self._paths.version)

    def check_log(self, chain: Sequence[m.StoredBackup], log: m.LogReplay) -> None:
        """Refuse log that leaves a gap, or that this server cannot read."""
        reached = chain[-1].metadata.get("wal_next", "")

        def span(stored: m.StoredBackup) -> tuple[str, str] | None:
            about = stored.metadata
            found = about.get("wal_from", ""), about.get("wal_next", "")
            # another timeline is another log
            fits = about.get("version") == self._paths.version and found[0][:8] == reached[:8]
            return found if fits else None

        check_parts(FORM, log, reached, span)

    def needed(self, chain: Sequence[m.StoredBackup]) -> int:
        return sum(one.data_size for one in chain)

    def assemble(self, links: Sequence[Link]) -> None:
        """Unpack the full backup, and the log of the others where the server looks for it."""
        target = self._paths.staging
        files.make_directory(target, mode=0o700, owner=OWNER)
        for link in [*links, *self.log]:
            with blaming(link.stored):
                self.extract(["tar", "--extract", "--directory", str(target)], link)
            target = self._paths.staging / "pg_wal"
        for name in _NOT_OURS:
            files.remove(self._paths.staging / name)


def check_chain(chain: Sequence[m.StoredBackup], installed: str) -> None:
    """Refuse backups that do not continue each other, or that this server cannot read.

    :param chain: the full one first
    :raises BadRequest: says which rule is broken
    """
    for number, stored in enumerate(chain):
        FORM.check(stored)
        about = stored.metadata
        if about.get("version") != installed:
            raise BadRequest(f"The backup is of version {about.get('version', 'unknown')}, and "
                             f"the server has {installed}.")
        if not number:
            if "wal_from" in about:
                raise BadRequest("The first backup of the chain is not a full one.")
        elif (about.get("wal_from", "") != chain[number - 1].metadata.get("wal_next")
              or about.get("parent") != chain[number - 1].checksum):
            raise BadRequest(f"Backup {number + 1} of the chain does not continue the one "
                             "before it.")
    if not POSITION.fullmatch(chain[-1].metadata.get("to_lsn", "")):
        raise BadRequest("The backup does not tell where it ends.")


def check_reached(server: Server, stored: m.StoredBackup) -> None:
    """Check that the server has read all of the log that a chain's last backup has.

    :raises DamagedBackup: it has not: data would lack
    """
    with server.session() as session:
        ((reached,),) = session.run(SQL("SELECT pg_current_wal_lsn() >= %s::pg_lsn"),
                                    (stored.metadata["to_lsn"],))
    if not reached:
        raise DamagedBackup("The backup is damaged: its write-ahead log ends too early.")
