"""Switches of what datastore versions can do; without one, a capability is on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, func, select
from sqlalchemy.orm import Session

from trove_ng.db.models import Capability, CapabilityOverride
from trove_ng.db.rows import Reader
from trove_ng.db.session import flush_or_retry


def _of_version(version_id: str) -> Any:
    return and_(CapabilityOverride.capability_id == Capability.id,
                CapabilityOverride.datastore_version_id == version_id)


def switched_off(reader: Reader, version_id: str) -> frozenset[str]:
    """Return the names of the capabilities that a version does not have."""
    rows = reader.execute(select(Capability.name).outerjoin(
        CapabilityOverride, _of_version(version_id)).where(
        func.coalesce(CapabilityOverride.enabled, Capability.enabled).is_(False)))
    return frozenset(row[0] for row in rows)


def overrides(session: Session, version_id: str) -> dict[str, bool]:
    """Return the switches of a version, by name."""
    return dict(session.execute(select(Capability.name, CapabilityOverride.enabled).join(
        CapabilityOverride, _of_version(version_id))).tuples().all())


def switches(session: Session) -> Sequence[Capability]:
    """Return the switches for all versions."""
    return session.scalars(select(Capability).order_by(Capability.name)).all()


def switch(session: Session, name: str, *, enabled: bool | None = None,
           description: str | None = None) -> Capability:
    """Switch a capability of all versions that have no switch of their own; return it, locked.

    :param enabled: None leaves it as it is
    :param description: None leaves it as it is
    """
    row = session.scalars(select(Capability).where(
        Capability.name == name).with_for_update()).one_or_none()
    if row is None:
        row = Capability(name=name, enabled=True)
        session.add(row)
    if enabled is not None:
        row.enabled = enabled
    if description is not None:
        row.description = description
    flush_or_retry(session)
    return row


def override(session: Session, version_id: str, name: str, enabled: bool | None) -> None:
    """Switch a capability of one version; None takes its own switch away."""
    capability = switch(session, name)
    session.execute(delete(CapabilityOverride).where(
        CapabilityOverride.capability_id == capability.id,
        CapabilityOverride.datastore_version_id == version_id))
    if enabled is not None:
        session.add(CapabilityOverride(datastore_version_id=version_id,
                                       capability_id=capability.id, enabled=enabled))
