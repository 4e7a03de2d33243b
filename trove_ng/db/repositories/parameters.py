"""Parameters of datastore versions, as operators define them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict
from trove_ng.db.models import DatastoreConfigurationParameter as Row
from trove_ng.db.session import add_if_new


class Definition(Protocol):
    """What an engine, or an operator, says of a parameter."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def kind(self) -> str:
        """Its type."""

    @property
    def low(self) -> float | None:
        """Smallest value."""

    @property
    def high(self) -> float | None:
        """Largest value."""

    @property
    def restart_required(self) -> bool:
        """Whether it takes effect at the next start only."""

    @property
    def choices(self) -> Sequence[str]:
        """The texts that it may be; none: any."""

    @property
    def description(self) -> str | None:
        """What it is for."""


def all_of(session: Session, version_id: str) -> Sequence[Row]:
    """Return the parameters of a version, also those that were taken away."""
    return session.scalars(select(Row).where(
        Row.datastore_version_id == version_id).order_by(Row.name)).all()


def get(session: Session, version_id: str, name: str, *, lock: bool = False) -> Row | None:
    """Return a parameter, also one that was taken away.

    :param lock: keep others from changing it until the transaction ends
    """
    statement = select(Row).where(Row.datastore_version_id == version_id, Row.name == name)
    if lock:
        statement = statement.with_for_update()
    return session.scalars(statement).one_or_none()


def write(row: Row, wanted: Definition) -> None:
    """Make a row say what a definition says."""
    row.name, row.data_type = wanted.name, wanted.kind
    row.restart_required = wanted.restart_required
    row.min_size = None if wanted.low is None else str(wanted.low)
    row.max_size = None if wanted.high is None else str(wanted.high)
    row.choices, row.description = list(wanted.choices), wanted.description
    row.deleted, row.deleted_at = False, None


def add(session: Session, version_id: str, wanted: Definition) -> Row:
    """Add a parameter; one that was taken away comes back.

    :raises Conflict: the version has it
    """
    row = get(session, version_id, wanted.name, lock=True)
    if row is not None and not row.deleted:
        raise _exists(wanted.name)
    if row is None:
        row = Row(datastore_version_id=version_id)
    write(row, wanted)
    if not add_if_new(session, row):
        raise _exists(wanted.name)
    return row


def _exists(name: str) -> Conflict:
    return Conflict(f"Configuration parameter {name} exists already.")


def replace(session: Session, version_id: str, wanted: Sequence[Definition],
            now: datetime.datetime) -> None:
    """Make the parameters of a version exactly these."""
    known = {row.name: row for row in all_of(session, version_id)}
    for name in known.keys() - {one.name for one in wanted}:
        take_away(known[name], now)
    for one in wanted:
        row = known.get(one.name) or Row(datastore_version_id=version_id)
        write(row, one)
        session.add(row)


def take_away(row: Row, now: datetime.datetime) -> None:
    """Let groups set the parameter no more; taken away already is no error."""
    if not row.deleted:
        row.deleted, row.deleted_at = True, now
