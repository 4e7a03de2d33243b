"""Comparing the names of instances with what the DNS service has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from trove_ng.cloud.dns import Record
from trove_ng.db.repositories import reconciliation
from trove_ng.db.repositories.reconciliation import Facts
from trove_ng.domain.instance_status import NOT_MADE
from trove_ng.operations.names import address_of
from trove_ng.operations.reconcile import compare
from trove_ng.operations.reconcile.findings import Finding, Kind, Repair

if TYPE_CHECKING:
    from trove_ng.operations.reconcile.look import Parts


def look(parts: Parts, when: compare.When) -> list[Finding]:
    """Return what is wrong with names; nothing if instances get none here.

    The service is asked first: an operation that changed something since has ended, or
    runs, when the store is read, and its instance is left alone.

    :raises trove_ng.cloud.errors.CloudError: the service does not answer
    """
    if not parts.conf.dns.enabled:
        return []
    records = parts.clouds.names.list()
    owners = {one.instance_id for one in records if one.instance_id is not None}
    with parts.db.reader() as session:
        rows = reconciliation.named(session)
        rows |= reconciliation.of(session, owners - set(rows))
    return list(judge(rows, records, when))


def judge(rows: Mapping[str, Facts], records: Iterable[Record], when: compare.When,
          ) -> Iterator[Finding]:
    """Give what is wrong with some names.

    :param rows: of the owners of the records, and of instances that should have one
    """
    names = set()
    for record in records:
        names.add(record.name)
        if record.instance_id is not None:
            yield from _record(record, rows.get(record.instance_id), when)
    for row in rows.values():
        wanted = wanted_address(row)
        if wanted is not None and row.hostname not in names and _settled(row, when):
            yield _about(row, Kind.MISSING, "The name of the instance is not registered.",
                         row.hostname or "", Repair.SET_NAME, after=wanted)


def wanted_address(row: Facts) -> str | None:
    """Return where the name of an instance should lead, None if it has no name."""
    if row.hostname is None or row.deleted:
        return None
    return address_of(row.addresses, public=bool((row.access or {}).get("is_public")))


def _settled(row: Facts, when: compare.When) -> bool:
    return compare.is_idle(row, when.settled) and row.error not in (
        NOT_MADE, compare.FAILED_DELETE)


def _record(record: Record, row: Facts | None, when: compare.When) -> Iterator[Finding]:
    if row is None:
        yield Finding(
            Kind.UNKNOWN_INSTANCE, "The name was made for an instance that this store does not "
            "know.", record.instance_id, None, "name", record.id)
    elif row.deleted:
        if not row.live and row.deleted_at is not None and row.deleted_at < when.settled:
            yield _leftover(record, row, "The instance is deleted")
    elif not compare.is_idle(row, when.settled) or row.error == compare.FAILED_DELETE:
        return
    elif row.error == NOT_MADE:
        yield _leftover(record, row, "The instance could not be created")
    elif row.hostname != record.name:
        yield _leftover(record, row, "The instance has another name, or none")
    elif record.failed or wanted_address(row) not in (None, record.address):
        yield _about(row, Kind.NAME_ELSEWHERE, "The name of the instance does not lead to it.",
                     record.id, Repair.SET_NAME, record.address, wanted_address(row))


def _leftover(record: Record, row: Facts, why: str) -> Finding:
    return _about(row, Kind.LEFTOVER, f"{why}, its name was left behind.", record.id,
                  Repair.DELETE_NAME, before=record.name)


def _about(row: Facts, kind: Kind, what: str, ident: str, repair: Repair,
           before: str | None = None, after: str | None = None) -> Finding:
    return Finding(kind, what, row.id, row.tenant_id, "name", ident, repair, before, after)
