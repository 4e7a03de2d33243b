"""What operators change of datastores and their versions."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trove_ng.common.errors import BadRequest, Conflict, NotFound
from trove_ng.db.models import (
    Backup,
    CapabilityOverride,
    Cluster,
    Configuration,
    Datastore,
    DatastoreVersion,
    DatastoreVersionMember,
    DatastoreVersionMetadata,
    Instance,
    Module,
)
from trove_ng.db.rows import AnyRow
from trove_ng.db.session import add_if_new, flush_or_retry


def find(session: Session, name: str) -> Datastore:
    """Return a datastore by id or name.

    :raises NotFound: there is none
    """
    found = session.scalars(select(Datastore).where(
        Datastore.deleted.is_(False),
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
        DatastoreVersion.datastore_id == datastore.id, DatastoreVersion.deleted.is_(False),
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


def make_datastore(session: Session, name: str) -> Datastore:
    """Return the datastore of a name, made if there is none; it is locked."""
    found = session.scalars(select(Datastore).where(
        Datastore.name == name, Datastore.deleted.is_(False)).with_for_update()).one_or_none()
    if found is None:
        found = Datastore(name=name)
        session.add(found)
        flush_or_retry(session)
    return found


def set_datastore(session: Session, name: str, default_version: str | None) -> Datastore:
    """Make a datastore, or change its default version.

    :param default_version: id or name of a version, None for none
    """
    found = make_datastore(session, name)
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
            DatastoreVersion.active.is_(True),
            DatastoreVersion.deleted.is_(False))).tuples().all())


def versions(session: Session, *, limit: int, marker: str | None = None,
             datastore_id: str | None = None) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 versions and their datastores by id, after ``marker``."""
    statement = select(DatastoreVersion, Datastore).join(
        Datastore, Datastore.id == DatastoreVersion.datastore_id).where(
        DatastoreVersion.deleted.is_(False))
    if datastore_id is not None:
        statement = statement.where(DatastoreVersion.datastore_id == datastore_id)
    if marker is not None:
        statement = statement.where(DatastoreVersion.id > marker)
    return session.execute(statement.order_by(DatastoreVersion.id).limit(limit + 1)).all()


def get_version(session: Session, version_id: str, *, lock: bool = False,
                ) -> tuple[DatastoreVersion, Datastore]:
    """Return a version and its datastore.

    :param lock: keep others from changing or using it until the transaction ends
    :raises NotFound: there is none of that id
    """
    statement = select(DatastoreVersion, Datastore).join(
        Datastore, Datastore.id == DatastoreVersion.datastore_id).where(
        DatastoreVersion.id == version_id, DatastoreVersion.deleted.is_(False))
    if lock:
        statement = statement.with_for_update()
    found = session.execute(statement).one_or_none()
    if found is None:
        raise NotFound.of("Datastore version", version_id)
    return found[0], found[1]


def add_version(session: Session, row: DatastoreVersion) -> None:
    """Add a version.

    :raises BadRequest: the datastore has one of this name and number
    """
    if not add_if_new(session, row):
        raise _exists(row)


def check_name(session: Session, row: DatastoreVersion) -> None:
    """Refuse a changed name that another version of the datastore has.

    :raises BadRequest: it has
    """
    name, number = row.name, row.version
    with session.no_autoflush:
        taken = session.scalars(select(DatastoreVersion.id).where(
            DatastoreVersion.datastore_id == row.datastore_id, DatastoreVersion.name == name,
            DatastoreVersion.version == number, DatastoreVersion.deleted.is_(False),
            DatastoreVersion.id != row.id)).first()
    if taken is not None:
        raise _exists(row)


def _exists(row: DatastoreVersion) -> BadRequest:
    return BadRequest(f"Datastore version {row.name} ({row.version}) already exists.")


def set_default(datastore: Datastore, version: DatastoreVersion, wanted: bool) -> None:
    """Make a version the default one of its datastore, or make it that no more."""
    if wanted:
        datastore.default_version_id = version.id
    elif datastore.default_version_id == version.id:
        datastore.default_version_id = None


#: what may be made of a version, and keeps it
_USERS: tuple[tuple[str, Any], ...] = (
    ("instances", Instance), ("clusters", Cluster), ("backups", Backup),
    ("configurations", Configuration), ("modules", Module))


def delete_version(session: Session, version: DatastoreVersion, datastore: Datastore,
                   now: datetime.datetime) -> None:
    """Delete a version that nothing is made of, and what it is limited to.

    :raises Conflict: something is
    """
    used = [name for name, row in _USERS if session.scalars(select(row.id).where(
        row.datastore_version_id == version.id, row.deleted.is_(False)).limit(1)).first()]
    if used:
        raise Conflict(f"Datastore version {version.id} is used by {', '.join(used)}.")
    for row in (DatastoreVersionMember, DatastoreVersionMetadata, CapabilityOverride):
        session.execute(delete(row).where(row.datastore_version_id == version.id))
    set_default(datastore, version, False)
    version.active = False
    version.deleted, version.deleted_at, version.live_key = True, now, version.id


def delete_datastore(session: Session, datastore: Datastore, now: datetime.datetime) -> None:
    """Delete a datastore that has no versions.

    :raises BadRequest: it has some
    """
    if session.scalars(select(DatastoreVersion.id).where(
            DatastoreVersion.datastore_id == datastore.id,
            DatastoreVersion.deleted.is_(False)).limit(1)).first():
        raise BadRequest(f"Datastore {datastore.name} has versions; delete them first.")
    datastore.deleted, datastore.deleted_at = True, now
    datastore.live_key, datastore.default_version_id = datastore.id, None


def bound(session: Session, version_id: str, key: str) -> list[DatastoreVersionMetadata]:
    """Return what a version is bound to.

    :param key: ``flavor`` or ``volume-type``
    """
    return list(session.scalars(select(DatastoreVersionMetadata).where(
        DatastoreVersionMetadata.datastore_version_id == version_id,
        DatastoreVersionMetadata.key == key,
        DatastoreVersionMetadata.deleted.is_(False)).order_by(DatastoreVersionMetadata.value)))


def bind(session: Session, version_id: str, key: str, value: str) -> None:
    """Bind a version to one more value.

    :raises Conflict: it is bound to it
    """
    found = session.scalars(select(DatastoreVersionMetadata).where(
        DatastoreVersionMetadata.datastore_version_id == version_id,
        DatastoreVersionMetadata.key == key,
        DatastoreVersionMetadata.value == value).with_for_update()).one_or_none()
    if found is not None and found.deleted:
        found.deleted, found.deleted_at = False, None
        return
    if not add_if_new(session, DatastoreVersionMetadata(
            datastore_version_id=version_id, key=key, value=value)):
        raise Conflict(f"The version is bound to {_binding(key, value)} already.")


def unbind(session: Session, version_id: str, key: str, value: str,
           now: datetime.datetime) -> None:
    """Take a binding away.

    :raises NotFound: there is none
    """
    for row in bound(session, version_id, key):
        if row.value == value:
            row.deleted, row.deleted_at = True, now
            return
    raise NotFound(f"The version is not bound to {_binding(key, value)}.")


def _binding(key: str, value: str) -> str:
    return f"{key.replace('-', ' ')} {value}"
