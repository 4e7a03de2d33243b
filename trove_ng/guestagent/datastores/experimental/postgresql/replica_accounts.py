"""Accounts of replicas and their slots, as a source or a replica of a set has them."""

from __future__ import annotations

import time
from collections.abc import Set

from psycopg.sql import SQL

from trove_ng.common.errors import BadRequest, GuestError
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.datastores.postgresql.rules import REPLICAS
from trove_ng.guestagent.datastores.experimental.postgresql.sql import Session, statement
from trove_ng.guestagent.datastores.experimental.postgresql.wal import SLOT
from trove_ng.rpc import messages as m

#: seconds that the sender of a replica takes to end, at most
_END_SECONDS = 20
_POLL_SECONDS = 0.1


def add(session: Session, wanted: m.UserSpec, *, slots: bool) -> None:
    """Have the account of a replica.

    :param slots: it has a slot, too
    :raises BadRequest: it has no password
    """
    name = wanted.name
    if wanted.password is None:
        raise BadRequest("The account of a replica has a password.")
    with session.together():
        for role in (REPLICAS, name):
            if not session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (role,)):
                session.run(statement("CREATE ROLE {}", role))
        session.run(statement("GRANT {} TO {}", REPLICAS, name))
        session.run(statement("ALTER ROLE {} LOGIN REPLICATION PASSWORD {secret}", name,
                              secret=session.verifier(name, wanted.password)))
    if slots:
        _add_slot(session, name)


def drop_others(session: Session, names: Set[str]) -> None:
    """Drop all accounts of replicas but these, and their slots, whoever uses them.

    :raises GuestError: their connections do not end
    """
    for (name,) in session.run(SQL(
            "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %s) UNION "
            "SELECT slot_name::text FROM pg_replication_slots "
            "WHERE starts_with(slot_name, %s)"), (REPLICA_USERS, REPLICA_USERS)):
        if name not in names:
            _drop(session, name)


def set_slots(session: Session, names: Set[str], wanted: m.UserSpec | None, *,
              slots: bool) -> None:
    """Have exactly these slots: accounts come with the data that this server receives.

    :param slots: replicas have slots
    :raises GuestError: the account did not come, or connections do not end
    """
    for (name,) in session.run(SQL(
            "SELECT slot_name::text FROM pg_replication_slots "
            "WHERE starts_with(slot_name, %s)"), (REPLICA_USERS,)):
        if name not in names:
            _drop_slot(session, name)
    if not names:
        # the backups of a replica do not continue each other
        _drop_slot(session, SLOT)
    if wanted is None:
        return
    if not session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (wanted.name,)):
        raise GuestError("The account of a replica did not come with the data.")
    if slots:
        _add_slot(session, wanted.name)


def _drop(session: Session, name: str) -> None:
    """Drop an account and its slot, whoever uses them."""
    known = session.run(SQL("SELECT 1 FROM pg_roles WHERE rolname = %s"), (name,))
    if known:
        session.run(statement("ALTER ROLE {} NOLOGIN", name))
    _end(session, SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                      "WHERE usename = %s"), name)
    _drop_slot(session, name)
    if known:
        session.run(statement("DROP ROLE {}", name))


def _end(session: Session, ending: SQL, name: str) -> None:
    """End connections until there is none.

    :param ending: statement that does so, given the name, and returns those that there were
    """
    deadline = time.monotonic() + _END_SECONDS
    while session.run(ending, (name,)):
        if time.monotonic() > deadline:
            raise GuestError("The connection of a replica does not end.")
        time.sleep(_POLL_SECONDS)


def _add_slot(session: Session, name: str) -> None:
    if session.run(SQL("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"), (name,)):
        return
    # what was written since the backup that the replica begins with is kept for backups
    if not session.run(SQL(
            "SELECT pg_copy_physical_replication_slot(slot_name, %s) "
            "FROM pg_replication_slots WHERE slot_name = %s AND restart_lsn IS NOT NULL"),
            (name, SLOT)):
        session.run(SQL("SELECT pg_create_physical_replication_slot(%s, true)"), (name,))


def _drop_slot(session: Session, name: str) -> None:
    """Drop a slot if it is there, whoever uses it."""
    _end(session, SQL("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                      "WHERE slot_name = %s AND active"), name)
    session.run(SQL("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                    "WHERE slot_name = %s"), (name,))
