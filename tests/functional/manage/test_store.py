"""The schema, keys, quotas and operations."""

from __future__ import annotations

import datetime

import pytest
from oslo_config import cfg
from sqlalchemy import inspect, select

from trove_ng.common.crypto import DecryptError, SecretBox
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import (
    Base,
    Datastore,
    DatastoreVersion,
    Instance,
    Operation,
    OperationStep,
    QuotaUsage,
)
from trove_ng.db.repositories import instance_keys, operations
from trove_ng.db.session import Database
from trove_ng.operations import requests

from .conftest import Operator

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5)
OLD = "instance-key-for-tests"
NEW = "the-newest-key-for-tests"


def test_the_schema_is_made_wiped_and_made_again(
        operator: Operator, database: Database) -> None:
    assert "--yes" in operator.fails("db_wipe")
    assert set(inspect(database.engine).get_table_names()) >= set(Base.metadata.tables)
    for _ in range(2):
        operator.does("db_wipe", "--yes")
        assert inspect(database.engine).get_table_names() == []
    assert operator.does("db_version")[0].startswith("empty")
    assert "db_sync" in operator.fails("datastore_update", "mariadb", "")
    for _ in range(2):
        operator.does("db_sync")
        assert migrations.current(database.engine) == migrations.head()
    assert operator.does("db_upgrade", "--version", "head")


def test_an_unknown_revision(operator: Operator) -> None:
    assert "9999" in operator.fails("db_upgrade", "--version", "9999")


def test_keys_are_made_without_a_store(operator: Operator) -> None:
    operator.conf.set_override("connection", None, group="database")
    first = operator.does("generate_keys")
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt("taskmanager_rpc_encr_key"),
                        cfg.StrOpt("inst_rpc_key_encr_key")])
    assert first[1] == "[DEFAULT]"
    values = [line.split(" = ")[1] for line in first[2:]]
    assert len(set(values)) == 2
    assert all(len(value) >= 43 for value in values)
    assert operator.does("generate_keys") != first
    assert "connection" in operator.fails("db_version")


def _instance(database: Database, ident: str) -> None:
    with database.writer() as session:
        datastore = Datastore(name="mariadb")
        session.add(datastore)
        session.flush()
        version = DatastoreVersion(
            datastore_id=datastore.id, name="10.11", version="10.11", manager="mariadb")
        session.add(version)
        session.flush()
        session.add(Instance(id=ident, tenant_id="p", name=ident, volume_size=2,
                             flavor_ram=512, flavor_id="1", datastore_version_id=version.id))


def _operation(database: Database, ident: str, secrets: str | None = None) -> None:
    with database.writer() as session:
        operations.add(session, Operation(
            id=ident, action="instance.create", resource_type="instance", resource_id=ident,
            live_key=ident, tenant_id="p", secrets=secrets, created=NOW))


def test_after_resealing_the_old_key_is_needed_no_more(
        operator: Operator, database: Database) -> None:
    _instance(database, "i")
    with database.writer() as session:
        key = instance_keys.create(session, SecretBox([OLD], instance_keys.PURPOSE), "i")
    _operation(database, "o", SecretBox([OLD], requests.PURPOSE).seal("password", "o"))
    _operation(database, "without-secrets")
    operator.conf.set_override("inst_rpc_key_encr_key", [NEW, OLD])
    said = operator.does("instance_keys_reseal")
    assert said[0].startswith(
        "1 keys of guests, 0 keys of backups and the secrets of 1 operations")
    with database.reader() as session:
        assert instance_keys.read(session, SecretBox([NEW], instance_keys.PURPOSE), "i") == key
        with pytest.raises(DecryptError):
            instance_keys.read(session, SecretBox([OLD], instance_keys.PURPOSE), "i")
        sealed = session.get_one(Operation, "o").secrets
        assert sealed is not None
        assert SecretBox([NEW], requests.PURPOSE).open(sealed, "o") == "password"


def test_resealing_without_the_old_key_changes_nothing(
        operator: Operator, database: Database) -> None:
    _instance(database, "i")
    with database.writer() as session:
        instance_keys.create(session, SecretBox([OLD], instance_keys.PURPOSE), "i")
    _operation(database, "o", SecretBox(["lost"], requests.PURPOSE).seal("password", "o"))
    operator.conf.set_override("inst_rpc_key_encr_key", [NEW, OLD])
    line = operator.fails("instance_keys_reseal")
    assert "old inst_rpc_key_encr_key" in line
    assert OLD not in line
    with database.reader() as session:
        assert instance_keys.read(session, SecretBox([OLD], instance_keys.PURPOSE), "i")


@pytest.mark.parametrize("keys", [[], [""]])
def test_resealing_without_keys(operator: Operator, keys: list[str]) -> None:
    operator.conf.set_override("inst_rpc_key_encr_key", keys)
    assert "not configured" in operator.fails("instance_keys_reseal")


def test_a_quota_is_shown_set_and_counted_again(
        operator: Operator, database: Database) -> None:
    _instance(database, "i")
    with database.writer() as session:
        session.add(QuotaUsage(tenant_id="p", resource="instances", in_use=5, reserved=0))
    operator.does("quota_update", "p", "instances", "7")
    shown = {line.partition(":")[0]: line for line in operator.does("quota_show", "p")}
    assert shown["instances"] == (
        "instances: 5 of 7 in use, of which 0 reserved; 1 counted")
    assert sorted(shown) == ["backups", "instances", "ram", "volumes"]
    changes = operator.does("quota_recount", "p")
    assert "instances: 5 → 1" in changes
    assert operator.does("quota_recount", "p") == ["0 counts were wrong"]
    with database.reader() as session:
        used = dict(session.execute(
            select(QuotaUsage.resource, QuotaUsage.in_use)).tuples().all())
    assert used == {"instances": 1, "volumes": 2, "ram": 512, "backups": 0}
    assert "instances" in operator.fails("quota_update", "p", "nonsense", "7")


def test_operations_are_listed_and_shown(operator: Operator, database: Database) -> None:
    assert operator.does("operation_list") == ["0 operations"]
    _operation(database, "o1", "sealed-text")
    _operation(database, "o2")
    with database.writer() as session:
        session.add(OperationStep(
            operation_id="o1", step="create_server", state="FAILED", attempts=3,
            started_at=NOW, ended_at=NOW, error="the cloud said no"))
        operations.end(session, "o2", operations.SUCCEEDED, None, NOW)
    listed = operator.does("operation_list")
    assert listed[-1] == "1 operations"
    assert listed[0].startswith("o1 ")
    assert operator.does("operation_list", "--all")[-1] == "2 operations"
    assert operator.does("operation_list", "--all", "--limit", "1")[-1] == "1 operations"
    shown = operator.does("operation_show", "o1")
    assert "status: PENDING" in shown
    assert any("create_server: FAILED, 3×" in line and "the cloud said no" in line
               for line in shown)
    assert not any("sealed-text" in line for line in shown)
    assert "nowhere" in operator.fails("operation_show", "nowhere")
