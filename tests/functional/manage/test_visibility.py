"""Who sees datastore versions, and what instances of them can do."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from trove_ng.db.models import Datastore, DatastoreVersion, Instance
from trove_ng.db.repositories import datastores
from trove_ng.db.session import Database

from .conftest import Operator

VERSION = ("mariadb", "10.11")
PROJECT = "a" * 32


def sees(database: Database, project: str = PROJECT) -> bool:
    with database.reader() as session:
        return bool(datastores.find_versions(session, "10.11", project))


def test_a_version_is_hidden_shown_and_given_to_projects(
        mariadb: Operator, database: Database) -> None:
    assert sees(database)
    mariadb.does("datastore_version_visibility", *VERSION, "private")
    assert not sees(database)
    mariadb.does("datastore_version_member_add", *VERSION, PROJECT)
    assert sees(database)
    assert mariadb.does("datastore_version_member_list", *VERSION) == [PROJECT]
    assert PROJECT in mariadb.fails("datastore_version_member_add", *VERSION, PROJECT)
    mariadb.does("datastore_version_member_delete", *VERSION, PROJECT)
    assert not sees(database)
    assert PROJECT in mariadb.fails("datastore_version_member_delete", *VERSION, PROJECT)
    assert mariadb.does("datastore_version_member_list", *VERSION) == ["no members"]
    mariadb.does("datastore_version_visibility", *VERSION, "unlisted")
    assert sees(database)
    mariadb.does("datastore_version_visibility", *VERSION, "deprecated")
    assert not sees(database)


def test_versions_are_listed(mariadb: Operator) -> None:
    mariadb.does("datastore_update", "mariadb", "10.11")
    mariadb.does("datastore_version_update", "mariadb", "10.6", "mariadb", "image", "", "0")
    lines = mariadb.does("datastore_version_list")[0].splitlines()
    assert [line.split()[1:] for line in lines] == [
        ["mariadb", "10.11", "10.11", "mariadb", "active", "public", "default"],
        ["mariadb", "10.6", "10.6", "mariadb", "inactive", "public"]]
    assert mariadb.does("datastore_version_list", "mariadb")[0].splitlines() == lines
    assert "none" in mariadb.fails("datastore_version_list", "none")


def test_versions_and_datastores_are_deleted(mariadb: Operator, database: Database) -> None:
    mariadb.does("datastore_update", "mariadb", "10.11")
    assert "has versions" in mariadb.fails("datastore_delete", "mariadb")
    with database.writer() as session:
        version = session.scalars(select(DatastoreVersion)).one()
        session.add(Instance(id="i", name="i", tenant_id=PROJECT, flavor_id="1",
                             datastore_version_id=version.id))
    assert "used by instances" in mariadb.fails("datastore_version_delete", *VERSION)
    with database.writer() as session:
        session.get(Instance, "i").deleted = True
    mariadb.does("datastore_version_delete", *VERSION)
    assert not sees(database)
    assert "10.11" in mariadb.fails("datastore_version_delete", *VERSION)
    mariadb.does("datastore_delete", "mariadb")
    assert "mariadb" in mariadb.fails("datastore_delete", "mariadb")
    # their names may be given again
    mariadb.does("datastore_update", "mariadb", "")
    mariadb.does("datastore_version_update", *VERSION, "mariadb", "image", "", "1")
    assert sees(database)
    with database.reader() as session:
        assert len(session.scalars(select(Datastore)).all()) == 2


def capabilities(operator: Operator, *version: str) -> dict[str, str]:
    said, = operator.does("capability_list", *version)
    return dict(line.split() for line in said.splitlines())


def test_capabilities_are_switched(mariadb: Operator) -> None:
    before = capabilities(mariadb, *VERSION)
    assert before["root"] == "on"
    mariadb.does("capability_switch", "root", "off", "--description", "not here")
    assert capabilities(mariadb)["root"] == "off"
    assert capabilities(mariadb, *VERSION) == {**before, "root": "off"}
    mariadb.does("capability_override", *VERSION, "root", "on")
    assert capabilities(mariadb, *VERSION) == before
    mariadb.does("capability_override", *VERSION, "users", "off")
    mariadb.does("capability_override", *VERSION, "root", "default")
    assert capabilities(mariadb, *VERSION) == {**before, "root": "off", "users": "off"}
    assert "version is needed" in mariadb.fails("capability_list", "mariadb")


@pytest.mark.parametrize("command", ["datastore_version_delete", "capability_list"])
def test_versions_of_one_name_are_told_apart(mariadb: Operator, command: str) -> None:
    mariadb.does("datastore_version_update", *VERSION, "mariadb", "image", "", "1",
                 "--version", "10.11.7")
    assert "--version" in mariadb.fails(command, *VERSION)
    mariadb.does(command, *VERSION, "--version", "10.11.7")
