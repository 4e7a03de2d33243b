"""Datastores, their versions, and what limits these."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from trove_ng.datastores import base
from trove_ng.db.models import (
    Datastore,
    DatastoreConfigurationParameter,
    DatastoreVersion,
    DatastoreVersionMetadata,
)
from trove_ng.db.repositories import datastores
from trove_ng.db.session import Database

from .conftest import Operator


def _versions(database: Database) -> list[tuple[object, ...]]:
    with database.reader() as session:
        return [tuple(row) for row in session.execute(select(
            DatastoreVersion.name, DatastoreVersion.version, DatastoreVersion.manager,
            DatastoreVersion.image_id, DatastoreVersion.image_tags, DatastoreVersion.packages,
            DatastoreVersion.active).order_by(DatastoreVersion.version))]


def _parameters(database: Database) -> dict[str, tuple[object, ...]]:
    row = DatastoreConfigurationParameter
    with database.reader() as session:
        return {found[0]: tuple(found[1:]) for found in session.execute(select(
            row.name, row.data_type, row.min_size, row.max_size, row.restart_required).where(
                row.deleted.is_(False)))}


def test_a_datastore_its_version_and_its_default(mariadb: Operator, database: Database) -> None:
    mariadb.does("datastore_update", "mariadb", "10.11")
    assert _versions(database) == [
        ("10.11", "10.11", "mariadb", None, "trove,mariadb", "", True)]
    with database.reader() as session:
        row = session.scalars(select(Datastore)).one()
        version = session.scalars(select(DatastoreVersion)).one()
        assert (row.name, row.default_version_id) == ("mariadb", version.id)
        # and customers see it
        assert datastores.find_versions(session, "10.11", "some-project")
    mariadb.does("datastore_update", "mariadb", "")
    with database.reader() as session:
        assert session.scalars(select(Datastore)).one().default_version_id is None


def test_a_command_may_be_repeated(mariadb: Operator, database: Database) -> None:
    words = ("datastore_version_update", "mariadb", "10.11", "mariadb", "", "", "1",
             "--image-tags", "trove,mariadb")
    before = _versions(database)
    mariadb.does(*words)
    mariadb.does("datastore_update", "mariadb", "10.11")
    mariadb.does("datastore_update", "mariadb", "10.11")
    assert _versions(database) == before


def test_a_version_is_changed(mariadb: Operator, database: Database) -> None:
    mariadb.does("datastore_version_update", "mariadb", "10.11", "mariadb", "image-1",
                 "mariadb-server", "0")
    assert _versions(database) == [
        ("10.11", "10.11", "mariadb", "image-1", None, "mariadb-server", False)]


def test_versions_of_one_name_are_told_apart_by_number(
        operator: Operator, database: Database) -> None:
    operator.does("datastore_update", "mariadb", "")
    update = ("datastore_version_update", "mariadb", "10.11", "mariadb")
    operator.does(*update, "image-6", "", "1", "--version", "10.11.6")
    # the only one of this name needs no number
    operator.does(*update, "image-6b", "", "1")
    operator.does(*update, "image-7", "", "1", "--version", "10.11.7")
    assert [(row[1], row[3]) for row in _versions(database)] == [
        ("10.11.6", "image-6b"), ("10.11.7", "image-7")]
    assert "--version" in operator.fails(*update, "image-8", "", "1")
    assert "--version" in operator.fails("datastore_update", "mariadb", "10.11")


def test_what_does_not_exist_is_named(mariadb: Operator, database: Database) -> None:
    assert "mysql" in mariadb.fails("datastore_version_update", "mysql", "8", "mariadb",
                                    "image", "", "1")
    assert "9.9" in mariadb.fails("datastore_update", "mariadb", "9.9")
    assert "no-such" in mariadb.fails("datastore_version_update", "mariadb", "11", "no-such",
                                      "image", "", "1")
    assert "--image-tags" in mariadb.fails("datastore_version_update", "mariadb", "11",
                                           "mariadb", "", "", "1")
    assert len(_versions(database)) == 1


def test_nothing_is_left_of_a_command_that_failed(
        operator: Operator, database: Database) -> None:
    operator.fails("datastore_update", "mariadb", "10.11")
    with database.reader() as session:
        assert session.scalars(select(Datastore)).all() == []


def test_an_id_wins_over_a_name_that_looks_like_it(
        operator: Operator, database: Database) -> None:
    operator.does("datastore_update", "mariadb", "")
    with database.reader() as session:
        ident = session.scalars(select(Datastore.id)).one()
    operator.does("datastore_update", ident, "")
    operator.does("datastore_version_update", ident, "10.11", "mariadb", "image", "", "1")
    with database.reader() as session:
        assert session.scalars(select(DatastoreVersion.datastore_id)).one() == ident


def test_the_datastores_own_parameters_are_loaded(mariadb: Operator, database: Database) -> None:
    own = base.get("mariadb").parameters("10.11")
    said = mariadb.does("db_load_datastore_config_parameters", "mariadb", "10.11")
    assert said == [f"{len(own)} parameters are loaded"]
    found = _parameters(database)
    assert sorted(found) == sorted(one.name for one in own)
    assert found["max_connections"][0] == "integer"
    mariadb.does("db_load_datastore_config_parameters", "mariadb", "10.11")
    assert _parameters(database) == found


@pytest.mark.parametrize(("manager", "number", "known"), [
    ("mysql", "5.7.44", True), ("mysql", "8.4.2", False), ("percona", "8.0.36-28", False)])
def test_the_parameters_are_those_of_the_versions_number(
        operator: Operator, database: Database, manager: str, number: str, known: bool) -> None:
    operator.does("datastore_update", manager, "")
    operator.does("datastore_version_update", manager, "v", manager, "image", "", "1",
                  "--version", number)
    operator.does("db_load_datastore_config_parameters", manager, "v", "--version", number)
    found = _parameters(database)
    assert "max_connections" in found
    assert ("query_cache_size" in found) is known


def test_parameters_of_a_file_replace_those_of_before(
        mariadb: Operator, database: Database, tmp_path: Path) -> None:
    mariadb.does("db_load_datastore_config_parameters", "mariadb", "10.11")
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"configuration-parameters": [
        {"name": "max_connections", "type": "integer", "min": 1, "max": 7},
        {"name": "own", "type": "string", "restart_required": True}]}))
    mariadb.does("db_load_datastore_config_parameters", "mariadb", "10.11", str(file))
    assert _parameters(database) == {
        "max_connections": ("integer", "1", "7", False), "own": ("string", None, None, True)}
    mariadb.does("db_load_datastore_config_parameters", "mariadb", "10.11")
    assert "own" not in _parameters(database)


def test_all_kinds_and_choices_are_loaded_and_settings_of_ours_are_refused(
        mariadb: Operator, database: Database, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    load = ("db_load_datastore_config_parameters", "mariadb", "10.11", str(file))
    file.write_text(json.dumps({"configuration-parameters": [
        {"name": "modes", "type": "list", "choices": ["a", "b"], "description": "d"},
        {"name": "share", "type": "float", "min": 0, "max": 1}]}))
    mariadb.does(*load)
    with database.reader() as session:
        row = session.scalars(select(DatastoreConfigurationParameter).where(
            DatastoreConfigurationParameter.name == "modes")).one()
        assert (row.data_type, row.choices, row.description) == ("list", ["a", "b"], "d")
    file.write_text(json.dumps({"configuration-parameters": [
        {"name": "datadir", "type": "string"}]}))
    assert "datadir" in mariadb.fails(*load)
    assert sorted(_parameters(database)) == ["modes", "share"]


@pytest.mark.parametrize("text", ["{", "[]", '{"configuration-parameters": [{"name": "x"}]}'])
def test_a_file_of_another_form_changes_nothing(
        mariadb: Operator, database: Database, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(text)
    load = ("db_load_datastore_config_parameters", "mariadb", "10.11")
    assert str(file) in mariadb.fails(*load, str(file))
    assert "missing.json" in mariadb.fails(*load, str(tmp_path / "missing.json"))
    assert _parameters(database) == {}


@pytest.mark.parametrize(("word", "key"), [("flavor", "flavor"),
                                           ("volume_type", "volume-type")])
def test_a_version_is_limited(mariadb: Operator, database: Database, word: str,
                              key: str) -> None:
    version = ("mariadb", "10.11")
    assert mariadb.does(f"datastore_version_{word}_list", *version)[0].startswith("every")
    # what is named twice is meant once
    mariadb.does(f"datastore_version_{word}_add", *version, "1,2,1")
    what = key.replace("-", " ")
    # all or none of them
    assert mariadb.fails(f"datastore_version_{word}_add", *version, "3,2").endswith(
        f"is bound to {what} 2 already.")
    mariadb.does(f"datastore_version_{word}_add", *version, "3")
    with database.reader() as session:
        ident = session.scalars(select(DatastoreVersion.id)).one()
        assert datastores.bindings(session, ident) == {key: ["1", "2", "3"]}
    mariadb.does(f"datastore_version_{word}_delete", *version, "2")
    assert mariadb.does(f"datastore_version_{word}_list", *version) == ["1\n3"]
    assert mariadb.fails(f"datastore_version_{word}_delete", *version, "2").endswith(
        f"is not bound to {what} 2.")
    # what was taken away comes back as the same row
    mariadb.does(f"datastore_version_{word}_add", *version, "2")
    with database.reader() as session:
        assert len(session.scalars(select(DatastoreVersionMetadata)).all()) == 3
