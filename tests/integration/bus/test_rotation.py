"""A guest's key is changed while messages flow over a real broker."""

from __future__ import annotations

from pathlib import Path

from tests.functional.rpc import test_rotation
from tests.servers import rabbitmq
from trove_ng.conf import database as database_conf
from trove_ng.db.migrations import api as migrations
from trove_ng.db.session import Database

from .conftest import configuration


def test_a_guests_key_is_changed_under_load(broker: rabbitmq.Broker, tmp_path: Path) -> None:
    conf = configuration(broker.url)
    database_conf.register(conf)
    conf.set_override("connection", f"sqlite:///{tmp_path}/store.db", group="database")
    conf.set_override("inst_rpc_key_encr_key", ["instance-key-for-tests"])
    database = Database(conf)
    migrations.upgrade(database.engine)
    lab = test_rotation.Lab(conf, database, tmp_path / "agent", broker.url)
    lab.serve_agent()
    try:
        test_rotation.test_a_guests_key_is_changed_under_load(lab)
    finally:
        lab.stop()
