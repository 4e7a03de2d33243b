"""Datastores and their versions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from trove_ng.db.models import (
    Datastore,
    DatastoreVersion,
    DatastoreVersionMember,
    DatastoreVersionMetadata,
)
from trove_ng.db.rows import AnyRow, AnySelect, Reader


def number_of(reader: Reader, version_id: str) -> str:
    """Return the version number of a version, also of one that is deleted."""
    (found,), = reader.execute(select(DatastoreVersion.version).where(
        DatastoreVersion.id == version_id))
    return str(found)


def _seen_by(tenant_id: str | None, *, listing: bool) -> ColumnElement[bool]:
    """Say which versions somebody sees.

    :param tenant_id: whose eyes; None is an administrator, who sees all but deleted ones
    :param listing: in a list; others show those that are unlisted too
    """
    alive = DatastoreVersion.deleted.is_(False)
    if tenant_id is None:
        return alive
    member = select(DatastoreVersionMember.id).where(
        DatastoreVersionMember.datastore_version_id == DatastoreVersion.id,
        DatastoreVersionMember.tenant_id == tenant_id).exists()
    for_all = ["public"] if listing else ["public", "unlisted"]
    return and_(alive, DatastoreVersion.active.is_(True), or_(
        DatastoreVersion.visibility.in_(for_all),
        and_(DatastoreVersion.visibility == "private", member)))


def _versions() -> AnySelect:
    return select(DatastoreVersion, Datastore).join(
        Datastore, Datastore.id == DatastoreVersion.datastore_id)


def list_with_versions(session: Reader, tenant_id: str | None, *, limit: int,
                       marker: str | None = None,
                       ) -> tuple[list[AnyRow], dict[str, list[AnyRow]], bool]:
    """Return datastores by id, the versions of each, and whether more follow.

    A datastore without a visible version is left out for a tenant.

    :param tenant_id: whose eyes; None shows all versions (an administrator)
    """
    statement = select(Datastore.id, Datastore.name, Datastore.default_version_id).where(
        Datastore.deleted.is_(False))
    if tenant_id is not None:
        statement = statement.where(select(DatastoreVersion.id).where(
            DatastoreVersion.datastore_id == Datastore.id,
            _seen_by(tenant_id, listing=True)).exists())
    if marker is not None:
        statement = statement.where(Datastore.id > marker)
    rows = list(session.execute(statement.order_by(Datastore.id).limit(limit + 1)))
    page = rows[:limit]
    return page, _versions_of(session, tenant_id, [row.id for row in page]), len(rows) > limit


def _versions_of(session: Reader, tenant_id: str | None, datastore_ids: Sequence[str],
                 ) -> dict[str, list[AnyRow]]:
    found: dict[str, list[AnyRow]] = {}
    if not datastore_ids:
        return found
    statement = select(
        DatastoreVersion.id, DatastoreVersion.datastore_id, DatastoreVersion.name,
        DatastoreVersion.version, DatastoreVersion.active, DatastoreVersion.packages,
        DatastoreVersion.image_id, DatastoreVersion.image_tags,
        DatastoreVersion.registry_ext, DatastoreVersion.repl_strategy,
        DatastoreVersion.manager, DatastoreVersion.visibility,
    ).where(DatastoreVersion.datastore_id.in_(datastore_ids), _seen_by(tenant_id, listing=True))
    for row in session.execute(statement.order_by(
            DatastoreVersion.name, DatastoreVersion.version, DatastoreVersion.id)):
        found.setdefault(row.datastore_id, []).append(row)
    return found


def same_datastore(session: Session, one_id: str, other_id: str) -> bool:
    """Return whether two versions are of one datastore."""
    return session.scalars(select(func.count(DatastoreVersion.datastore_id.distinct())).where(
        DatastoreVersion.id.in_((one_id, other_id)))).one() == 1


def find(session: Session, ident: str) -> Datastore | None:
    """Return the datastore with this id or name; an id wins."""
    rows = session.scalars(select(Datastore).where(
        Datastore.deleted.is_(False),
        or_(Datastore.id == ident, Datastore.name == ident))).all()
    return next((row for row in rows if row.id == ident), rows[0] if rows else None)


def versions_of(session: Session, datastore_id: str, tenant_id: str | None,
                ) -> list[AnyRow]:
    """Return the listed versions of a datastore, ordered by name."""
    return _versions_of(session, tenant_id, [datastore_id]).get(datastore_id, [])


def find_versions(session: Session, ident: str | None, tenant_id: str | None, *,
                  datastore: str | None = None, number: str | None = None,
                  active: bool = False, lock: bool = False,
                  ) -> list[tuple[DatastoreVersion, Datastore]]:
    """Return the versions with this id, else all with this name (several numbers).

    :param ident: None: the default one of the datastore
    :param tenant_id: whose eyes; None sees all
    :param datastore: id or name of the only datastore to look at
    :param number: version number that tells versions of one name apart
    :param active: leave those out that are not, which administrators see
    :param lock: keep them from being deleted until the transaction ends
    """
    statement = _versions().where(
        _seen_by(tenant_id, listing=False),
        DatastoreVersion.id == Datastore.default_version_id if ident is None else
        or_(DatastoreVersion.id == ident, DatastoreVersion.name == ident))
    if active:
        statement = statement.where(DatastoreVersion.active.is_(True))
    if lock:
        statement = statement.with_for_update(read=True)
    if datastore is not None:
        statement = statement.where(or_(Datastore.id == datastore, Datastore.name == datastore))
    if number is not None:
        statement = statement.where(DatastoreVersion.version == number)
    rows = [(row[0], row[1]) for row in session.execute(
        statement.order_by(DatastoreVersion.version, DatastoreVersion.id))]
    # an id wins over a name that looks like it
    rows = [row for row in rows if row[1].id == datastore] or rows
    return [row for row in rows if row[0].id == ident] or rows


def image_tags(version: DatastoreVersion) -> list[str]:
    """Return the tags that a version's image has."""
    return [tag for tag in (version.image_tags or "").split(",") if tag]


def get_version(session: Session, version_id: str,
                ) -> tuple[DatastoreVersion, Datastore] | None:
    """Return a version and its datastore, whether visible, deleted or not."""
    row = session.execute(_versions().where(
        DatastoreVersion.id == version_id)).one_or_none()
    return None if row is None else (row[0], row[1])


def bindings(session: Session, version_id: str) -> dict[str, list[str]]:
    """Return key (``flavor``, ``volume-type``) → what a version is bound to."""
    found: dict[str, list[str]] = {}
    rows = session.execute(select(
        DatastoreVersionMetadata.key, DatastoreVersionMetadata.value).where(
            DatastoreVersionMetadata.datastore_version_id == version_id,
            DatastoreVersionMetadata.deleted.is_(False)).order_by(
                DatastoreVersionMetadata.value))
    for key, value in rows:
        found.setdefault(key, []).append(value)
    return found
