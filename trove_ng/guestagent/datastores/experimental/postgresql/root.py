"""The superuser that an owner may enable."""

from __future__ import annotations

from psycopg.sql import SQL

from trove_ng.common.secret import Secret, generate_password
from trove_ng.datastores.postgresql.rules import ROOT
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Server, statement
from trove_ng.guestagent.datastores.experimental.postgresql.wal import is_recovering
from trove_ng.guestagent.sql_manager import wait_until_disabled


class Root:
    """The role ``postgres``; the server itself belongs to the agent's role."""

    name = ROOT

    def __init__(self, server: Server) -> None:
        self._server = server

    def is_enabled(self) -> bool:
        """Return whether root can log in."""
        with self._server.session() as session:
            return bool(session.run(
                SQL("SELECT 1 FROM pg_roles WHERE rolname = %s AND rolcanlogin"), (ROOT,)))

    def enable(self, password: Secret | None) -> Secret:
        """Let root log in; return its password.

        :param password: None makes one
        """
        chosen = password or Secret(generate_password())
        with self._server.session() as session:
            if not session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (ROOT,)):
                session.run(statement("CREATE ROLE {}", ROOT))
            session.run(statement(
                "ALTER ROLE {} LOGIN SUPERUSER CREATEDB CREATEROLE PASSWORD {secret} VALID UNTIL "
                "'infinity'", ROOT, secret=session.verifier(ROOT, chosen)))
        return chosen

    def disable(self) -> None:
        """Take root's login and rights away, and end its connections.

        The role stays: databases may belong to it.  Not enabled is no error.
        """
        with self._server.session() as session:
            if is_recovering(session):
                wait_until_disabled(self)
            elif session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (ROOT,)):
                session.run(statement(
                    "ALTER ROLE {} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD NULL",
                    ROOT))
            session.run(SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE usename = %s"), (ROOT,))
