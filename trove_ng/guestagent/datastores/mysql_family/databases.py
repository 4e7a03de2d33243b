"""Databases of the server, without its own."""

from __future__ import annotations

from collections.abc import Sequence

from trove_ng.common.errors import Conflict, NotFound
from trove_ng.datastores.mysql.rules import SYSTEM_DATABASES
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.rpc import messages as m


class Databases:
    """Creates, lists and drops databases."""

    def __init__(self, server: sql.Server) -> None:
        self._server = server

    def page(self, request: m.PageRequest) -> m.DatabasePage:
        """Return databases by name, after the marker."""
        with self._server.session() as session:
            where, values = sql.after("SCHEMA_NAME", request)
            found = session.run(
                "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, "  # noqa: S608
                "DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
                f"WHERE BINARY LOWER(SCHEMA_NAME) NOT IN %s {where}",
                [sorted(SYSTEM_DATABASES), *values])
        databases = [m.DatabaseSpec(name=row[0], character_set=row[1], collate=row[2])
                     for row in found]
        page = databases[:request.limit]
        more = len(databases) > len(page) and page
        return m.DatabasePage(databases=page, next_marker=page[-1].name if more else None)

    def create(self, databases: Sequence[m.DatabaseSpec]) -> None:
        """Create databases, all or none.

        :raises Conflict: one exists
        """
        made: list[str] = []
        with self._server.session() as session:
            for one in databases:
                self._refuse_system(one.name)
            known = {str(row[0]) for row in session.run("SHOW DATABASES")}
            for one in databases:
                if one.name in known:
                    raise Conflict(f"Database {one.name} exists already.")
            try:
                for one in databases:
                    statement = f"CREATE DATABASE {sql.name(one.name)}"
                    values = []
                    if one.character_set or one.collate:
                        # with values, a percent sign of the name is no placeholder
                        statement = statement.replace("%", "%%")
                    if one.character_set:
                        statement += " CHARACTER SET %s"
                        values.append(one.character_set)
                    if one.collate:
                        statement += " COLLATE %s"
                        values.append(one.collate)
                    session.run(statement, values)
                    made.append(one.name)
            except Exception:
                for name in made:
                    session.run(f"DROP DATABASE IF EXISTS {sql.name(name)}")
                raise

    def drop(self, name: str) -> None:
        """Drop a database.

        :raises NotFound: there is none
        """
        self._refuse_system(name)
        with self._server.session() as session:
            if name not in {str(row[0]) for row in session.run("SHOW DATABASES")}:
                raise NotFound.of("Database", name)
            session.run(f"DROP DATABASE {sql.name(name)}")

    @staticmethod
    def _refuse_system(name: str) -> None:
        if name.lower() in SYSTEM_DATABASES:
            raise NotFound.of("Database", name)
