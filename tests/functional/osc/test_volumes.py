"""Volumes at the command line."""

from __future__ import annotations

from sqlalchemy import select

from tests.functional.api.conftest import OWN, Api
from tests.functional.osc.conftest import OpenStack
from trove_ng.common.clock import utcnow
from trove_ng.db.models import InstanceVolume, Operation
from trove_ng.db.repositories import datastore_admin

CONFIGURATION = ("database", "volume", "configuration")


def test_volume_configurations(openstack: OpenStack) -> None:
    assert {"Name": "small"} in openstack(*CONFIGURATION, "list")
    shown, = openstack(*CONFIGURATION, "show", "small")
    assert (shown["Volume Kind"], shown["Size"], shown["Provider Type"]) == ("data", 2, "lvm")
    assert "HTTP 404" in openstack.fails(*CONFIGURATION, "show", "none/such")


def test_volume_types(openstack: OpenStack, app: Api) -> None:
    types = ("database", "volume", "type")
    allowed = (*types, "list", "--datastore", "mariadb", "--datastore-version", "10.11")
    assert [one["Name"] for one in openstack(*types, "list")] == ["lvm"]
    assert [one["ID"] for one in openstack(*allowed)] == ["vt"]
    assert openstack(*types, "show", "lvm")["id"] == "vt"
    with app.db.writer() as session:
        datastore_admin.bind(session, "v", "volume-type", "another")
    assert openstack(*allowed) == []
    assert "HTTP 404" in openstack.fails(*types, "show", "none/such")
    assert "go together" in openstack.fails(*types, "list", "--datastore", "mariadb")


def test_volumes_of_an_instance(openstack: OpenStack) -> None:
    shown, = openstack("database", "instance", "volume", "list", f"{OWN}1")
    assert (shown["Volume Kind"], shown["Provider"]) == ("data", "cinder")
    assert shown["Size"] >= 1
    assert "no instance" in openstack.fails(
        "database", "instance", "volume", "list", "another")


def test_one_of_the_volumes_is_grown(openstack: OpenStack, app: Api) -> None:
    with app.db.writer() as session:
        session.add(InstanceVolume(instance_id=f"{OWN}1", volume_kind="binlog", size=1,
                                   volume_id="w", created=utcnow(), updated=utcnow()))
    resize = ("database", "instance", "volume", "resize", f"{OWN}1")
    assert "no volume of kind user_log" in openstack.fails(*resize, "user_log", "2")
    assert "larger than the present 1 GB" in openstack.fails(*resize, "binlog", "1")
    openstack.does(*resize, "binlog", "3")
    with app.db.reader() as session:
        assert session.scalars(select(Operation.payload).where(
            Operation.action == "instance.resize_volume")).all() == [
                {"size": 3, "kind": "binlog"}]
