"""What a page of a list costs a MariaDB whose statistics are older than the rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from oslo_config import cfg
from sqlalchemy import Connection, insert

from tests.servers import mariadb
from trove_ng.common.clock import utcnow
from trove_ng.conf import database as database_conf
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import Datastore, DatastoreVersion, Instance, ServiceStatusRow
from trove_ng.db.repositories import instance_views
from trove_ng.db.session import Database

ROWS = 2000
PAGE = 20


@pytest.fixture(scope="module")
def stale() -> Iterator[Database]:
    """A store that was filled after its statistics were taken."""
    with mariadb.server() as server:
        conf = cfg.ConfigOpts()
        database_conf.register(conf)
        conf([], project="trove")
        conf.set_override("connection", server.url, group="database")
        db = Database(conf)
        migrations.upgrade(db.engine)
        server.execute("SET GLOBAL innodb_stats_auto_recalc = OFF")
        _fill(db, 3)
        server.execute("ANALYZE TABLE trove.instances, trove.service_statuses, trove.backups")
        _fill(db, ROWS)
        yield db


def _fill(db: Database, rows: int) -> None:
    now, made = utcnow(), [str(uuid.uuid4()) for _ in range(rows)]
    with db.writer() as session:
        if session.get(Datastore, "d") is None:
            session.add(Datastore(id="d", name="mariadb"))
            session.flush()
            session.add(DatastoreVersion(
                id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb",
                created=now, updated=now))
            session.flush()
        session.execute(insert(Instance), [
            {"id": one, "name": "db", "tenant_id": "t", "flavor_id": "1", "volume_size": 1,
             "datastore_version_id": "v", "created": now, "updated": now} for one in made])
        session.execute(insert(ServiceStatusRow), [
            {"instance_id": one, "status": "HEALTHY", "sequence": 0, "updated_at": now}
            for one in made])


def _rows_read(connection: Connection) -> int:
    return sum(int(count) for _, count in connection.exec_driver_sql(
        "SHOW SESSION STATUS LIKE 'Handler\\_read%%'", ()).all())


@pytest.mark.parametrize("shape", list(instance_views.Shape))
@pytest.mark.parametrize("tenant_id", ["t", None])
def test_a_page_reads_no_more_rows_than_it_shows_and_joins(
        stale: Database, shape: instance_views.Shape, tenant_id: str | None) -> None:
    with stale.reader() as session:
        connection = session.connection()
        before = _rows_read(connection)
        rows = instance_views.page(
            connection, tenant_id=tenant_id, limit=PAGE, shape=shape)
        read = _rows_read(connection) - before

    assert len(rows) == PAGE + 1
    assert read < 20 * PAGE
