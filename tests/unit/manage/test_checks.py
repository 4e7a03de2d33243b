"""What ``trove-status`` says of a configuration, without a store."""

from __future__ import annotations

from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_upgradecheck.upgradecheck import Code

from trove_ng.conf import database, rpc
from trove_ng.manage.checks import Checks


@pytest.fixture
def conf() -> cfg.ConfigOpts:
    made = cfg.ConfigOpts()
    database.register(made)
    rpc.register(made)
    made([], project="trove", default_config_files=[])
    return made


def test_a_store_that_is_not_configured(conf: cfg.ConfigOpts) -> None:
    result = Checks(conf).store()
    assert result.code is Code.FAILURE
    assert "not configured" in result.details


@pytest.mark.parametrize(("url", "word"), [
    ("nonsense", "URL"),
    ("sqlite:////no/such/directory/store.db", "unable to open"),
    ("oracle+oracledb://u:not-to-be-seen@127.0.0.1/x", "oracledb"),
])
def test_a_store_that_does_not_answer(conf: cfg.ConfigOpts, url: str, word: str) -> None:
    conf.set_override("connection", url, group="database")
    checks = Checks(conf)
    result = checks.store()
    assert result.code is Code.FAILURE
    assert word in result.details
    assert "not-to-be-seen" not in result.details
    assert len(result.details.splitlines()) == 1
    for other in (checks.schema(), checks.managers()):
        assert other.code is Code.FAILURE
        assert other.details.startswith("Unknown without")


def test_a_store_without_a_schema(conf: cfg.ConfigOpts, tmp_path: Path) -> None:
    conf.set_override("connection", f"sqlite:///{tmp_path}/store.db", group="database")
    checks = Checks(conf)
    assert checks.store().code is Code.SUCCESS
    assert checks.schema().code is Code.FAILURE
    assert "db_sync" in checks.schema().details


@pytest.mark.parametrize("keys", [[], [""], ["good", ""]])
def test_services_would_not_start_with_these_keys(
        conf: cfg.ConfigOpts, keys: list[str]) -> None:
    conf.set_override("taskmanager_rpc_encr_key", ["good"])
    conf.set_override("inst_rpc_key_encr_key", keys)
    result = Checks(conf).keys()
    assert result.code is Code.FAILURE
    assert "inst_rpc_key_encr_key" in result.details
    assert "taskmanager_rpc_encr_key" not in result.details
    assert "good" not in result.details


def test_keys_that_are_configured(conf: cfg.ConfigOpts) -> None:
    conf.set_override("taskmanager_rpc_encr_key", ["one"])
    conf.set_override("inst_rpc_key_encr_key", ["two", "old"])
    assert Checks(conf).keys().code is Code.SUCCESS
