"""Accounts that are kept out because they may write in spite of ``read_only``.

They stay out until the server is a source again: clients that know no other address would
write to a replica.  Which accounts are kept out stands beside each of them, so that it comes
with every copy of the data; no replica hears of it.
"""

from __future__ import annotations

import re

from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.guestagent.datastores.mysql_family import sql

#: key beside an account that is kept out; the server keeps what it does not know
_MARK = "$.os_kept_out"
_MIGHT = ("SUPER", "READ_ONLY ADMIN", "READ ONLY ADMIN", "ALL PRIVILEGES")
_GRANT = re.compile(r"^GRANT (.+) ON \*\.\* TO ")
#: the role that everybody has
_ALL = "PUBLIC"

Account = tuple[str, str]


def lock(session: sql.Session) -> None:
    """Keep those out who may write in spite of ``read_only``, and end their connections."""
    session.run(sql.LOCALLY)
    for user, host in _mighty(session):
        # what the owner has locked stays so
        session.run(
            "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, %s, 1) WHERE User = %s AND "
            "Host = %s AND COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) <> 1",
            (_MARK, user, host))
        session.run("ALTER USER IF EXISTS %s@%s ACCOUNT LOCK", (user, host))
        MariaDbDialect().disconnect(session, user)


def unlock(session: sql.Session) -> None:
    """Let those in again whom :func:`lock` kept out, here or where the data come from."""
    session.run(sql.LOCALLY)
    for user, host in session.run("SELECT User, Host FROM mysql.global_priv "
                                  "WHERE JSON_VALUE(Priv, %s) = 1", (_MARK,)):
        session.run("ALTER USER IF EXISTS %s@%s ACCOUNT UNLOCK", (user, host))
        session.run("UPDATE mysql.global_priv SET Priv = JSON_REMOVE(Priv, %s) "
                    "WHERE User = %s AND Host = %s", (_MARK, user, host))


def _mighty(session: sql.Session) -> list[Account]:
    """Return who may write in spite of ``read_only``, by their own right or a role's."""
    found = {(str(user), str(host)) for user, host in session.run(
        "SELECT DISTINCT User, Host FROM mysql.user JOIN information_schema.user_privileges "
        "ON GRANTEE = CONCAT(QUOTE(User), '@', QUOTE(Host)) WHERE PRIVILEGE_TYPE IN %s",
        (_MIGHT,))}
    for (role,) in session.run("SELECT User FROM mysql.user WHERE is_role = 'Y'"):
        if _is_mighty(session, str(role)):
            found |= _holders(session, str(role))
    return sorted(one for one in found if one[1] not in ("", "localhost"))


def _is_mighty(session: sql.Session, role: str) -> bool:
    """Return whether a role, or one that it has itself, has such a right."""
    name = role if role == _ALL else sql.name(role)
    for (grant,) in session.run(f"SHOW GRANTS FOR {name}"):
        rights = _GRANT.match(str(grant))
        if rights is not None and {*rights[1].split(", ")} & {*_MIGHT}:
            return True
    return False


def _holders(session: sql.Session, role: str) -> set[Account]:
    if role == _ALL:
        return {(str(user), str(host)) for user, host in session.run(
            "SELECT User, Host FROM mysql.user WHERE is_role = 'N'")}
    return {(str(user), str(host)) for user, host in session.run(
        "SELECT User, Host FROM mysql.roles_mapping WHERE Role = %s", (role,))}
