"""How what waits is sent, and what comes of itself."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from typing import Any

import pytest
from oslo_config import cfg
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from tests.functional.taskmanager.test_measures import NOW, FixedClock
from tests.scrape import Scrape
from trove_ng.cloud.types import Flavor
from trove_ng.common import metrics as m
from trove_ng.common import notifications as told
from trove_ng.common.errors import ServiceUnavailable
from trove_ng.common.prometheus import PrometheusRecorder
from trove_ng.conf import base, quota, taskmanager
from trove_ng.db.models import (
    Datastore,
    DatastoreVersion,
    Instance,
    Notification,
    Quota,
    QuotaUsage,
    ServiceStatusRow,
)
from trove_ng.db.repositories import notifications
from trove_ng.db.session import Database
from trove_ng.operations import usage
from trove_ng.operations.duty import Duty
from trove_ng.rpc.notifier import NotSent
from trove_ng.taskmanager.notifications import EXISTS, SENDING, Bound, Facts, Relay


class Catalog:
    """Flavors; ``away`` when the cloud does not answer."""

    away = False

    def get_flavor(self, ident: str) -> Flavor | None:
        if self.away:
            raise ServiceUnavailable("The cloud does not answer.")
        return Flavor("1", "db.tiny", 512, 1, 5) if ident == "1" else None


class Lab:
    """Relays on one store, and somebody who is told."""

    def __init__(self, db: Database, most: int = 1000) -> None:
        self.db, self.most = db, most
        self.clock, self.catalog = FixedClock(), Catalog()
        self.heard: list[dict[str, Any]] = []
        #: whether a message cannot be sent
        self.refuses: Callable[[dict[str, Any]], bool] = lambda _message: False
        self.registry = CollectorRegistry()
        self._recorder = PrometheusRecorder(self.registry, m.TASKMANAGER)

    def send(self, message: dict[str, Any], context: dict[str, str]) -> None:
        if self.refuses(message):
            raise NotSent("The driver raised X.")
        self.heard.append(message | {"context": context})

    def relay(self, owner: str = "one") -> Relay:
        bound = Bound(self.db, self.most, self._recorder)
        return Relay(self.db, self.clock, self, Duty(self.db, self.clock, SENDING, owner),
                     self.catalog, bound, lambda: "192.0.2.7", "host", self._recorder,
                     patience=5)

    def add(self, *names: str, seconds: float = 0) -> list[str]:
        """Let notifications wait, due in so many seconds."""
        due = None
        if seconds:
            due = self.clock.now() + datetime.timedelta(seconds=seconds)
        with self.db.writer() as session:
            return [notifications.add(session, name, {"n": name}, {"request_id": "r"},
                                      self.clock.now(), due_at=due) for name in names]

    def events(self) -> list[str]:
        return [one["event_type"] for one in self.heard]

    def waiting(self) -> int:
        with self.db.reader() as session:
            return session.scalar(select(func.count()).select_from(Notification)) or 0

    def counts(self) -> dict[str, float]:
        scrape = Scrape.of(self.registry)
        return {outcome: scrape.get(m.NOTIFICATIONS.name, outcome=outcome)
                for outcome in ("sent", "failed", "dropped")}


@pytest.fixture
def lab(database: Database) -> Lab:
    return Lab(database)


def test_what_is_due_is_sent_once_in_its_order(lab: Lab) -> None:
    names = [f"e{number:03}" for number in range(250)]
    lab.add(*names)
    lab.add("later", seconds=5)
    relay = lab.relay()
    relay.run()
    relay.run()
    assert lab.events() == names
    assert len({one["message_id"] for one in lab.heard}) == 250
    first = lab.heard[0]
    assert (first["publisher_id"], first["priority"], first["payload"], first["context"]) == (
        "taskmanager.host", "INFO", {"n": "e000"}, {"request_id": "r"})
    assert first["timestamp"] == str(NOW)
    lab.clock.seconds = 6
    relay.run()
    assert lab.events()[-1] == "later"
    assert lab.waiting() == 0
    assert lab.counts() == {"sent": 251, "failed": 0, "dropped": 0}


def test_what_cannot_be_sent_waits(lab: Lab) -> None:
    lab.add("a", "b", "c")
    lab.refuses = lambda message: message["event_type"] == "b"
    relay = lab.relay()
    relay.run()
    assert (lab.events(), lab.waiting()) == (["a"], 2)
    lab.refuses = lambda _message: False
    relay.run()
    assert (lab.events(), lab.waiting()) == (["a", "b", "c"], 0)
    assert lab.counts() == {"sent": 3, "failed": 1, "dropped": 0}


def test_a_driver_that_is_away_loses_nothing(lab: Lab) -> None:
    lab.add("a", "b", "c")
    lab.refuses = lambda _message: True
    relay = lab.relay()
    for _ in range(13):
        relay.run()
    assert lab.waiting() == 3
    lab.refuses = lambda _message: False
    relay.run()
    assert sorted(lab.events()) == ["a", "b", "c"]


def test_one_message_that_is_never_taken_does_not_hold_up_the_others(lab: Lab) -> None:
    lab.add("bad", "b", "c")
    lab.refuses = lambda message: message["event_type"] == "bad"
    relay = lab.relay()
    for _ in range(6):
        relay.run()
    assert (lab.events(), lab.waiting()) == (["b", "c"], 0)
    assert lab.counts() == {"sent": 2, "failed": 6, "dropped": 1}


def test_a_driver_that_is_back_when_another_message_is_tried(lab: Lab) -> None:
    lab.add("a", "b", "c")
    lab.refuses = lambda _message: True
    relay = lab.relay()
    for _ in range(5):
        relay.run()
    lab.refuses = lambda _message: False
    relay.run()
    assert (lab.events(), lab.waiting()) == (["b", "a", "c"], 0)
    assert lab.counts()["dropped"] == 0


def test_of_too_many_the_oldest_are_dropped_and_counted(database: Database) -> None:
    lab = Lab(database, most=3)
    lab.add(*"abcdefg")
    lab.refuses = lambda _message: True
    relay = lab.relay()
    relay.run()
    relay.run()
    assert lab.waiting() == 3
    lab.refuses = lambda _message: False
    relay.run()
    assert lab.events() == ["e", "f", "g"]
    assert lab.counts()["dropped"] == 4


class Killed(BaseException):
    """The process is gone."""


def test_another_taskmanager_sends_again_with_the_same_ids(
        lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    idents = lab.add("a", "b")

    def die(*_values: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(notifications, "remove", die)
        # a process that is killed ends no duty
        patch.setattr(Duty, "end", lambda _self: None)
        with pytest.raises(Killed):
            lab.relay().run()
    other = lab.relay("two")
    other.run()
    assert lab.events() == ["a", "b"]
    lab.clock.seconds = 121
    other.run()
    assert lab.events() == ["a", "b", "a", "b"]
    assert [one["message_id"] for one in lab.heard] == idents * 2
    assert lab.waiting() == 0


def test_one_taskmanager_sends_at_a_time(lab: Lab) -> None:
    lab.add(*[f"e{number}" for number in range(40)])
    relays = [lab.relay(f"tm-{number}") for number in range(4)]
    threads = [threading.Thread(target=one.run) for one in relays]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(lab.heard) == len({one["message_id"] for one in lab.heard}) == 40


def test_the_sender_adds_its_address_and_the_flavors_name(lab: Lab) -> None:
    with lab.db.writer() as session:
        for payload in ({"instance_type_id": "1"}, {"instance_type_id": "9"}):
            notifications.add(session, told.EXISTS, payload, {}, lab.clock.now())
        notifications.add(session, "dbaas.x.end", {"server_ip": ""}, {}, lab.clock.now())
        notifications.add(session, "dbaas.x.start", {"server_ip": "192.0.2.1:8779"}, {},
                          lab.clock.now(), publisher="api.other")
    lab.relay().run()
    assert [one["payload"] for one in lab.heard] == [
        {"instance_type_id": "1", "instance_type": "db.tiny"},
        {"instance_type_id": "9", "instance_type": "9"},
        {"server_ip": "192.0.2.7"}, {"server_ip": "192.0.2.1:8779"}]
    assert lab.heard[-1]["publisher_id"] == "api.other"


def test_a_cloud_that_is_away_delays_nothing(lab: Lab) -> None:
    lab.catalog.away = True
    with lab.db.writer() as session:
        notifications.add(session, told.EXISTS, {"instance_type_id": "1"}, {},
                          lab.clock.now())
    lab.relay().run()
    assert lab.heard[0]["payload"]["instance_type"] == "1"


# ---- what comes of itself

@pytest.fixture
def conf(store_conf: cfg.ConfigOpts) -> cfg.ConfigOpts:
    for one in (base, quota, taskmanager):
        one.register(store_conf)
    return store_conf


def _instances(db: Database, count: int) -> None:
    early = NOW - datetime.timedelta(days=1)
    with db.writer() as session:
        session.add(Datastore(id="d", name="mariadb"))
        session.flush()
        session.add(DatastoreVersion(id="v", datastore_id="d", name="10", version="10",
                                     manager="mariadb"))
        session.flush()
        for number in range(count):
            session.add(Instance(
                id=f"i{number:04}", name=f"db{number}", tenant_id="t", user_id="u",
                flavor_id="1", flavor_ram=512, server_status="ACTIVE", region_id="R",
                compute_instance_id="s", datastore_version_id="v", created=early,
                updated=early))
        session.flush()
        session.add(ServiceStatusRow(instance_id="i0000", status="HEALTHY"))
        for ident, more in (("gone", {"deleted": True}), ("new", {"created": NOW})):
            session.add(Instance(**{
                "id": ident, "name": ident, "tenant_id": "t", "flavor_id": "1",
                "datastore_version_id": "v", "created": early, "updated": early} | more))


def exists(lab: Lab, conf: cfg.ConfigOpts, owner: str = "one") -> Facts:
    return Facts(lab.db, lab.clock, Duty(lab.db, lab.clock, EXISTS, owner), 3600,
                 lambda session, beginning, ending, after: usage.tell_exists(
                     session, conf, beginning, ending, after, lab.clock.now()))


def test_each_instance_is_told_once_in_a_period(lab: Lab, conf: cfg.ConfigOpts) -> None:
    conf.set_override("notification_service_id", {"mariadb": "service"})
    _instances(lab.db, 2 * usage.PAGE)
    lab.clock.seconds = 1800  # half past twelve
    for owner in ("one", "one", "two"):
        exists(lab, conf, owner).run()
    lab.relay().run()
    assert sorted(one["payload"]["instance_id"] for one in lab.heard) == [
        f"i{number:04}" for number in range(2 * usage.PAGE)]
    first = next(one["payload"] for one in lab.heard
                 if one["payload"]["instance_id"] == "i0000")
    assert set(first) == set(told.FACTS[told.EXISTS])
    assert first == {
        "tenant_id": "t", "user_id": "u", "instance_id": "i0000", "instance_name": "db0",
        "display_name": "db0", "instance_type": "db.tiny", "instance_type_id": "1",
        "launched_at": "2026-01-01T12:00:00", "created_at": "2026-01-01T12:00:00",
        "state": "ACTIVE", "state_description": "task NONE, database HEALTHY",
        "nova_instance_id": "s", "service_id": "service", "region": "R",
        "audit_period_beginning": "2026-01-02T11:00:00",
        "audit_period_ending": "2026-01-02T12:00:00"}
    lab.clock.seconds = 3600
    exists(lab, conf).run()
    with lab.db.reader() as session:
        assert session.scalar(select(func.count()).select_from(Notification)) == (
            2 * usage.PAGE + 1)


def test_who_dies_in_the_middle_is_followed_without_a_second_message(
        lab: Lab, conf: cfg.ConfigOpts, monkeypatch: pytest.MonkeyPatch) -> None:
    _instances(lab.db, usage.PAGE + 5)
    lab.clock.seconds = 60
    page, pages = Facts._page, []

    def die_at_the_second(self: Facts, *values: Any) -> str | None:
        pages.append(values)
        if len(pages) == 2:
            raise Killed
        return page(self, *values)

    monkeypatch.setattr(Facts, "_page", die_at_the_second)
    with pytest.raises(Killed):
        exists(lab, conf).run()
    assert lab.waiting() == usage.PAGE
    exists(lab, conf, "two").run()
    assert lab.waiting() == usage.PAGE
    lab.clock.seconds = 200
    exists(lab, conf, "two").run()
    assert lab.waiting() == usage.PAGE + 5


def test_quotas_are_told_for_each_project_and_resource(
        lab: Lab, conf: cfg.ConfigOpts) -> None:
    with lab.db.writer() as session:
        session.add(Quota(tenant_id="t1", resource="instances", hard_limit=7))
        for tenant in ("t1", "t2"):
            session.add(QuotaUsage(tenant_id=tenant, resource="instances", in_use=2,
                                   reserved=1, created=NOW, updated=NOW))
    lab.clock.seconds = 1
    Facts(lab.db, lab.clock, Duty(lab.db, lab.clock, "q", "one"), 60,
          lambda session, _beginning, ending, after: usage.tell_quotas(
              session, conf, ending, after, lab.clock.now())).run()
    lab.relay().run()
    assert {one["event_type"] for one in lab.heard} == {"dbaas.quota"}
    rows = sorted((one["payload"] for one in lab.heard), key=lambda one: one["tenant_id"])
    assert rows == [
        {"tenant_id": tenant, "resource": "instances", "in_use": 1, "reserved": 1,
         "limit": limit, "updated": "2026-01-02T12:00:00"}
        for tenant, limit in (("t1", 7), ("t2", conf.max_instances_per_tenant))]
