"""Databases of the server, without its own.

Each has a role of its own that owns it and that users who may use the database become in it:
what one of them makes, all may use.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg.sql import SQL

from trove_ng.common.errors import Conflict, NotFound, UnprocessableEntity
from trove_ng.datastores.postgresql.rules import SYSTEM_DATABASES
from trove_ng.guestagent.datastores.experimental.postgresql.sql import (
    Server,
    Session,
    after,
    statement,
)
from trove_ng.rpc import messages as m

#: what the roles of databases are called, with the number of the database; other users
#: cannot be called so
PREFIX = "trove_db_"


def owner_of(session: Session, name: str) -> str:
    """Return the role of a database; it is made if the database was not made here.

    :raises NotFound: there is no such database
    """
    rows = session.run(SQL(
        "SELECT d.oid, r.oid IS NOT NULL FROM pg_database d LEFT JOIN pg_roles r "
        "ON r.rolname = %s || d.oid::text WHERE d.datname = %s"), (PREFIX, name))
    if not rows or name in SYSTEM_DATABASES:
        raise NotFound.of("Database", name)
    ((number, known),) = rows
    role = f"{PREFIX}{number}"
    if not known:
        with session.together():
            session.run(statement("CREATE ROLE {} NOLOGIN", role))
            session.run(statement("ALTER DATABASE {} OWNER TO {}", name, role))
            session.run(statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", name))
    return role


def drop(server: Server, session: Session, name: str) -> None:
    """Drop a database whoever is in it, and then its role.

    :raises GuestError: it cannot be dropped; it is as open as it was then
    """
    role = owner_of(session, name)
    ((opened,),) = session.run(SQL("SELECT datallowconn FROM pg_database WHERE datname = %s"),
                               (name,))
    session.run(statement("ALTER DATABASE {} IS_TEMPLATE false", name))
    try:
        if opened:
            _roll_back_prepared(server, session, name)
        session.run(statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", name))
        session.run(SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = %s"), (name,))
        session.run(statement("DROP DATABASE {}", name))
    except Exception:
        if opened:
            session.run(statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", name))
        raise
    session.run(statement("DROP ROLE {}", role))


def _roll_back_prepared(server: Server, session: Session, name: str) -> None:
    """End the transactions that wait for their second phase: with them nothing is dropped."""
    prepared = session.run(SQL("SELECT gid FROM pg_prepared_xacts WHERE database = %s"), (name,))
    if prepared:
        with server.session(name) as inside:
            for (gid,) in prepared:
                inside.run(statement("ROLLBACK PREPARED {gid}", gid=gid))


def close_own(server: Server) -> None:
    """Let nobody into the server's own databases who is not let in by name."""
    with server.session() as session:
        for name in sorted(SYSTEM_DATABASES):
            session.run(statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", name))


def count(server: Server) -> int:
    """Return how many databases there are beside the server's own."""
    with server.session() as session:
        ((found,),) = session.run(SQL("SELECT count(*) FROM pg_database WHERE datname <> ALL(%s)"),
                                  (sorted(SYSTEM_DATABASES),))
    return int(found)


def check_logged(server: Server) -> None:
    """Check that all tables are in the log: a server that stands by empties those that are not.

    :raises UnprocessableEntity: one is not
    """
    with server.session() as session:
        names = [name for (name,) in session.run(SQL(
            "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1"))]
    for name in names:
        with server.session(name) as session:
            found = session.run(SQL(
                "SELECT relnamespace::regnamespace::text || '.' || relname FROM pg_class "
                "WHERE relpersistence = 'u' AND relkind = 'r' ORDER BY 1 LIMIT 1"))
        if found:
            raise UnprocessableEntity(
                f"Table {found[0][0]} of database {name} is unlogged, and would be emptied: make "
                "it logged, or drop it.")


class Databases:
    """Creates, lists and drops databases."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def page(self, request: m.PageRequest) -> m.DatabasePage:
        """Return databases by name, after the marker."""
        end, values = after("datname", request)
        with self._server.session() as session:
            rows = session.run(SQL(
                "SELECT datname, pg_encoding_to_char(encoding), datcollate FROM pg_database "
                "WHERE datname <> ALL(%s) {}").format(end),
                [sorted(SYSTEM_DATABASES), *values])
        page = [m.DatabaseSpec(name=row[0], character_set=row[1], collate=row[2])
                for row in rows[:request.limit]]
        more = len(rows) > len(page) and page
        return m.DatabasePage(databases=page, next_marker=page[-1].name if more else None)

    def create(self, databases: Sequence[m.DatabaseSpec]) -> None:
        """Create databases, all or none.

        :raises Conflict: one exists
        """
        made: list[str] = []
        with self._server.session() as session:
            known = {row[0] for row in session.run(SQL("SELECT datname FROM pg_database"))}
            for one in databases:
                if one.name in known:
                    raise Conflict(f"Database {one.name} exists already.")
            try:
                for one in databases:
                    self._create(session, one)
                    made.append(one.name)
                    owner_of(session, one.name)
                    session.run(statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", one.name))
            except Exception:
                for name in made:
                    drop(self._server, session, name)
                raise

    @staticmethod
    def _create(session: Session, database: m.DatabaseSpec) -> None:
        # nobody comes in before it has its owner
        query = statement("CREATE DATABASE {} TEMPLATE template0 ALLOW_CONNECTIONS false",
                          database.name)
        for option, value in (("ENCODING", database.character_set),
                              ("LC_COLLATE", database.collate),
                              ("LC_CTYPE", database.collate)):
            if value:
                query += statement(" {option} {value}", option=SQL(option), value=value)
        session.run(query)

    def drop(self, name: str) -> None:
        """Drop a database, and end the connections to it.

        :raises NotFound: there is none
        """
        with self._server.session() as session:
            drop(self._server, session, name)
