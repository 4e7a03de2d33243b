"""The time of the store, on every kind of it, whatever the clock of the host says."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stores
from trove_ng.common import clock
from trove_ng.db.clock import StoreClock
from trove_ng.db.models import Operation
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway

HOUR = datetime.timedelta(hours=1)
SOON = datetime.timedelta(seconds=5)


class Steady:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(params=[one for one in stores.KINDS if one != "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty store on another host, so to speak."""
    with stores.emptied(stores.store_conf(
            stores.url(request.param, request, tmp_path))) as made:
        yield made


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"])
def off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> datetime.datetime:
    """Set the clock of this host; return the right time."""
    true = clock.utcnow()
    set_by, told = request.param, clock.utcnow
    monkeypatch.setattr(clock, "utcnow", lambda: told() + set_by)
    return true


def test_the_clock_of_the_host_does_not_matter(db: Database, off: datetime.datetime) -> None:
    assert abs(StoreClock(db).now() - off) < SOON


def test_a_host_whose_clock_is_off_takes_no_operation_of_others(
        db: Database, off: datetime.datetime) -> None:
    with db.writer() as session:
        operations.add(session, Operation(
            id="op", action="instance.create", resource_type="instance", resource_id="one",
            live_key="one", tenant_id="t", created=off))
        assert operations.claim(session, "op", "one", off, 30)
        assert operations.claim(session, "op", "two", StoreClock(db).now(), 30) is None


def test_between_two_looks_the_time_goes_on(db: Database) -> None:
    steady = Steady()
    ours = StoreClock(db, steady)
    begun = ours.now()
    steady.seconds += 59
    assert ours.now() - begun == datetime.timedelta(seconds=59)
    # that it did not pass is seen at the next look
    steady.seconds += 2
    assert ours.now() - begun < SOON


def test_a_store_that_is_away_is_asked_again(db: Database,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    steady = Steady()
    ours = StoreClock(db, steady)
    asked, connect = [], db.connection

    def away() -> object:
        asked.append(True)
        raise StoreAway

    monkeypatch.setattr(db, "connection", away)
    host = clock.utcnow()
    assert abs(ours.now() - host) < SOON
    assert abs(ours.now() - host) < SOON
    assert len(asked) == 1
    steady.seconds += 6
    monkeypatch.setattr(db, "connection", connect)
    told = clock.utcnow
    monkeypatch.setattr(clock, "utcnow", lambda: told() + HOUR)
    assert abs(ours.now() - host) < SOON
    # known once, it goes on without the store
    monkeypatch.setattr(db, "connection", away)
    before = ours.now()
    steady.seconds += 120
    assert ours.now() - before == datetime.timedelta(seconds=120)
