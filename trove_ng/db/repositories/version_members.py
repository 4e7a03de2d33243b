"""Projects that may use private versions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict, NotFound
from trove_ng.db.models import DatastoreVersion, DatastoreVersionMember
from trove_ng.db.session import add_if_new


def of_version(session: Session, version_id: str) -> Sequence[DatastoreVersionMember]:
    """Return the members of a version."""
    return session.scalars(select(DatastoreVersionMember).where(
        DatastoreVersionMember.datastore_version_id == version_id).order_by(
            DatastoreVersionMember.tenant_id)).all()


def of_project(session: Session, datastore_id: str, tenant_id: str,
               ) -> Sequence[DatastoreVersionMember]:
    """Return what a project is a member of, among the versions of a datastore."""
    return session.scalars(select(DatastoreVersionMember).join(
        DatastoreVersion, DatastoreVersion.id == DatastoreVersionMember.datastore_version_id,
    ).where(
        DatastoreVersion.datastore_id == datastore_id, DatastoreVersion.deleted.is_(False),
        DatastoreVersionMember.tenant_id == tenant_id).order_by(
            DatastoreVersionMember.datastore_version_id)).all()


def get(session: Session, version_id: str, member_id: str) -> DatastoreVersionMember:
    """Return a member of a version.

    :raises NotFound: there is none of that id
    """
    found = session.scalars(select(DatastoreVersionMember).where(
        DatastoreVersionMember.id == member_id,
        DatastoreVersionMember.datastore_version_id == version_id)).one_or_none()
    if found is None:
        raise NotFound.of("Datastore version member", member_id)
    return found


def add(session: Session, version_id: str, tenant_id: str) -> DatastoreVersionMember:
    """Make a project a member.

    :raises Conflict: it is one
    """
    row = DatastoreVersionMember(datastore_version_id=version_id, tenant_id=tenant_id)
    if not add_if_new(session, row):
        raise Conflict(f"Project {tenant_id} is a member of the version.")
    return row


def remove(session: Session, version_id: str, tenant_id: str) -> None:
    """Make a project a member no more.

    :raises NotFound: it is none
    """
    for row in of_version(session, version_id):
        if row.tenant_id == tenant_id:
            session.delete(row)
            return
    raise NotFound(f"Project {tenant_id} is no member of the version.")
