"""Many requests at once: one wins, the others are told why, and the sums are right."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import webtest
from sqlalchemy import func, select

from tests.functional.api.conftest import MINE, OTHER, OWN, RUNNING, TOKENS, Api
from trove_ng.conf import quota
from trove_ng.db.models import Backup, Instance, Operation, Quota, RootHistory
from trove_ng.db.repositories import quotas

ONE = f"{OWN}1"
NEW = {"instance": {"name": "d", "flavorRef": "1", "volume": {"size": 1}}}
BACKUP = {"backup": {"name": "b", "instance": ONE}}
FORCE = {"reset_status": {"force_delete": True}}
RESTART = {"restart": {}}
GROW = {"resize": {"volume": {"size": 5}}}
OTHER_FLAVOR = {"resize": {"flavorRef": "2"}}
#: (method, path, body)
Asked = tuple[str, str, Any]
ACTION = f"/instances/{ONE}/action"


def at_once(app: Api, asked: Sequence[Asked], token: str = "mine") -> list[Any]:
    """Send all requests at the same moment; none may end with an error of ours."""
    begin = threading.Barrier(len(asked))

    def ask(one: Asked) -> Any:
        method, path, body = one
        client = webtest.TestApp(app.wsgi)
        begin.wait(60)
        send: Callable[..., Any] = getattr(client, f"{method.lower()}_json", client.request)
        extra = {"method": method} if send == client.request else {}
        if body is not None:
            extra["params"] = body
        return send(f"/v1.0/{TOKENS[token][0]}{path}", expect_errors=True,
                    headers={"X-Auth-Token": token}, **extra)

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(ask, asked))
    for answer in answers:
        assert answer.status_int < 500, answer.text
        if answer.status_int >= 400:
            (error,) = answer.json.values()
            assert error["message"]
    return answers


def counted(answers: Sequence[Any]) -> dict[int, int]:
    return dict(collections.Counter(answer.status_int for answer in answers))


def limit(app: Api, **limits: int) -> None:
    assert app("PUT", f"/mgmt/quotas/{MINE}", {"quotas": limits}, token="admin").status_int == 200


def used(app: Api, tenant: str = MINE) -> dict[str, int]:
    with app.db.reader() as session:
        return {name: found[0] for name, found in quotas.usage(session, tenant).items()
                if found[0]}


def live(app: Api) -> list[tuple[str, str]]:
    """Return resource and action of the operations that have not ended."""
    with app.db.reader() as session:
        return sorted((row.resource_id, row.action) for row in session.scalars(
            select(Operation).where(Operation.live_key.is_not(None),
                                    Operation.id.not_in(RUNNING))))


def count(app: Api, table: Any, *where: Any) -> int:
    with app.db.reader() as session:
        return int(session.scalar(select(func.count()).select_from(table).where(*where)) or 0)


def sums_are_right(app: Api) -> None:
    """Check that what is reserved is what live operations and their rows need."""
    with app.db.reader() as session:
        rows = session.execute(select(Operation.action, Operation.payload, Instance).join(
            Instance, Instance.id == Operation.resource_id).where(
                Operation.live_key.is_not(None), Instance.tenant_id == MINE)).all()
        wanted: collections.Counter[str] = collections.Counter()
        for action, payload, row in rows:
            if action == "instance.create":
                wanted.update(instances=1, volumes=row.volume_size, ram=row.flavor_ram)
            elif action == "instance.resize_volume":
                wanted.update(volumes=payload["size"] - row.volume_size)
            elif action == "instance.resize_flavor":
                wanted.update(ram=payload["ram_mb"] - row.flavor_ram)
        backups = session.scalar(select(func.count()).select_from(Operation).where(
            Operation.live_key.is_not(None), Operation.action == "backup.create"))
        wanted.update(backups=int(backups or 0))
    assert used(app) == {name: number for name, number in wanted.items() if number}


def test_of_fifty_creations_one_gets_the_last_of_the_quota(app: Api) -> None:
    limit(app, instances=3, volumes=40)
    for _ in range(2):
        assert app("POST", "/instances", NEW).status_int == 200
    answers = at_once(app, [("POST", "/instances", NEW)] * 50)
    assert counted(answers) == {200: 1, 413: 49}
    assert used(app) == {"instances": 3, "volumes": 3, "ram": 3 * 512}
    assert count(app, Instance, Instance.tenant_id == MINE) == 3 + 3
    assert len(live(app)) == 3
    assert "instances" in next(
        one for one in answers if one.status_int == 413).json["overLimit"]["message"]


def test_the_first_creations_of_a_project_keep_to_the_quota(app: Api) -> None:
    answers = at_once(app, [("POST", "/instances", NEW)] * 20)
    most = quota.defaults(app.services.conf)["instances"]
    assert counted(answers) == {200: most, 413: 20 - most}
    assert used(app)["instances"] == most
    sums_are_right(app)


@pytest.mark.parametrize("body", [RESTART, GROW, OTHER_FLAVOR])
def test_an_action_sent_ten_times_is_done_once(app: Api, body: Any) -> None:
    answers = at_once(app, [("POST", ACTION, body)] * 10)
    assert counted(answers)[202] == 1
    assert set(counted(answers)) <= {202, 409, 422}
    assert len(live(app)) == 1
    sums_are_right(app)


def test_two_resizes_and_a_backup_exclude_each_other(app: Api) -> None:
    answers = at_once(app, [("POST", ACTION, GROW), ("POST", ACTION, OTHER_FLAVOR),
                            ("POST", "/backups", BACKUP), ("POST", ACTION, RESTART)] * 3)
    assert counted(answers)[202] == 1
    assert set(counted(answers)) <= {202, 409, 422}
    assert len(live(app)) == 1
    sums_are_right(app)


def test_of_many_promotions_in_a_set_one_is_done(app: Api) -> None:
    replicas = [f"{OWN}2", f"{OWN}3"]
    with app.db.writer() as session:
        for one in replicas:
            session.get(Instance, one).slave_of_id = ONE
    answers = at_once(app, [("POST", f"/instances/{one}/action",
                             {"promote_to_replica_source": {}}) for one in replicas * 4])
    assert counted(answers) == {202: 1, 422: 7}
    winner = replicas[next(number for number, one in enumerate(answers)
                           if one.status_int == 202) % 2]
    assert live(app) == [(winner, "instance.promote")]
    with app.db.reader() as session:
        operation_ids = set(session.scalars(select(Instance.operation_id).where(
            Instance.id.in_([ONE, *replicas]))))
    assert len(operation_ids) == 1
    assert operation_ids != {None}


def test_of_resizes_and_a_group_that_is_attached_one_is_done(app: Api) -> None:
    group = f"{OWN}7"
    answers = at_once(app, [
        ("POST", ACTION, GROW), ("POST", ACTION, OTHER_FLAVOR),
        ("PUT", f"/instances/{ONE}", {"instance": {"configuration": group}})] * 3)
    assert counted(answers)[202] == 1
    assert set(counted(answers)) <= {202, 409, 422}
    (ident, action), = live(app)
    winner = next(number for number, one in enumerate(answers) if one.status_int == 202) % 3
    assert (ident, action) == (ONE, (
        "instance.resize_volume", "instance.resize_flavor", "instance.configure")[winner])
    with app.db.reader() as session:
        # the operation writes it, when the database has it
        assert session.get(Instance, ONE).configuration_id is None
    sums_are_right(app)


def test_ten_backups_at_once_are_one(app: Api) -> None:
    answers = at_once(app, [("POST", "/backups", BACKUP)] * 10)
    assert counted(answers) == {202: 1, 422: 9}
    assert count(app, Backup, Backup.state == "NEW") == 1
    sums_are_right(app)


def test_deleting_ten_times_at_once_is_one_deletion(app: Api) -> None:
    assert counted(at_once(app, [("DELETE", f"/instances/{ONE}", None)] * 10)) == {202: 10}
    assert live(app) == [(ONE, "instance.delete")]


def test_a_backup_and_a_deletion_exclude_each_other(app: Api) -> None:
    answers = at_once(app, [("DELETE", f"/instances/{ONE}", None),
                            ("POST", "/backups", BACKUP)] * 3)
    actions = {action for _, action in live(app)}
    assert len(actions) == len(live(app)) == 1
    by_method = [counted(answers[0::2]), counted(answers[1::2])]
    assert by_method in ([{202: 3}, {422: 3}], [{422: 3}, {202: 1, 422: 2}])
    sums_are_right(app)


def test_a_creation_is_ended_once_by_many_force_deletes(app: Api) -> None:
    ident = app("POST", "/instances", NEW).json["instance"]["id"]
    path = f"/instances/{ident}"
    answers = at_once(app, [("POST", f"{path}/action", FORCE), ("DELETE", path, None)] * 5)
    assert counted(answers[0::2]) == {202: 5}
    assert set(counted(answers[1::2])) <= {202, 422}
    assert live(app) == [(ident, "instance.force_delete")]
    # counted until the instance is gone
    assert used(app) == {"instances": 1, "volumes": 1, "ram": 512}


def test_a_backup_is_restored_or_deleted(app: Api) -> None:
    restore = {"instance": {**NEW["instance"], "restorePoint": {"backupRef": f"{OWN}8"}}}
    answers = at_once(app, [("DELETE", f"/backups/{OWN}8", None),
                            ("POST", "/instances", restore)] * 4)
    deleted, restored = counted(answers[0::2]), counted(answers[1::2])
    assert (deleted, restored) == ({202: 4}, {400: 4}) or (
        deleted == {422: 4} and restored == {200: 4})
    sums_are_right(app)


def test_reset_of_the_status_races_with_what_it_ends(app: Api) -> None:
    answers = at_once(app, [("POST", ACTION, {"reset_status": {}}),
                            ("POST", ACTION, GROW)] * 5, token="admin")
    assert counted(answers[0::2]) == {202: 5}
    assert set(counted(answers[1::2])) <= {202, 409, 422}
    sums_are_right(app)
    shown = app("GET", f"/instances/{ONE}").json["instance"]["status"]
    assert shown == ("RESIZE" if live(app) else "ACTIVE")


def test_limits_of_a_new_project_are_set_by_many(app: Api) -> None:
    body = {"quotas": {"instances": 7, "volumes": 70, "backups": 700}}
    answers = at_once(app, [("PUT", f"/mgmt/quotas/{OTHER}", body)] * 10, token="admin")
    assert counted(answers) == {200: 10}
    assert count(app, Quota, Quota.tenant_id == OTHER) == 3


def test_root_is_noted_once(app: Api) -> None:
    answers = at_once(app, [("POST", f"/instances/{ONE}/root", {"password": "a-Pw1"})] * 10)
    assert counted(answers) == {200: 10}
    assert count(app, RootHistory, RootHistory.instance_id == ONE) == 1


def test_names_of_an_instance_are_set_one_after_another(app: Api) -> None:
    answers = at_once(app, [("PUT", f"/instances/{ONE}", {"instance": {"name": f"n{number}"}})
                            for number in range(10)])
    assert counted(answers) == {202: 10}
    assert app("GET", f"/instances/{ONE}").json["instance"]["name"].startswith("n")
