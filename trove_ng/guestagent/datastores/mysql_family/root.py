"""The superuser that an owner may enable."""

from __future__ import annotations

from collections.abc import Callable

from trove_ng.common.secret import Secret, generate_password
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.guestagent.sql_manager import wait_until_disabled

USER = "root"
HOST = "%"


class Root:
    """root from everywhere; root of the server's own socket is left alone.

    :param follows: returns whether the server is a replica
    """

    name = USER

    def __init__(self, server: sql.Server, dialect: Dialect, follows: Callable[[], bool]) -> None:
        self._server = server
        self._dialect = dialect
        self._follows = follows

    def is_enabled(self) -> bool:
        """Return whether root can log in from elsewhere."""
        with self._server.session() as session:
            return bool(self._hosts(session))

    @staticmethod
    def _hosts(session: sql.Session) -> list[str]:
        """Return from where root can log in, besides the server itself."""
        return [str(row[0]) for row in session.run(
            "SELECT Host FROM mysql.user WHERE User = %s AND Host NOT IN "
            "('localhost', '127.0.0.1', '::1')", (USER,))]

    def enable(self, password: Secret | None) -> Secret:
        """Let root log in from everywhere; return its password.

        :param password: None makes one
        """
        chosen = password or Secret(generate_password())
        with self._server.session() as session:
            for statement in self._dialect.account(USER, HOST, chosen, own=False):
                session.run(*statement)
            session.run("GRANT ALL PRIVILEGES ON *.* TO %s@%s WITH GRANT OPTION", (USER, HOST))
        return chosen

    def disable(self) -> None:
        """Take root's login away, and end its connections; not enabled is no error.

        While enabled, root may have made itself accounts for further hosts: they go too.  A
        replica drops none: it would have a change that its source has not.
        """
        if self._follows():
            wait_until_disabled(self)
        with self._server.session() as session:
            if not self._follows():
                for host in self._hosts(session):
                    session.run("DROP USER IF EXISTS %s@%s", (USER, host))
            # those of the server's own socket are of its own root
            for (number,) in session.run(
                    "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s AND "
                    "HOST <> 'localhost'", (USER,)):
                session.end(int(number))
