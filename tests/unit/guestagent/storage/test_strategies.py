"""How the agent finds the ways in which backups are made."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.base import Datastore, load_datastores
from trove_ng.guestagent.storage.backups import find_strategy, strategy_of
from trove_ng.rpc.messages import StoredBackup


@pytest.mark.parametrize("engine", [one for one in load_datastores().values()
                                    if one.capabilities.backups], ids=lambda one: one.manager)
def test_what_is_declared_is_installed_under_its_name(engine: Datastore) -> None:
    assert find_strategy(engine.manager, engine.backup_strategy).name == engine.backup_strategy


def test_each_engine_has_ways_of_its_own() -> None:
    assert find_strategy("mysql", "xtrabackup").tool.engine == "mysql"
    assert find_strategy("percona", "xtrabackup").tool.engine == "percona"
    with pytest.raises(BadRequest, match="strategy xtrabackup is not known"):
        find_strategy("mariadb", "xtrabackup")


def test_backups_of_different_ways_are_no_chain() -> None:
    def stored(strategy: str) -> StoredBackup:
        return StoredBackup(strategy=strategy, segments=[], checksum="", size=0)

    assert strategy_of([stored("mariabackup"), stored("mariabackup")]) == "mariabackup"
    with pytest.raises(BadRequest, match="needs backups"):
        strategy_of([])
    with pytest.raises(BadRequest, match="different ways: mariabackup, other"):
        strategy_of([stored("other"), stored("mariabackup"), stored("other")])
