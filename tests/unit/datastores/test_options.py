"""Options of the installed datastores."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from trove_ng.datastores import options
from trove_ng.datastores.base import load_datastores


def test_the_declared_way_of_backups_is_the_default() -> None:
    engine = load_datastores()["postgresql"]
    conf = cfg.ConfigOpts()
    options.register(conf)
    assert options.backup_strategy(conf, engine) == "pg_basebackup"


def test_a_file_of_configuration_names_another_one_for_one_datastore(tmp_path: Path) -> None:
    (tmp_path / "trove.conf").write_text("[postgresql]\nbackup_strategy = another\n")
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf(["--config-file", str(tmp_path / "trove.conf")])
    known = load_datastores()
    assert options.backup_strategy(conf, known["postgresql"]) == "another"
    assert options.backup_strategy(conf, known["redis"]) == "redis_rdb"


def test_each_datastore_with_backups_is_in_the_sample_configuration() -> None:
    assert {name for name, _ in options.list_opts()} == {
        name for name, one in load_datastores().items() if one.capabilities.backups}
