"""Users of the server, without its own, and what they may use."""

from __future__ import annotations

import time
from collections.abc import Sequence

from psycopg.sql import SQL, Composed

from trove_ng.common.errors import BadRequest, Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.datastores.postgresql.rules import (
    ADMIN,
    ANY_HOST,
    SYSTEM_DATABASES,
    SYSTEM_PREFIXES,
    SYSTEM_USERS,
)
from trove_ng.guestagent.datastores.experimental.postgresql.databases import PREFIX, owner_of
from trove_ng.guestagent.datastores.experimental.postgresql.sql import (
    Dependent,
    Server,
    Session,
    after,
    statement,
)
from trove_ng.rpc import messages as m

#: roles that are users: they may log in, and are not the server's or the agent's own
_USERS = SQL(
    "r.rolcanlogin AND r.rolname <> ALL(%s) AND NOT starts_with(r.rolname, 'pg_') "
    "AND NOT starts_with(r.rolname, 'trove_db_') AND NOT starts_with(r.rolname, 'os_replica_')")
#: with the databases of which they are in the role
_ROWS = SQL(
    "SELECT r.rolname, coalesce(array_agg(d.datname::text ORDER BY d.datname) "
    "FILTER (WHERE d.oid IS NOT NULL), '{{}}') FROM pg_roles r "
    "LEFT JOIN pg_auth_members a ON a.member = r.oid "
    "LEFT JOIN pg_roles g ON g.oid = a.roleid "
    "LEFT JOIN pg_database d ON g.rolname = %s || d.oid::text WHERE {} {} {}")
_GROUP = SQL("GROUP BY r.rolname")


#: seconds that connections take to end, at most
_END_SECONDS = 20
_POLL_SECONDS = 0.05


class Users:
    """Creates, lists, changes and drops users."""

    def __init__(self, server: Server) -> None:
        self._server = server

    # reading

    def page(self, request: m.PageRequest) -> m.UserPage:
        """Return users by name, after the marker ``name@%``."""
        end, values = after("(r.rolname || '@%%')", request)
        with self._server.session() as session:
            # names of roles are theirs alone: the end may stand around the groups
            rows = session.run(SQL("SELECT * FROM ({}) AS r WHERE true {}").format(
                _ROWS.format(_USERS, SQL(""), _GROUP), end),
                [PREFIX, sorted(SYSTEM_USERS), *values])
        users = [_spec(row[0], row[1]) for row in rows[:request.limit]]
        more = len(rows) > len(users) and users
        return m.UserPage(users=users, next_marker=(
            f"{users[-1].name}@{ANY_HOST}" if more else None))

    @staticmethod
    def _find(session: Session, name: str, host: str | None) -> m.UserSpec:
        """Return a user.

        :raises NotFound: there is none
        """
        rows = session.run(_ROWS.format(_USERS, SQL("AND r.rolname = %s"), _GROUP),
                           [PREFIX, sorted(SYSTEM_USERS), name])
        if not rows or host not in (None, ANY_HOST):
            raise NotFound.of("User", name if host is None else f"{name}@{host}")
        return _spec(rows[0][0], rows[0][1])

    def get(self, name: str, host: str | None) -> m.UserSpec:
        """Return a user with the databases it may use.

        :raises NotFound: there is none
        """
        with self._server.session() as session:
            return self._find(session, name, host)

    # changing

    def create(self, users: Sequence[m.UserSpec]) -> None:
        """Create users with their grants, all or none.

        :raises Conflict: one exists
        """
        made: list[str] = []
        with self._server.session() as session:
            for user in users:
                self._refuse(session, user.name, user.host)
            try:
                for user in users:
                    session.run(statement(
                        "CREATE ROLE {} LOGIN PASSWORD {secret}", user.name,
                        secret=_secret(session, user.name, user.password)))
                    made.append(user.name)
                    self._grant(session, user.name, user.databases)
            except Exception:
                for name in made:
                    session.run(statement("DROP ROLE IF EXISTS {}", name))
                raise

    @staticmethod
    def _refuse(session: Session, name: str, host: str | None) -> None:
        """Refuse a name that is taken or not for users."""
        if name.lower() in SYSTEM_USERS or name.lower().startswith(SYSTEM_PREFIXES):
            raise BadRequest(f"The user name {name} is reserved.")
        if host not in (None, ANY_HOST):
            raise BadRequest("Users of PostgreSQL have no host.")
        if session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (name,)):
            raise Conflict(f"User {name} exists already.")

    def drop(self, name: str, host: str | None) -> None:
        """Drop a user, and end its connections; what it made stays in the databases.

        :raises NotFound: there is none
        """
        with self._server.session() as session:
            self._find(session, name, host)
            session.run(statement("ALTER ROLE {} NOLOGIN", name))
            _end_connections(session, name)
            try:
                session.run(statement("DROP ROLE {}", name))
            except Dependent:
                self._give_away(session, name)
                session.run(statement("DROP ROLE {}", name))

    def _give_away(self, session: Session, name: str) -> None:
        """Give what a user made to the roles of the databases that it is in."""
        for (database,) in session.run(SQL("SELECT datname FROM pg_database WHERE datallowconn")):
            self._take(session, name, database)

    def _take(self, session: Session, name: str, database: str) -> None:
        """Give what a user made in a database to its role, and take the user's rights there."""
        # whole databases of the user are not this one's
        for (own,) in session.run(SQL("SELECT datname FROM pg_database JOIN pg_roles r "
                                      "ON r.oid = datdba WHERE rolname = %s"), (name,)):
            owner_of(session, own)
        with self._server.session(database) as inside:
            heir = ADMIN if database in SYSTEM_DATABASES else owner_of(inside, database)
            inside.run(statement("REASSIGN OWNED BY {} TO {}", name, heir))
            inside.run(statement("DROP OWNED BY {}", name))

    def update(self, name: str, host: str | None, change: m.UserChange) -> None:
        """Change name or password of a user; its grants stay.

        :raises NotFound: there is none
        :raises Conflict: the new name is taken
        """
        with self._server.session() as session:
            self._find(session, name, host)
            renamed = change.name is not None and change.name != name
            if renamed:
                self._refuse(session, change.name or "", change.host)
            elif change.host not in (None, ANY_HOST):
                raise BadRequest("Users of PostgreSQL have no host.")
            if change.password is not None:
                self._set_password(session, name, change.password)
            if renamed:
                session.run(statement("ALTER ROLE {} RENAME TO {}", name, change.name or ""))

    def change_passwords(self, users: Sequence[m.UserSpec]) -> None:
        """Set passwords; nothing is changed if one of the users does not exist.

        :raises NotFound: one does not
        """
        with self._server.session() as session:
            for user in users:
                self._find(session, user.name, user.host)
            for user in users:
                self._set_password(session, user.name, user.password)

    @staticmethod
    def _set_password(session: Session, name: str, password: Secret | None) -> None:
        session.run(statement("ALTER ROLE {} PASSWORD {secret}", name,
                              secret=_secret(session, name, password)))

    # grants

    def grant(self, name: str, host: str | None, databases: Sequence[str]) -> None:
        """Let a user use databases.

        :raises NotFound: the user or a database does not exist
        """
        with self._server.session() as session:
            self._find(session, name, host)
            self._grant(session, name, databases)

    @staticmethod
    def _grant(session: Session, name: str, databases: Sequence[str]) -> None:
        roles = [owner_of(session, one) for one in databases]
        for database, role in zip(databases, roles, strict=True):
            session.run(statement("GRANT {} TO {}", role, name))
            # what it makes there is the role's, so that all who may use the database may
            session.run(statement("ALTER ROLE {} IN DATABASE {} SET role = {}",
                                  name, database, role))

    def revoke(self, name: str, host: str | None, databases: Sequence[str]) -> None:
        """Let a user use databases no more, and end its connections to them.

        :raises NotFound: the user does not exist, or may not use one of them
        """
        with self._server.session() as session:
            granted = self._find(session, name, host).databases
            for one in databases:
                if one not in granted:
                    raise NotFound(f"User {name} has no access to database {one}.")
            for one in databases:
                session.run(statement("REVOKE {} FROM {}", owner_of(session, one), name))
                session.run(statement("ALTER ROLE {} IN DATABASE {} RESET role", name, one))
                # what still runs is in the role, and may give itself rights
                _end_connections(session, name, SQL("AND datname = %s"), one)
                self._take(session, name, one)
                session.run(statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", one))
                _end_connections(session, name, SQL("AND datname = %s"), one)


def _end_connections(session: Session, name: str, where: SQL | Composed | None = None,
                     *values: str) -> None:
    """End a user's connections, and wait for that; those that come meanwhile stay.

    :raises GuestError: they do not end
    """
    found = session.run(SQL("SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE usename = %s {}").format(where or SQL("")), [name, *values])
    end = time.monotonic() + _END_SECONDS
    while session.run(SQL("SELECT 1 FROM pg_stat_activity WHERE pid = ANY(%s) AND usename = %s"),
                      ([row[0] for row in found], name)):
        if time.monotonic() > end:
            raise GuestError(f"The connections of user {name} do not end.")
        time.sleep(_POLL_SECONDS)


def _spec(name: str, databases: Sequence[str]) -> m.UserSpec:
    return m.UserSpec(name=name, host=ANY_HOST, databases=sorted(databases))


def _secret(session: Session, name: str, password: Secret | None) -> str:
    if password is None:
        raise GuestError(f"User {name} has no password.")
    return session.verifier(name, password)
