"""The words of MariaDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from trove_ng.common.secret import Secret
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.dialect import (
    OWN_CONNECTIONS,
    Dialect,
    Statement,
)


class MariaDbDialect(Dialect):
    """MariaDB 10.4 and later."""

    users = "is_role = 'N'"
    self_sized = frozenset({
        "back_log", "host_cache_size", "innodb_io_capacity_max", "innodb_log_file_buffering",
        "open_files_limit", "table_open_cache", "thread_cache_size", "thread_pool_size"})
    unlimited = "max_statement_time = 0, sql_big_selects = 1"
    renamed: Mapping[str, str] = MappingProxyType({
        "time_zone": "default_time_zone", "tx_isolation": "transaction_isolation"})

    @property
    def hold(self) -> Sequence[str]:
        """What MariaDB offers for snapshots.

        What is committed is on its way to the disk, and nothing that an engine without
        transactions writes is half done.
        """
        return ("BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL",
                "BACKUP STAGE BLOCK_COMMIT",
                # with binary logs the last commits are in memory yet
                "FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS")

    @property
    def release(self) -> str:
        """The end of the stages."""
        return "BACKUP STAGE END"

    @property
    def renew_tls(self) -> str | None:
        """Since 10.4."""
        return "FLUSH SSL"

    def account(self, user: str, host: str, password: Secret, *,
                own: bool = True) -> list[Statement]:
        """Make the account anew."""
        # whatever the owner sets for the passwords and connections of others
        return [("CREATE OR REPLACE USER %s@%s IDENTIFIED BY %s WITH MAX_USER_CONNECTIONS %s "
                 "PASSWORD EXPIRE NEVER",
                 (user, host, password, OWN_CONNECTIONS if own else 0))]

    def take_over(self) -> list[Statement]:
        """Nothing: root of the server's own socket is who it says."""
        return []

    def disconnect(self, session: sql.Session, user: str) -> None:
        """End all connections of a user."""
        session.run("KILL USER %s", (user,))

    @property
    def expiry(self) -> Sequence[str]:
        """In days."""
        return ("expire_logs_days",)

    @property
    def unhurried(self) -> str:
        """In seconds."""
        return "max_statement_time"

    def options(self, days: int | None) -> dict[str, Any]:
        """The time that binary logs are kept."""
        return {} if days is None else {"expire_logs_days": days}
