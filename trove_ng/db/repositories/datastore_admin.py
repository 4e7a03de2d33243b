"""What operators change of datastores and their versions."""

from __future__ import annotations

import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.db.models import (
    Datastore,
    DatastoreVersion,
    DatastoreVersionMetadata,
)


def find(session: Session, name: str) -> Datastore:
    """Return a datastore by id or name.

    :raises NotFound: there is none
    """
    found = session.scalars(select(Datastore).where(
        (Datastore.name == name) | (Datastore.id == name))).all()
    if not found:
        raise NotFound.of("Datastore", name)
    # a name may look like another one's id
    return next((row for row in found if row.id == name), found[0])


def find_version(session: Session, datastore: Datastore, name: str,
                 number: str | None = None) -> DatastoreVersion:
    """Return a version of a datastore by id or name.

    :param number: tells versions of one name apart
    :raises NotFound: there is none
    :raises BadRequest: there are several
    """
    statement = select(DatastoreVersion).where(
        DatastoreVersion.datastore_id == datastore.id,
        (DatastoreVersion.name == name) | (DatastoreVersion.id == name))
    if number is not None:
        statement = statement.where(DatastoreVersion.version == number)
    rows = session.scalars(statement).all()
    found = [row for row in rows if row.id == name] or rows
    if not found:
        raise NotFound.of("Datastore version", name)
    if len(found) > 1:
        raise BadRequest(f"Several versions have the name {name}; give an id or --version.")
    return found[0]


def set_datastore(session: Session, name: str, default_version: str | None) -> Datastore:
    """Make a datastore, or change its default version.

    :param default_version: id or name of a version, None for none
    """
    found = session.scalars(select(Datastore).where(Datastore.name == name)).one_or_none()
    if found is None:
        found = Datastore(name=name)
        session.add(found)
        session.flush()
    if default_version:
        found.default_version_id = find_version(session, found, default_version).id
    else:
        found.default_version_id = None
    return found


def set_version(session: Session, datastore: Datastore, name: str, number: str | None,
                ) -> DatastoreVersion:
    """Return a version, made if there is none.

    :param name: its name; the id of one that exists will also do
    :param number: None for the only one of that name, or a new one whose number is its name
    :raises BadRequest: without a number, and there are several
    """
    try:
        return find_version(session, datastore, name, number)
    except NotFound:
        made = DatastoreVersion(datastore_id=datastore.id, name=name,
                                version=number or name, manager="")
        session.add(made)
        return made


def active_managers(session: Session) -> dict[str, str]:
    """Return version id → manager of all versions that instances can be made of."""
    return dict(session.execute(select(
        DatastoreVersion.id, DatastoreVersion.manager).where(
            DatastoreVersion.active.is_(True))).tuples().all())


def bound(session: Session, version_id: str, key: str) -> list[DatastoreVersionMetadata]:
    """Return what a version is bound to.

    :param key: ``flavor`` or ``volume-type``
    """
    return list(session.scalars(select(DatastoreVersionMetadata).where(
        DatastoreVersionMetadata.datastore_version_id == version_id,
        DatastoreVersionMetadata.key == key,
        DatastoreVersionMetadata.deleted.is_(False)).order_by(DatastoreVersionMetadata.value)))


def bind(session: Session, version_id: str, key: str, value: str) -> None:
    """Bind a version to one more value; bound already is no error."""
    found = session.scalars(select(DatastoreVersionMetadata).where(
        DatastoreVersionMetadata.datastore_version_id == version_id,
        DatastoreVersionMetadata.key == key,
        DatastoreVersionMetadata.value == value)).one_or_none()
    if found is None:
        session.add(DatastoreVersionMetadata(
            datastore_version_id=version_id, key=key, value=value))
    else:
        found.deleted, found.deleted_at = False, None


def unbind(session: Session, version_id: str, key: str, value: str,
           now: datetime.datetime) -> None:
    """Take a binding away.

    :raises NotFound: there is none
    """
    for row in bound(session, version_id, key):
        if row.value == value:
            row.deleted, row.deleted_at = True, now
            return
    raise NotFound(f"The version is not bound to {key} {value}.")
