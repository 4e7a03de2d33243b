"""Limits of projects, and what they use; reserved under a row lock."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, case, exists, func, select, update
from sqlalchemy.orm import Session

from trove_ng.common.errors import QuotaExceeded
from trove_ng.common.states import DATA_VOLUME, ROOT_VOLUME
from trove_ng.db.models import (
    Backup,
    Instance,
    InstanceVolume,
    Operation,
    Quota,
    QuotaUsage,
    Reservation,
)
from trove_ng.db.rows import AnySelect
from trove_ng.db.session import flush_or_retry

#: resources with a quota: instances, GB of volumes, backups, MiB of memory
RESOURCES = ("instances", "volumes", "backups", "ram")
UNLIMITED = -1


def limits(session: Session, tenant_id: str, defaults: Mapping[str, int]) -> dict[str, int]:
    """Return the limit of every resource for a project."""
    own = dict(session.execute(select(Quota.resource, Quota.hard_limit).where(
        Quota.tenant_id == tenant_id)).tuples().all())
    return {name: own.get(name, default) for name, default in defaults.items()}


def set_limits(session: Session, tenant_id: str, wanted: Mapping[str, int]) -> None:
    """Give a project limits of its own."""
    known = {row.resource: row for row in session.scalars(select(Quota).where(
        Quota.tenant_id == tenant_id, Quota.resource.in_(wanted)))}
    for resource, limit in sorted(wanted.items()):
        if resource in known:
            known[resource].hard_limit = limit
        else:
            session.add(Quota(tenant_id=tenant_id, resource=resource, hard_limit=limit))
    flush_or_retry(session)


def usage(session: Session, tenant_id: str) -> dict[str, tuple[int, int]]:
    """Return resource → (in use, of which reserved by running operations)."""
    rows = session.execute(select(
        QuotaUsage.resource, QuotaUsage.in_use, QuotaUsage.reserved).where(
            QuotaUsage.tenant_id == tenant_id))
    return {row.resource: (row.in_use, row.reserved) for row in rows}


def _locked(session: Session, tenant_id: str, resources: list[str], *,
            add: bool = True) -> dict[str, QuotaUsage]:
    statement = select(QuotaUsage).where(
        QuotaUsage.tenant_id == tenant_id, QuotaUsage.resource.in_(resources),
    ).order_by(QuotaUsage.resource).with_for_update().execution_options(
        populate_existing=True)
    found = {row.resource: row for row in session.scalars(statement)}
    missing = [name for name in resources if name not in found]
    if not (missing and add):
        return found
    session.add_all(QuotaUsage(tenant_id=tenant_id, resource=name) for name in missing)
    flush_or_retry(session)
    return {row.resource: row for row in session.scalars(statement)}


def reserve(session: Session, tenant_id: str, operation_id: str, deltas: Mapping[str, int],
            defaults: Mapping[str, int]) -> None:
    """Take what an operation needs, in the transaction that accepts it.

    :param deltas: resource → amount, positive; zero amounts are left out
    :param defaults: resource → configured limit
    :raises QuotaExceeded: names the resource, what was asked, is used and allowed
    """
    wanted = {name: delta for name, delta in sorted(deltas.items()) if delta}
    take(session, tenant_id, wanted, defaults, reserved=True)
    session.add_all(Reservation(operation_id=operation_id, tenant_id=tenant_id, resource=name,
                                delta=delta) for name, delta in wanted.items())


def take(session: Session, tenant_id: str, wanted: Mapping[str, int],
         defaults: Mapping[str, int], *, reserved: bool = False) -> None:
    """Take what exists from this transaction on.

    :param wanted: resource → amount
    :param reserved: an operation may still give it back
    :raises QuotaExceeded: as :func:`reserve`
    """
    if not wanted:
        return
    allowed = limits(session, tenant_id, defaults)
    rows = _locked(session, tenant_id, list(wanted))
    for name, delta in wanted.items():
        limit = allowed.get(name, UNLIMITED)
        if delta > 0 and limit != UNLIMITED and rows[name].in_use + delta > limit:
            raise QuotaExceeded(
                f"Quota exceeded for {name}: requested {delta}, in use "
                f"{rows[name].in_use}, limit {limit}.")
    # one statement for all of them; the rows are locked
    amount = case(dict(wanted), value=QuotaUsage.resource)
    values = {"in_use": QuotaUsage.in_use + amount}
    if reserved:
        values["reserved"] = QuotaUsage.reserved + amount
    session.execute(update(QuotaUsage).where(
        QuotaUsage.tenant_id == tenant_id, QuotaUsage.resource.in_(wanted),
    ).values(values).execution_options(synchronize_session=False))


def _settle(session: Session, operation_id: str, status: str, keep: bool) -> None:
    held = session.scalars(select(Reservation).where(
        Reservation.operation_id == operation_id, Reservation.status == "RESERVED",
    ).order_by(Reservation.resource).with_for_update()).all()
    for one in held:
        values = {"reserved": QuotaUsage.reserved - one.delta}
        if not keep:
            values["in_use"] = QuotaUsage.in_use - one.delta
        session.execute(update(QuotaUsage).where(
            QuotaUsage.tenant_id == one.tenant_id, QuotaUsage.resource == one.resource,
        ).values(values).execution_options(synchronize_session=False))
        one.status = status


def keep(session: Session, operation_id: str, resource: str, amount: int) -> None:
    """Keep a part of what a running operation reserved, however it ends."""
    one = session.scalars(select(Reservation).where(
        Reservation.operation_id == operation_id, Reservation.resource == resource,
        Reservation.status == "RESERVED").with_for_update()).one()
    one.delta -= amount
    session.execute(update(QuotaUsage).where(
        QuotaUsage.tenant_id == one.tenant_id, QuotaUsage.resource == resource,
    ).values(reserved=QuotaUsage.reserved - amount).execution_options(
        synchronize_session=False))


def commit(session: Session, operation_id: str) -> None:
    """Keep what an operation reserved: the resource exists now."""
    _settle(session, operation_id, "COMMITTED", keep=True)


def rollback(session: Session, operation_id: str) -> None:
    """Give back what an operation reserved and does not use."""
    _settle(session, operation_id, "RELEASED", keep=False)


def release(session: Session, tenant_id: str, amounts: Mapping[str, int]) -> None:
    """Give back what a resource that is gone used; never below zero."""
    wanted = {name: amount for name, amount in sorted(amounts.items()) if amount}
    if not wanted:
        return
    for name, row in _locked(session, tenant_id, list(wanted), add=False).items():
        row.in_use = max(0, row.in_use - wanted[name])


def counted(session: Session, tenant_id: str) -> dict[str, int]:
    """Return what the project's rows add up to, the truth behind :func:`usage`."""
    instances, volumes, ram = session.execute(select(
        func.count(), func.coalesce(func.sum(Instance.volume_size), 0),
        func.coalesce(func.sum(Instance.flavor_ram), 0)).where(
            Instance.tenant_id == tenant_id, Instance.deleted.is_(False))).one()
    backups = session.scalar(select(func.count()).where(
        Backup.tenant_id == tenant_id, Backup.deleted.is_(False)))
    more = session.scalar(_other_volumes().where(Instance.tenant_id == tenant_id))
    return {"instances": int(instances), "volumes": int(volumes or 0) + int(more or 0),
            "ram": int(ram or 0), "backups": int(backups or 0)}


def _other_volumes() -> AnySelect:
    """Return a query of the GB of all volumes but data volumes and root disks."""
    return select(func.sum(InstanceVolume.size)).join(
        Instance, Instance.id == InstanceVolume.instance_id).where(
            Instance.deleted.is_(False),
            InstanceVolume.volume_kind.not_in((DATA_VOLUME, ROOT_VOLUME)))


def recount(session: Session, tenant_id: str) -> dict[str, tuple[int, int]]:
    """Make a project's use what its rows add up to; return what changed, old and new."""
    rows = _locked(session, tenant_id, sorted(RESOURCES))
    changed = {}
    for name, count in counted(session, tenant_id).items():
        if rows[name].in_use != count:
            changed[name] = (rows[name].in_use, count)
            rows[name].in_use = count
    return changed


def differences(session: Session) -> dict[str, dict[str, tuple[int, int]]]:
    """Return project → resource → use and count, where they are not the same.

    A project with a running operation that holds a reservation is left out: what it has
    reserved is not in its rows yet.
    """
    used = {(row.tenant_id, row.resource): row for row in session.execute(select(
        QuotaUsage.tenant_id, QuotaUsage.resource, QuotaUsage.in_use, QuotaUsage.reserved))}
    counts = _counts(session)
    busy = set(session.scalars(select(Reservation.tenant_id).where(
        Reservation.status == "RESERVED", _is_running()).distinct()))
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for tenant, resource in sorted({*used, *counts}):
        row, count = used.get((tenant, resource)), counts.get((tenant, resource), 0)
        in_use, reserved = (row.in_use, row.reserved) if row is not None else (0, 0)
        if tenant not in busy and (in_use != count or reserved):
            found.setdefault(tenant, {})[resource] = (in_use, count)
    return found


def _is_running() -> ColumnElement[bool]:
    return exists().where(Operation.id == Reservation.operation_id,
                          Operation.live_key.is_not(None))


def _counts(session: Session) -> dict[tuple[str, str], int]:
    """Return project and resource → what the rows of all projects add up to."""
    found: dict[tuple[str, str], int] = {}
    for row in session.execute(select(
            Instance.tenant_id, func.count().label("instances"),
            func.coalesce(func.sum(Instance.volume_size), 0).label("volumes"),
            func.coalesce(func.sum(Instance.flavor_ram), 0).label("ram")).where(
                Instance.deleted.is_(False)).group_by(Instance.tenant_id)):
        found |= {(row.tenant_id, name): int(getattr(row, name))
                  for name in ("instances", "volumes", "ram")}
    for size, tenant_id in session.execute(_other_volumes().add_columns(
            Instance.tenant_id).group_by(Instance.tenant_id)):
        found[tenant_id, "volumes"] += int(size or 0)
    for tenant_id, count in session.execute(select(Backup.tenant_id, func.count()).where(
            Backup.deleted.is_(False)).group_by(Backup.tenant_id)):
        found[tenant_id, "backups"] = int(count)
    return found


def recount_quiet(session: Session, tenant_id: str) -> dict[str, tuple[int, int]] | None:
    """Like :func:`recount`, and end reservations whose operations have ended.

    :return: None, and nothing is changed, while an operation holds a reservation
    """
    rows = _locked(session, tenant_id, sorted(RESOURCES))
    held = select(Reservation).where(
        Reservation.tenant_id == tenant_id, Reservation.status == "RESERVED")
    if session.scalars(held.where(_is_running()).limit(1)).first() is not None:
        return None
    for one in session.scalars(held):
        one.status = "RELEASED"
    for row in rows.values():
        row.reserved = 0
    return recount(session, tenant_id)
