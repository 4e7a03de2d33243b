"""Requests at the same moment, carried out to their end: nothing is left over or lost."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import webtest
from sqlalchemy import func, select

from tests.functional.control_plane.conftest import NOTHING, ONE, ControlPlane
from trove_ng.db.models import Backup, Instance, Operation

NEW = {"instance": {"name": "db", "flavorRef": "1", "volume": {"size": 1},
                    "datastore": {"type": "mariadb", "version": "10.11"}}}
FREE = {"instances": (0, 0), "volumes": (0, 0), "ram": (0, 0), "backups": (0, 0)}
FORCE = {"reset_status": {"force_delete": True}}


def at_once(plane: ControlPlane, asked: Sequence[tuple[str, str, Any]]) -> list[int]:
    """Send all at the same moment; return the statuses of the answers."""
    begin = threading.Barrier(len(asked))

    def ask(one: tuple[str, str, Any]) -> int:
        method, path, body = one
        client = webtest.TestApp(plane.app.app)
        begin.wait(60)
        more = {} if body is None else {"params": body}
        send = client.delete if method == "DELETE" else client.post_json
        answer = send(f"{plane.url}{path}", expect_errors=True,
                      headers={"X-Auth-Token": "demo"}, **more)
        assert answer.status_int < 500, answer.text
        return int(answer.status_int)

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(ask, asked))


def settle(plane: ControlPlane, seconds: float = 60) -> None:
    """Wait until no operation is left to do."""
    end = time.monotonic() + seconds
    while live(plane):
        assert time.monotonic() < end, live(plane)
        time.sleep(0.05)


def live(plane: ControlPlane) -> list[str]:
    with plane.db.reader() as session:
        return list(session.scalars(select(Operation.action).where(
            Operation.live_key.is_not(None))))


def rows(plane: ControlPlane, table: Any) -> int:
    with plane.db.reader() as session:
        return int(session.scalar(select(func.count()).select_from(table).where(
            table.deleted.is_(False))) or 0)


def test_creations_beyond_the_quota_leave_nothing(plane: ControlPlane) -> None:
    plane.request("PUT", f"/mgmt/quotas/{plane.project_id}", {"quotas": {"instances": 3}},
                  token="admin", status=200)
    statuses = at_once(plane, [("POST", "/instances", NEW)] * 12)
    assert collections.Counter(statuses) == {200: 3, 413: 9}
    settle(plane)
    assert rows(plane, Instance) == 3
    assert plane.resources() == {name: 3 * number for name, number in ONE.items()}
    assert plane.quota() == {**FREE, "instances": (3, 0), "volumes": (3, 0), "ram": (3 * 512, 0)}
    listed = plane.request("GET", "/instances", status=200).json["instances"]
    assert {one["status"] for one in listed} == {"ACTIVE"}


def test_deletion_during_a_creation_leaves_nothing(plane: ControlPlane) -> None:
    idents = [plane.create() for _ in range(3)]
    statuses = at_once(plane, [("POST", f"/instances/{ident}/action", FORCE)
                               for ident in idents for _ in range(3)])
    assert set(statuses) <= {202, 404}
    for ident in idents:
        plane.wait_gone(f"/instances/{ident}", seconds=60)
    settle(plane)
    end = time.monotonic() + 30
    while plane.resources() != NOTHING:
        # what the creation made after its end is found by the sweep
        assert time.monotonic() < end, plane.resources()
        plane.reconcile()
        time.sleep(0.1)
    assert plane.quota() == FREE


def test_of_resizes_and_backups_at_once_one_is_done(plane: ControlPlane,
                                                    instance: str) -> None:
    action = f"/instances/{instance}/action"
    statuses = at_once(plane, [
        ("POST", action, {"resize": {"volume": {"size": 2}}}),
        ("POST", action, {"resize": {"flavorRef": "2"}}),
        ("POST", "/backups", {"backup": {"name": "b", "instance": instance}})] * 2)
    assert statuses.count(202) == 1
    assert set(statuses) <= {202, 409, 422}
    winner = statuses.index(202) % 3
    settle(plane)
    shown = plane.wait(instance, "ACTIVE")
    assert shown["volume"]["size"] == (2 if winner == 0 else 1)
    assert shown["flavor"]["id"] == ("2" if winner == 1 else "1")
    assert rows(plane, Backup) == (winner == 2)
    volume, = plane.minicloud.store.list("volume")
    assert volume["size"] == shown["volume"]["size"]
    assert plane.resources() == ONE
    assert plane.quota() == {
        "instances": (1, 0), "volumes": (2 if winner == 0 else 1, 0),
        "ram": (1024 if winner == 1 else 512, 0), "backups": (int(winner == 2), 0)}


def test_a_backup_while_the_instance_is_deleted(plane: ControlPlane, instance: str) -> None:
    statuses = at_once(plane, [
        ("DELETE", f"/instances/{instance}", None),
        ("POST", "/backups", {"backup": {"name": "b", "instance": instance}})] * 3)
    assert set(statuses) <= {202, 404, 409, 422}
    settle(plane)
    # a deletion may begin as soon as the backup ended
    if 202 in statuses[0::2]:
        plane.wait_gone(f"/instances/{instance}")
        assert plane.resources() == NOTHING
        assert plane.quota() == {**FREE, "backups": (rows(plane, Backup), 0)}
    else:
        plane.wait(instance, "ACTIVE")
        assert plane.resources() == ONE
        assert plane.quota()["backups"] == (rows(plane, Backup), 0)
    assert rows(plane, Backup) == statuses[1::2].count(202)
