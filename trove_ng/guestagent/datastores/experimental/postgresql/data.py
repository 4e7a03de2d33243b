"""Making the data directory, and taking one over that was made elsewhere."""

from __future__ import annotations

import datetime
import re

from trove_ng.common.errors import GuestError
from trove_ng.datastores.postgresql.rules import ADMIN
from trove_ng.guestagent.datastores.experimental.postgresql import causes, sql
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

#: what the server says when it has applied all changes up to a time, and of the last of them
_STOPPED = re.compile(r"recovery stopping before (?:commit|abort) of transaction")
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+?)(?:\.\d+)?\+00")
_SHORT_OF_TIME = "recovery ended before configured recovery target was reached"
_UNREACHED = "The archived log ends before the time to restore to."

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

    def take_over(self, reaches: str | None = None, until: float | None = None) -> float | None:
        """Recover what is not in the tables yet, and give the agent its role.

        The server runs without clients for this, whoever may come in otherwise.

        :param reaches: position up to which there must be write-ahead log
        :param until: Unix time after which no change is applied
        :return: with that, the time of the last change that was; None if there was none
        :raises DamagedBackup: the log ends before the position, or the time
        """
        # first: what is written here is log too
        reached = _REACHED.format(position=reaches) if reaches is not None else ""
        settings = {**sql.settings(int(self._paths.version)), "exit_on_error": "on",
                    "logging_collector": "off", "log_min_messages": "warning"}
        if until is not None:
            settings |= self._begin_replay(until)
        found = self._run([
            self._paths.program("postgres"), "--single", "-j", "-D",
            str(self._paths.config_dir),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            "template1"], _RECOVERY_SECONDS, reached + _TAKE_OVER)
        return None if until is None else _replayed(found)

    def _begin_replay(self, until: float) -> dict[str, str]:
        """Have the server apply log up to a time at its next start; return settings for it."""
        files.write_text(self._paths.data / "recovery.signal", "", mode=0o600, owner=OWNER,
                         group=OWNER)
        moment = datetime.datetime.fromtimestamp(until, datetime.UTC)
        return {
            "recovery_target_time": moment.isoformat(" "),
            "recovery_target_action": "promote", "recovery_target_timeline": "current",
            # all of the log is where the server has its own
            "restore_command": "false",
            # nobody reads meanwhile: what readers would need need not fit
            "hot_standby": "off",
            "log_min_messages": "log", "log_timezone": "UTC"}

    @staticmethod
    def _run(argv: list[str], seconds: float, stdin: str | None = None) -> str:
        """Run a program; return what it told."""
        try:
            return commands.run(argv, user=OWNER, cwd="/", timeout=seconds, disposable=True,
                                stdin=stdin).stderr
        except commands.CommandError as err:
            if _SHORT_OF_TIME in err.stderr:
                raise DamagedBackup(_UNREACHED) from err
            if _SHORT in err.stderr:
                raise DamagedBackup(f"The backup is damaged: {_SHORT}.") from err
            cause = causes.find(err.stderr)
            if not cause:
                raise
            raise GuestError(f"The database cannot be made: {cause}") from err


def _replayed(told: str) -> float | None:
    """Return the time of the last change that a server applied.

    :raises DamagedBackup: the log ended before it saw a later one
    """
    if not _STOPPED.search(told):
        # before version 13 it goes on as if nothing lacked
        raise DamagedBackup(_UNREACHED)
    found = _LAST.search(told)
    return None if found is None else datetime.datetime.fromisoformat(
        found[1]).replace(tzinfo=datetime.UTC).timestamp()
