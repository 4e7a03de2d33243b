"""The words of MySQL 5.7, 8.0 and 8.4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from trove_ng.common.secret import Secret
from trove_ng.datastores.mysql.versions import series
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.dialect import (
    OWN_CONNECTIONS,
    Dialect,
    Statement,
    Words,
)
from trove_ng.guestagent.os.codecs import NO_VALUE

#: the one that the server of 8.4 has switched off
NATIVE = "mysql_native_password"
_SHA2 = "caching_sha2_password"
_SECONDS_A_DAY = 24 * 60 * 60


class MySqlDialect(Dialect):
    """MySQL.

    :param version: returns the series of the installed server, for example ``8.0``
    """

    # CREATE ROLE makes what nobody can log in with
    users = "NOT (account_locked = 'Y' AND password_expired = 'Y' AND authentication_string = '')"
    self_sized = frozenset({
        "back_log", "host_cache_size", "innodb_io_capacity_max", "open_files_limit",
        "table_definition_cache", "table_open_cache", "temptable_max_ram",
        "thread_cache_size", "thread_pool_size"})
    unlimited = "max_execution_time = 0, sql_big_selects = 1"
    renamed: Mapping[str, str] = MappingProxyType({"time_zone": "default_time_zone"})

    def __init__(self, version: Callable[[], str]) -> None:
        self._version = version

    @property
    def old(self) -> bool:
        """Whether the server is of 5.7."""
        return self._version() == "5.7"

    @property
    def events(self) -> bool:
        """Since 8.0."""
        return not self.old

    @property
    def own_keys(self) -> bool:
        """Since 8.0: accounts log in with their password itself, and need TLS for that."""
        return not self.old

    @property
    def reads_names(self) -> bool:
        """5.7 looks at nothing but the common name, and at names of hosts."""
        return not self.old

    @property
    def words(self) -> Words:
        """The new words are known since 8.0.26; 8.4 does not know all of the old ones."""
        if self.old:
            return Words()
        return Words("replica", "source", "REPLICATION SOURCE", "RESET MASTER" if series(
            self._version()) == "8.0" else "RESET BINARY LOGS AND GTIDS")

    @property
    def first_start(self) -> Mapping[str, Any]:
        """Whom another server followed is in a table, which comes with its data."""
        return {f"skip_{self.words.replica}_start": NO_VALUE}

    @property
    def plugin(self) -> str:
        """The way of authentication of the service's own accounts."""
        return NATIVE if self.old else _SHA2

    @property
    def hold(self) -> Sequence[str]:
        """No file is made or removed, no table is written, and no transaction commits.

        With binary logs the last commits may be in these only, and in memory.
        """
        lock = ("FLUSH TABLES WITH READ LOCK", "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS")
        return lock if self.old else ("LOCK INSTANCE FOR BACKUP", *lock)

    @property
    def release(self) -> str:
        """The tables; the lock of the instance ends with the connection."""
        return "UNLOCK TABLES"

    @property
    def tls_versions(self) -> str:
        """5.7 knows no 1.3, and does not start with it."""
        return "TLSv1.2" if self.old else super().tls_versions

    @property
    def renew_tls(self) -> str | None:
        """Since 8.0."""
        return None if self.old else "ALTER INSTANCE RELOAD TLS"

    def account(self, user: str, host: str, password: Secret, *,
                own: bool = True) -> list[Statement]:
        """Make the account if there is none, and give it a password that lasts.

        One that has it already may be given it again, whatever the owner says of others.
        """
        how = f"USER %s@%s IDENTIFIED WITH {self.plugin} BY %s"
        history = "" if self.old else " PASSWORD HISTORY 0 PASSWORD REUSE INTERVAL 0 DAY"
        last = (" REQUIRE NONE WITH MAX_USER_CONNECTIONS %s PASSWORD EXPIRE NEVER"
                f"{history} ACCOUNT UNLOCK")
        values = (user, host, password, OWN_CONNECTIONS if own else 0)
        return [(how.replace("USER", "CREATE USER IF NOT EXISTS", 1) + last, values),
                (f"ALTER {how}{last}", values)]

    def take_over(self) -> list[Statement]:
        """Let nobody in as the root that ``--initialize-insecure`` makes without a password."""
        return [("ALTER USER IF EXISTS root@localhost ACCOUNT LOCK", ())]

    def disconnect(self, session: sql.Session, user: str) -> None:
        """End all connections of a user."""
        for (number,) in session.run(
                "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s", (user,)):
            session.end(int(number))

    @property
    def expiry(self) -> Sequence[str]:
        """In days, and in seconds since 8.0."""
        return ("expire_logs_days",) if self.old else ("binlog_expire_logs_seconds",)

    @property
    def whole_log(self) -> Mapping[str, Any]:
        """A server that cannot write its log any more does not go on without."""
        return {"binlog_error_action": "ABORT_SERVER"}

    @property
    def expires(self) -> Mapping[str, Any]:
        """Since 8.0.29."""
        return {} if self.old else {"loose_binlog_expire_logs_auto_purge": "ON"}

    @property
    def unhurried(self) -> str:
        """In milliseconds."""
        return "max_execution_time"

    def options(self, days: int | None) -> dict[str, Any]:
        """Return what keeps the server to these files, and about binary logs.

        ``SET PERSIST`` of the owner's root would stand over the owner's group and over what
        the agent sets: the server does not read it at a start.
        """
        found: dict[str, Any] = {} if self.old else {
            "persisted_globals_load": "OFF", "loose_mysqlx": "OFF"}
        if days is None:
            # written by default since 8.0
            return found if self.old else {**found, "disable_log_bin": NO_VALUE}
        return {**found, "server_id": 1, **(
            {"expire_logs_days": days} if self.old
            else {"binlog_expire_logs_seconds": days * _SECONDS_A_DAY})}
