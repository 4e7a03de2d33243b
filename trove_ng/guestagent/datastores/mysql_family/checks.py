"""Having the server look through all its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pymysql

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import messages as m

#: tables of the server's memory have nothing to check
_TABLES = ("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES "
           "WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE IS NOT NULL AND TABLE_SCHEMA NOT IN "
           "('information_schema', 'performance_schema') ORDER BY TABLE_SCHEMA, TABLE_NAME")
#: a table of an older version is whole
_OLD = ("table rebuild required", "table upgrade required", "upgrade required")
#: damaged tables that are told by name
_TOLD = 5
_CONNECT_SECONDS = 10


def check_tables(server: sql.Server, monotonic: Callable[[], float], seconds: float,
                 progress: Progress, alive: Callable[[], bool]) -> m.DataReport:
    """Check every table with all its rows and indexes.

    :param seconds: that all may take together
    :param alive: whether the server's process is there
    :raises GuestError: it takes longer, or the server cannot be asked
    """
    end = monotonic() + seconds
    with server.session() as session:
        tables = session.run(_TABLES)
    bad: list[str] = []
    for number, (database, table) in enumerate(tables):
        progress.report(99 * number // len(tables))
        left = end - monotonic()
        if left <= 0:
            raise _late(seconds)
        rows = _check(server, f"{sql.name(database)}.{sql.name(table)}", left)
        if rows is None:
            if monotonic() >= end or alive():
                raise _late(seconds)
            # it ends rather than work on with a page that is damaged
            bad.append(f"{database}.{table}")
            break
        if not all(map(_well, rows)):
            bad.append(f"{database}.{table}")
    counts = {"databases": len({database for database, _ in tables}), "tables": len(tables)}
    return m.DataReport(counts=counts, problems=_tell(bad))


def _check(server: sql.Server, table: str, seconds: float) -> Sequence[sql.Row] | None:
    """Return what the server says of a table, None if it said nothing."""
    connection: Any = None
    try:
        connection = server.connect(_CONNECT_SECONDS, max(1, int(seconds)))
        with connection.cursor() as cursor:
            cursor.execute(f"CHECK TABLE {table} EXTENDED")
            return list(cursor.fetchall())
    except (pymysql.MySQLError, OSError):
        return None
    finally:
        if connection is not None:
            connection.close()


def _well(row: sql.Row) -> bool:
    """Return whether a line of the answer (table, op, kind, text) tells of no damage."""
    kind, text = str(row[2]).lower(), str(row[3]).lower()
    if text.startswith(_OLD):
        return True
    return kind != "error" and (kind != "status" or text in ("ok", "table is already up to date"))


def _late(seconds: float) -> GuestError:
    return GuestError(f"The tables were not checked within {seconds:g} seconds.")


def _tell(bad: Sequence[str]) -> list[str]:
    told = [f"Table {one} is damaged." for one in bad[:_TOLD]]
    if len(bad) > _TOLD:
        told.append(f"{len(bad) - _TOLD} more tables are damaged.")
    return told
