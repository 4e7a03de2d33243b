"""Users of the server, without its own, and what they may use."""

from __future__ import annotations

from collections.abc import Sequence

from trove_ng.common.errors import BadRequest, Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.datastores.mysql.rules import SYSTEM_DATABASES, SYSTEM_USERS
from trove_ng.guestagent.datastores.mysql_family import sql
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.rpc import messages as m

#: host of users for which none is given
ANY_HOST = "%"


class Users:
    """Creates, lists, changes and drops users."""

    def __init__(self, server: sql.Server, dialect: Dialect) -> None:
        self._server = server
        self._dialect = dialect

    # reading

    def page(self, request: m.PageRequest) -> m.UserPage:
        """Return users by name and host, after the marker ``name@host``."""
        with self._server.session() as session:
            keys = self._keys(session, request)
            page = keys[:request.limit]
            users = [m.UserSpec(name=name, host=host,
                                databases=self._granted(session, name, host))
                     for name, host in page]
        more = len(keys) > len(page) and page
        return m.UserPage(
            users=users, next_marker=f"{page[-1][0]}@{page[-1][1]}" if more else None)

    def _keys(self, session: sql.Session, request: m.PageRequest) -> list[tuple[str, str]]:
        """Return name and host of a page's users and of one more.

        Not of all: an owner with root may have made any number.
        """
        where, values = sql.after("CONCAT(User, '@', Host)", request)
        rows = session.run(
            f"SELECT User, Host FROM mysql.user WHERE {self._dialect.users} "  # noqa: S608
            "AND User <> '' "
            "AND LEFT(LOWER(User), %s) <> %s "
            f"AND BINARY LOWER(User) NOT IN %s {where}",
            [len(REPLICA_USERS), REPLICA_USERS, sorted(SYSTEM_USERS), *values])
        return [(str(row[0]), str(row[1])) for row in rows]

    def _exists(self, session: sql.Session, name: str, host: str) -> bool:
        own = name.lower() in SYSTEM_USERS or name.lower().startswith(REPLICA_USERS)
        return bool(name) and not own and bool(session.run(
            f"SELECT 1 FROM mysql.user WHERE {self._dialect.users} "  # noqa: S608
            "AND BINARY User = BINARY %s AND BINARY Host = BINARY %s", (name, host)))

    def get(self, name: str, host: str | None) -> m.UserSpec:
        """Return a user with the databases it may use.

        :raises NotFound: there is none
        """
        with self._server.session() as session:
            found = self._find(session, name, host)
            return m.UserSpec(name=name, host=found, databases=self._granted(
                session, name, found))

    def _find(self, session: sql.Session, name: str, host: str | None) -> str:
        """Return the host of an existing user."""
        wanted = _host(host)
        if not self._exists(session, name, wanted):
            raise NotFound.of("User", name if host is None else f"{name}@{host}")
        return wanted

    @staticmethod
    def _granted(session: sql.Session, name: str, host: str) -> list[str]:
        """Return the databases of a user, without the server's own."""
        rows = session.run("SELECT Db FROM mysql.db WHERE User = %s AND Host = %s",
                           (name, host))
        names = {sql.unescape(str(row[0])) for row in rows}
        return sorted(one for one in names if one.lower() not in SYSTEM_DATABASES)

    # changing

    def create(self, users: Sequence[m.UserSpec]) -> None:
        """Create users with their grants, all or none.

        :raises Conflict: one exists
        """
        made: list[tuple[str, str]] = []
        with self._server.session() as session:
            for user in users:
                self._refuse_system(user.name)
                if self._exists(session, user.name, _host(user.host)):
                    raise Conflict(f"User {user.name}@{_host(user.host)} exists already.")
            try:
                for user in users:
                    key = (user.name, _host(user.host))
                    session.run("CREATE USER %s@%s IDENTIFIED BY %s",
                                (*key, password_of(user)))
                    made.append(key)
                    self._grant(session, *key, user.databases)
            except Exception:
                for key in made:
                    session.run("DROP USER IF EXISTS %s@%s", key)
                raise

    def drop(self, name: str, host: str | None) -> None:
        """Drop a user, and end its connections.

        :raises NotFound: there is none
        """
        with self._server.session() as session:
            found = self._find(session, name, host)
            session.run("DROP USER %s@%s", (name, found))
            self._end_connections(session, name)

    def _end_connections(self, session: sql.Session, name: str) -> None:
        rows = session.run("SELECT User FROM mysql.user WHERE User = %s", (name,))
        if not rows:
            # the last account of that name: nobody may go on under it
            self._dialect.disconnect(session, name)

    def update(self, name: str, host: str | None, change: m.UserChange) -> None:
        """Change name, host or password of a user; its grants stay.

        :raises NotFound: there is none
        :raises Conflict: the new name and host are taken
        """
        with self._server.session() as session:
            found = self._find(session, name, host)
            new = (change.name or name, _host(change.host) if change.host else found)
            if new != (name, found):
                self._refuse_system(new[0])
                if self._exists(session, *new):
                    raise Conflict(f"User {new[0]}@{new[1]} exists already.")
            if change.password is not None:
                session.run("ALTER USER %s@%s IDENTIFIED BY %s",
                            (name, found, change.password))
            if new != (name, found):
                session.run("RENAME USER %s@%s TO %s@%s", (name, found, *new))

    def change_passwords(self, users: Sequence[m.UserSpec]) -> None:
        """Set passwords; nothing is changed if one of the users does not exist.

        :raises NotFound: one does not
        """
        with self._server.session() as session:
            keys = [(user.name, self._find(session, user.name, user.host)) for user in users]
            for key, user in zip(keys, users, strict=True):
                session.run("ALTER USER %s@%s IDENTIFIED BY %s", (*key, password_of(user)))

    # grants

    def grant(self, name: str, host: str | None, databases: Sequence[str]) -> None:
        """Let a user use databases.

        :raises NotFound: the user or a database does not exist
        """
        with self._server.session() as session:
            self._grant(session, name, self._find(session, name, host), databases)

    def _grant(self, session: sql.Session, name: str, host: str,
               databases: Sequence[str]) -> None:
        if not databases:
            return
        known = {str(row[0]) for row in session.run("SHOW DATABASES")}
        for one in databases:
            if one not in known or one.lower() in SYSTEM_DATABASES:
                raise NotFound.of("Database", one)
        for one in databases:
            # a percent sign of the name is no placeholder
            target = sql.pattern(one).replace("%", "%%")
            session.run(f"GRANT ALL PRIVILEGES ON {target}.* TO %s@%s", (name, host))

    def revoke(self, name: str, host: str | None, databases: Sequence[str]) -> None:
        """Let a user use databases no more.

        :raises NotFound: the user does not exist, or may not use one of them
        """
        with self._server.session() as session:
            found = self._find(session, name, host)
            granted = self._granted(session, name, found)
            for one in databases:
                if one not in granted:
                    raise NotFound(f"User {name} has no access to database {one}.")
            for one in databases:
                target = sql.pattern(one).replace("%", "%%")
                session.run(f"REVOKE ALL PRIVILEGES ON {target}.* FROM %s@%s", (name, found))

    @staticmethod
    def _refuse_system(name: str) -> None:
        if name.lower() in SYSTEM_USERS:
            raise BadRequest(f"The user name {name} is reserved.")


def _host(host: str | None) -> str:
    """Return a host as the server keeps it: in lower case, and any if none is given."""
    return (host or ANY_HOST).lower()


def password_of(user: m.UserSpec) -> Secret:
    """Return a user's password.

    :raises GuestError: there is none
    """
    if user.password is None:
        raise GuestError(f"User {user.name} has no password.")
    return user.password
