"""Having the server look through all its tables: damage is told apart from trouble."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence
from typing import Any

import pymysql

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.causes import DAMAGED
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import messages as m

#: tables of the server's memory have nothing to check
_TABLES = ("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES "
           "WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE IS NOT NULL AND TABLE_SCHEMA NOT IN "
           "('information_schema', 'performance_schema') ORDER BY TABLE_SCHEMA, TABLE_NAME")
#: a table of an older version is whole
_OLD = ("table rebuild required", "table upgrade required", "upgrade required")
_GOOD = ("ok", "table is already up to date")
#: what the server says of data that are not whole
_DAMAGE = re.compile("corrupt|crashed")
#: its owner took the data of such a table away, and the server says "corrupt" too
_TAKEN_AWAY = "tablespace has been discarded"
#: tables that are told by name
_TOLD = 5
_CONNECT_SECONDS = 10


class _State(enum.Enum):
    WELL = enum.auto()
    DAMAGED = enum.auto()
    UNKNOWN = enum.auto()


def check_tables(server: sql.Server, monotonic: Callable[[], float], seconds: float,
                 progress: Progress, cause: Callable[[], str]) -> m.DataReport:
    """Check every table with all its rows and indexes.

    :param seconds: that all may take together
    :param cause: why the server's process ended, of guestagent.causes; nothing if it is there
    :raises GuestError: it takes longer, the server cannot be asked, or cannot check a table
        for another reason than damage
    """
    end = monotonic() + seconds
    with server.session() as session:
        tables = session.run(_TABLES)
    found: dict[_State, list[str]] = {one: [] for one in _State}
    for number, (database, table) in enumerate(tables):
        progress.report(99 * number // len(tables))
        left = end - monotonic()
        if left <= 0:
            raise _late(seconds)
        rows = _check(server, f"{sql.name(database)}.{sql.name(table)}", left)
        if rows is not None:
            found[_judge(rows)].append(f"{database}.{table}")
            continue
        if monotonic() >= end:
            raise _late(seconds)
        if cause() != DAMAGED:
            raise GuestError(f"The server did not answer while it checked {database}.{table}.")
        # it ends rather than work on with a page that is damaged
        found[_State.DAMAGED].append(f"{database}.{table}")
        break
    problems = _tell(found[_State.DAMAGED], "damaged")
    if found[_State.UNKNOWN] and not problems:
        raise GuestError(" ".join(_tell(found[_State.UNKNOWN], "not in a state to be checked")))
    counts = {"databases": len({database for database, _ in tables}), "tables": len(tables)}
    return m.DataReport(counts=counts, problems=problems)


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


def _judge(rows: Sequence[sql.Row]) -> _State:
    """Return how a table is by the lines (table, op, kind, text) of the answer."""
    errors = [text for kind, text in ((str(row[2]).lower(), str(row[3]).lower()) for row in rows)
              if not text.startswith(_OLD) and (
                  kind == "error" or kind == "status" and text not in _GOOD)]
    if not errors:
        return _State.WELL
    if any(map(_DAMAGE.search, errors)) and not any(
            text.startswith(_TAKEN_AWAY) for text in errors):
        return _State.DAMAGED
    return _State.UNKNOWN


def _late(seconds: float) -> GuestError:
    return GuestError(f"The tables were not checked within {seconds:g} seconds.")


def _tell(tables: Sequence[str], how: str) -> list[str]:
    told = [f"Table {one} is {how}." for one in tables[:_TOLD]]
    if len(tables) > _TOLD:
        told.append(f"{len(tables) - _TOLD} more tables are {how}.")
    return told
