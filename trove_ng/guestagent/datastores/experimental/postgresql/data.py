"""Making the data directory, and taking one over that was made elsewhere."""

from __future__ import annotations

from trove_ng.common.errors import GuestError
from trove_ng.datastores.postgresql.rules import ADMIN
from trove_ng.guestagent.datastores.experimental.postgresql import causes
from trove_ng.guestagent.datastores.experimental.postgresql.config import OWNER
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.os import commands, files
from trove_ng.guestagent.storage.http import DamagedBackup

_MAKE_SECONDS = 600
#: reading the write-ahead log of a long time takes long
_RECOVERY_SECONDS = 24 * 3600

_SHORT = "its write-ahead log ends too early"
_REACHED = f"""\
DO 'BEGIN IF coalesce(pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_current_wal_lsn()) \
< ''{{position}}'' THEN RAISE EXCEPTION ''{_SHORT}''; END IF; END';

"""

#: whatever those who had the data before made of the agent's role
_TAKE_OVER = f"""\
DO 'BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ''{ADMIN}'') THEN \
CREATE ROLE {ADMIN}; END IF; END';

ALTER ROLE {ADMIN} SUPERUSER LOGIN REPLICATION CREATEDB CREATEROLE BYPASSRLS INHERIT \
CONNECTION LIMIT -1 PASSWORD NULL VALID UNTIL 'infinity';

ALTER ROLE {ADMIN} RESET ALL;

"""


class DataDirectory:
    """The data directory of the server, which does not run."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def version(self) -> str:
        """Return the major version of the data.

        :raises GuestError: they do not tell
        """
        try:
            return (self._paths.data / "PG_VERSION").read_text().strip()
        except OSError as err:
            raise GuestError("The data do not tell their version.") from err

    def make(self) -> None:
        """Make an empty database, whose superuser is the agent's role."""
        files.make_directory(self._paths.data, mode=0o700, owner=OWNER)
        self._run([self._paths.program("initdb"), "-D", str(self._paths.data), "-U", ADMIN,
                   "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
                   "--auth-local=peer", "--auth-host=reject"], _MAKE_SECONDS)

    def take_over(self, reaches: str | None = None) -> None:
        """Recover what is not in the tables yet, and give the agent its role.

        The server runs without clients for this, whoever may come in otherwise.

        :param reaches: position up to which there must be write-ahead log
        :raises DamagedBackup: it ends before
        """
        # first: what is written here is log too
        reached = _REACHED.format(position=reaches) if reaches is not None else ""
        self._run([self._paths.program("postgres"), "--single", "-j", "-D",
                   str(self._paths.config_dir), "-c", "exit_on_error=on", "-c",
                   "logging_collector=off", "-c", "log_min_messages=warning", "template1"],
                  _RECOVERY_SECONDS, reached + _TAKE_OVER)

    @staticmethod
    def _run(argv: list[str], seconds: float, stdin: str | None = None) -> None:
        try:
            commands.run(argv, user=OWNER, cwd="/", timeout=seconds, disposable=True,
                         stdin=stdin)
        except commands.CommandError as err:
            if _SHORT in err.stderr:
                raise DamagedBackup(f"The backup is damaged: {_SHORT}.") from err
            cause = causes.find(err.stderr)
            if not cause:
                raise
            raise GuestError(f"The database cannot be made: {cause}") from err
