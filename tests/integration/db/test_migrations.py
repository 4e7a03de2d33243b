"""The migrations make what the models say, on each kind of store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData, create_engine

from tests import stores
from trove_ng.db.migrations import api
from trove_ng.db.models import Base


@pytest.fixture(params=stores.KINDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty store without a schema."""
    made = create_engine(stores.url(request.param, request, tmp_path))
    found = MetaData()
    found.reflect(made)
    found.drop_all(made)
    yield made
    made.dispose()


def test_the_migrated_store_is_what_the_models_say(engine: Engine) -> None:
    api.upgrade(engine)
    assert api.current(engine) == api.head()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_second_upgrade_changes_nothing(engine: Engine) -> None:
    api.upgrade(engine)
    api.upgrade(engine)
    assert api.current(engine) == api.head()


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"], indirect=True)
def test_upgrades_at_once_all_end_well(engine: Engine) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            api.upgrade(create_engine(engine.url))
        except BaseException as err:  # noqa: BLE001  told by the assertion
            failures.append(err)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert api.current(engine) == api.head()
