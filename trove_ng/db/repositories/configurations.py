"""Configuration groups and the parameters that versions allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from trove_ng.db.models import (
    Configuration,
    ConfigurationItem,
    Datastore,
    DatastoreConfigurationParameter,
    DatastoreVersion,
    Instance,
    Operation,
)
from trove_ng.db.rows import AnyRow, by_id

#: the actions that give an instance a group, or take it away, and another version
_GIVES = "instance.configure"
_UPGRADES = "instance.upgrade"
_COUNT = select(func.count()).where(
    Instance.configuration_id == Configuration.id,
    Instance.deleted.is_(False)).correlate(Configuration).scalar_subquery()
_VIEW = select(
    Configuration.id, Configuration.name, Configuration.description,
    Configuration.tenant_id, Configuration.created, Configuration.updated,
    Configuration.datastore_version_id, DatastoreVersion.name.label("version_name"),
    DatastoreVersion.version.label("version_number"),
    Datastore.name.label("datastore_name"), _COUNT.label("instance_count"),
).join(DatastoreVersion, DatastoreVersion.id == Configuration.datastore_version_id).join(
    Datastore, Datastore.id == DatastoreVersion.datastore_id).where(
    Configuration.deleted.is_(False))


def get(session: Session, configuration_id: str, tenant_id: str | None, *,
        lock: bool = False) -> Configuration | None:
    """Return a group.

    :param tenant_id: owner to look among; None looks among all
    :param lock: keep others from changing it until the transaction ends
    """
    return by_id(session, Configuration, configuration_id, tenant_id, lock=lock)


def set_values(session: Session, configuration_id: str, wanted: Mapping[str, Any]) -> None:
    """Make the parameters of a group exactly these."""
    session.execute(delete(ConfigurationItem).where(
        ConfigurationItem.configuration_id == configuration_id))
    if wanted:
        session.execute(insert(ConfigurationItem), [
            {"configuration_id": configuration_id, "configuration_key": name,
             "configuration_value": value} for name, value in sorted(wanted.items())])


def instance_ids(session: Session, configuration_id: str) -> list[str]:
    """Return the ids of all instances that have the group, or are being given it."""
    given = select(Operation.resource_id).where(
        Operation.live_key.is_not(None), Operation.action == _GIVES,
        Operation.payload["configuration_id"].as_string() == configuration_id)
    have = select(Instance.id).where(
        Instance.configuration_id == configuration_id, Instance.deleted.is_(False))
    return sorted({*session.scalars(have), *session.scalars(given)})


def used_versions(session: Session, configuration_id: str) -> set[str]:
    """Return the ids of the versions that the group's instances have, or are being given."""
    ids = instance_ids(session, configuration_id)
    have = select(Instance.datastore_version_id).where(Instance.id.in_(ids)).distinct()
    given = select(Operation.payload["datastore_version_id"].as_string()).where(
        Operation.live_key.is_not(None), Operation.action == _UPGRADES,
        Operation.resource_id.in_(ids))
    return {*session.scalars(have), *session.scalars(given)}


def list_views(session: Session, *, tenant_id: str, limit: int, marker: str | None = None,
               ) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 groups of a project ordered by id, after ``marker``."""
    statement = _VIEW.where(Configuration.tenant_id == tenant_id)
    if marker is not None:
        statement = statement.where(Configuration.id > marker)
    return session.execute(statement.order_by(Configuration.id).limit(limit + 1)).all()


def get_view(session: Session, configuration_id: str, tenant_id: str | None,
             ) -> AnyRow | None:
    """Return a group; ``tenant_id`` None looks among all projects' groups."""
    statement = _VIEW.where(Configuration.id == configuration_id)
    if tenant_id is not None:
        statement = statement.where(Configuration.tenant_id == tenant_id)
    return session.execute(statement).one_or_none()


def values(session: Session, configuration_id: str) -> dict[str, Any]:
    """Return the parameters of a group."""
    return dict(session.execute(select(
        ConfigurationItem.configuration_key, ConfigurationItem.configuration_value,
    ).where(ConfigurationItem.configuration_id == configuration_id).order_by(
        ConfigurationItem.configuration_key)).tuples().all())


def instances(session: Session, configuration_id: str, *, limit: int,
              marker: str | None = None) -> Sequence[AnyRow]:
    """Return up to ``limit`` + 1 (id, name) of instances that have the group."""
    statement = select(Instance.id, Instance.name).where(
        Instance.configuration_id == configuration_id, Instance.deleted.is_(False))
    if marker is not None:
        statement = statement.where(Instance.id > marker)
    return session.execute(statement.order_by(Instance.id).limit(limit + 1)).all()


def parameters(session: Session, version_id: str, name: str | None = None,
               ) -> Sequence[DatastoreConfigurationParameter]:
    """Return the parameters that groups of a version may set, or the one named."""
    statement = select(DatastoreConfigurationParameter).where(
        DatastoreConfigurationParameter.datastore_version_id == version_id,
        DatastoreConfigurationParameter.deleted.is_(False))
    if name is not None:
        statement = statement.where(DatastoreConfigurationParameter.name == name)
    return session.scalars(statement.order_by(DatastoreConfigurationParameter.name)).all()
