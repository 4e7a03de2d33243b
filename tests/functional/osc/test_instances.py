"""Instances that the released client cannot ask for."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.functional.api.conftest import NETWORK, OWN, Api
from tests.functional.osc.conftest import OpenStack
from trove_ng.db.models import (
    Datastore,
    DatastoreVersion,
    Failover,
    Instance,
    InstanceVolume,
    LogArchive,
    Operation,
)

LAUNCH = ("database", "instance", "launch", "new", "--flavor", "db.small")


def volumes(app: Api, ident: str) -> list[tuple[str, int | None, str | None]]:
    with app.db.reader() as session:
        return [(one.volume_kind, one.size, one.provider_type) for one in session.scalars(
            select(InstanceVolume).where(InstanceVolume.instance_id == ident).order_by(
                InstanceVolume.volume_kind))]


def test_an_instance_has_the_volumes_of_a_configuration(openstack: OpenStack, app: Api) -> None:
    made = openstack(*LAUNCH, "--volume-config", "small", "--volume", "binlog=1")
    assert made["status"] == "BUILD"
    assert volumes(app, made["id"]) == [("binlog", 1, None), ("data", 2, "lvm")]
    made = openstack(*LAUNCH, "--volume", "data=3", "--volume", "binlog=1")
    assert volumes(app, made["id"]) == [("binlog", 1, None), ("data", 3, None)]
    assert len(app.waker.woken) == 2


def test_all_that_an_instance_can_have_is_asked_for(openstack: OpenStack, app: Api) -> None:
    made = openstack(
        *LAUNCH, "--volume", "data=3", "--datastore", "mariadb", "--datastore-version", "10.11",
        "--configuration", "c", "--backup", "b", "--database", "shop", "--database", "wiki",
        "--user", "app:a:Password1", "--module", "hello", "--network", NETWORK,
        "--allowed-cidr", "10.0.0.0/8", "--is-public", "--availability-zone", "nova",
        "--locality", "affinity", "--region", "RegionOne")
    with app.db.reader() as session:
        row = session.get_one(Instance, made["id"])
        assert (row.flavor_id, row.configuration_id, row.availability_zone, row.locality,
                row.access, row.nics) == (
                    "2", f"{OWN}7", "nova", "affinity",
                    {"is_public": True, "allowed_cidrs": ["10.0.0.0/8"]},
                    [{"network_id": NETWORK}])
        payload = session.scalars(select(Operation.payload).where(
            Operation.resource_id == made["id"])).one()
    assert payload["backup_id"] == f"{OWN}8"
    assert payload["modules"] == [f"{OWN}4"]
    assert [one["name"] for one in payload["databases"]] == ["shop", "wiki"]
    assert [(one["name"], one["databases"]) for one in payload["users"]] == [
        ("app", ["shop", "wiki"])]


def test_what_cannot_be_made_is_told(openstack: OpenStack, app: Api) -> None:
    assert "instance.volume is required" in openstack.fails(*LAUNCH)
    assert "does not exist" in openstack.fails(*LAUNCH, "--volume-config", "none")
    assert "no flavor" in openstack.fails(
        "database", "instance", "launch", "new", "--flavor", "none")
    for words in (("--volume", "data"), ("--volume", "=3"), ("--user", "app")):
        with pytest.raises(SystemExit):
            openstack(*LAUNCH, *words)
    assert app.waker.woken == []


def test_what_a_set_does_when_its_source_is_lost_is_said(openstack: OpenStack, app: Api) -> None:
    command = ("database", "instance", "failover", "set", f"{OWN}1")
    openstack.does(*command, "automatic", "--timeout", "20", "--max-lag", "7")
    with app.db.reader() as session:
        row = session.get_one(Failover, f"{OWN}1")
        assert (row.mode, row.timeout_seconds, row.min_interval_seconds, row.max_lag) == (
            "automatic", 20, 300, 7)
    openstack.does(*command, "manual")
    with app.db.reader() as session:
        assert session.get_one(Failover, f"{OWN}1").mode == "manual"
    assert "timeout_seconds" in openstack.fails(*command, "automatic", "--timeout", "2")


def test_the_log_is_archived_and_a_backup_brought_to_a_time_where_that_can_be(
        openstack: OpenStack, app: Api) -> None:
    volume = ("--volume", "data=3")
    assert "backupRef" in openstack.fails(
        *LAUNCH, *volume, "--restore-time", "2026-05-01T12:00:00Z")
    assert "does not tell where the log continues it" in openstack.fails(
        *LAUNCH, *volume, "--backup", "b", "--restore-time", "2026-05-01T12:00:00Z")
    with app.db.writer() as session:
        for name, version in (("postgresql", "15"), ("redis", "7.0")):
            session.add(Datastore(id=name, name=name))
            session.flush()
            session.add(DatastoreVersion(id=f"{name}-v", datastore_id=name, name=version,
                                         version=version, manager=name, image_tags=name))
    assert "does not archive its log" in openstack.fails(
        *LAUNCH, *volume, "--datastore", "redis", "--datastore-version", "7.0",
        "--archive-log", "3")
    openstack(*LAUNCH, *volume, "--datastore", "postgresql", "--datastore-version", "15",
              "--archive-log", "3")
    with app.db.reader() as session:
        (row,) = session.scalars(select(LogArchive))
    assert (row.enabled, row.retention_days) == (True, 3)
    command = ("database", "instance", "log", "archive", "set", row.instance_id)
    openstack.does(*command, "--disable")
    with app.db.reader() as session:
        assert not session.get_one(LogArchive, row.instance_id).enabled
    openstack.does(*command, "--enable", "--retention-days", "9")
    with app.db.reader() as session:
        found = session.get_one(LogArchive, row.instance_id)
    assert (found.enabled, found.retention_days) == (True, 9)
