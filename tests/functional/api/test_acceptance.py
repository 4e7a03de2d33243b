"""What accepting, superseding and refusing work leaves in the store."""

from __future__ import annotations

from typing import Any

import pytest

from tests.functional.api.conftest import FOREIGN, MINE, OWN, RUNNING, Api
from tests.functional.api.test_instances import create
from trove_ng.common.clock import utcnow
from trove_ng.db.models import (
    Backup,
    Datastore,
    DatastoreVersion,
    Instance,
    InstanceFault,
    InstanceVolume,
    Operation,
)
from trove_ng.db.repositories import quotas

ONE = f"/instances/{OWN}1"
FORCE = {"reset_status": {"force_delete": True}}


def live(app: Api) -> dict[str, str]:
    """Return resource id → action of the operations that have not ended."""
    with app.db.reader() as session:
        return {row.resource_id: row.action for row in session.query(Operation)
                if row.live_key is not None and row.id not in RUNNING}


def used(app: Api) -> dict[str, tuple[int, int]]:
    """Return resource → (in use, of which reserved)."""
    with app.db.reader() as session:
        return {name: found for name, found in quotas.usage(session, MINE).items()
                if found != (0, 0)}


def limit(app: Api, **limits: int) -> None:
    assert app("PUT", f"/mgmt/quotas/{MINE}", {"quotas": limits},
               token="admin").status_int == 200


# ---- quotas

@pytest.mark.parametrize(("limits", "path", "body"), [
    ({"instances": 0}, "/instances", None), ({"volumes": 0}, "/instances", None),
    ({"ram": 511}, "/instances", None),
    ({"ram": 511}, f"{ONE}/action", {"resize": {"flavorRef": "2"}}),
    ({"volumes": 3}, f"{ONE}/action", {"resize": {"volume": {"size": 5}}}),
    ({"backups": 0}, "/backups", {"backup": {"name": "b", "instance": f"{OWN}1"}}),
])
def test_a_quota_that_is_reached_refuses_and_leaves_nothing(
        app: Api, limits: dict[str, int], path: str, body: object) -> None:
    limit(app, **limits)
    before = app.rows()
    body = body or {"instance": {"name": "d", "flavorRef": "1", "volume": {"size": 1}}}
    answer = app("POST", path, body)
    assert answer.status_int == 413
    assert next(iter(limits)) in answer.json["overLimit"]["message"]
    assert app.rows() == before
    assert app.waker.woken == []
    assert app("GET", ONE).json["instance"]["status"] == "ACTIVE"


def test_a_quota_is_used_up_to_its_last(app: Api) -> None:
    limit(app, instances=2)
    assert [create(app).status_int for _ in range(3)] == [200, 200, 413]
    assert used(app)["instances"] == (2, 2)


def test_a_smaller_flavor_needs_no_quota(app: Api) -> None:
    with app.db.writer() as session:
        row = session.get(Instance, f"{OWN}1")
        row.flavor_id, row.flavor_ram = "2", 1024
    limit(app, ram=0)
    assert app("POST", f"{ONE}/action", {"resize": {"flavorRef": "1"}}).status_int == 202
    assert used(app) == {}


def test_quotas_are_whole_numbers(app: Api) -> None:
    answer = app("PUT", f"/mgmt/quotas/{MINE}", {"quotas": {"instances": 20.0}}, token="admin")
    assert answer.text == '{"quotas":{"instances":20}}'


@pytest.mark.parametrize("end", [FORCE, {"reset_status": {}}])
@pytest.mark.parametrize(("body", "resource"), [
    ({"resize": {"flavorRef": "2"}}, "ram"), ({"resize": {"volume": {"size": 5}}}, "volumes")])
def test_a_resize_that_is_ended_gives_back_what_it_reserved(
        app: Api, body: object, resource: str, end: object) -> None:
    assert app("POST", f"{ONE}/action", body).status_int == 202
    assert resource in used(app)
    assert app("POST", f"{ONE}/action", end, token="admin").status_int == 202
    assert used(app) == {}


def test_a_volume_that_did_grow_keeps_its_quota(app: Api) -> None:
    app("POST", f"{ONE}/action", {"resize": {"volume": {"size": 5}}})
    with app.db.writer() as session:
        session.get(InstanceVolume, (f"{OWN}1", "data")).size = 5
        session.get(Instance, f"{OWN}1").volume_size = 5
    app("POST", f"{ONE}/action", FORCE)
    assert used(app) == {"volumes": (4, 0)}


def test_a_creation_that_is_ended_counts_until_the_instance_is_gone(app: Api) -> None:
    ident = create(app).json["instance"]["id"]
    assert app("POST", f"/instances/{ident}/action", FORCE).status_int == 202
    assert used(app) == {"instances": (1, 0), "volumes": (1, 0), "ram": (512, 0)}
    assert live(app) == {ident: "instance.force_delete"}


# ---- one thing at a time

def test_a_second_action_is_refused_while_one_runs(app: Api) -> None:
    assert app("POST", f"{ONE}/action", {"restart": {}}).status_int == 202
    for method, path, body in (
            ("POST", f"{ONE}/action", {"restart": {}}),
            ("POST", f"{ONE}/action", {"resize": {"flavorRef": "2"}}),
            ("DELETE", ONE, None), ("POST", "/backups", {"backup": {
                "name": "b", "instance": f"{OWN}1"}})):
        assert app(method, path, body).status_int == 422, path
    assert live(app) == {f"{OWN}1": "instance.restart"}
    assert len(app.waker.woken) == 1


def test_an_instance_that_is_built_cannot_be_deleted_but_by_force(app: Api) -> None:
    ident = create(app).json["instance"]["id"]
    assert app("DELETE", f"/instances/{ident}").status_int == 422
    for _ in range(2):
        assert app("POST", f"/instances/{ident}/action", FORCE).status_int == 202
    assert len(app.waker.woken) == 2


def test_force_delete_is_the_owners_and_ends_what_runs(app: Api) -> None:
    app("POST", f"{ONE}/action", {"restart": {}})
    assert app("POST", f"/instances/{FOREIGN}1/action", FORCE).status_int == 404
    assert app("POST", f"{ONE}/action", FORCE).status_int == 202
    assert live(app) == {f"{OWN}1": "instance.force_delete"}
    assert app("DELETE", ONE).status_int == 202
    with app.db.reader() as session:
        statuses = sorted(row.status for row in session.query(Operation)
                          if row.id not in RUNNING)
    assert statuses == ["CANCELLED", "PENDING"]


def test_a_source_of_replicas_is_kept_also_from_force(app: Api) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}2").slave_of_id = f"{OWN}1"
    for method, path, body in (("DELETE", ONE, None), ("POST", f"{ONE}/action", FORCE)):
        answer = app(method, path, body)
        assert answer.status_int == 403
        assert "replicas" in answer.json["forbidden"]["message"]
    assert live(app) == {}


def test_reset_status_ends_work_and_hides_faults(app: Api) -> None:
    app("POST", f"{ONE}/action", {"restart": {}})
    now = utcnow()
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}1").error = "BUILD"
        session.add(InstanceFault(instance_id=f"{OWN}1", message="m", details="d", created=now,
                                  updated=now))
    assert app("GET", ONE).json["instance"]["status"] == "ERROR"
    assert app("POST", f"{ONE}/action", {"reset_status": {}}).status_int == 403
    assert app("POST", f"{ONE}/action", {"reset_status": {}}, token="admin").status_int == 202
    shown = app("GET", ONE).json["instance"]
    assert shown["status"] == "ACTIVE"
    assert "fault" not in shown
    assert live(app) == {}
    assert app("POST", f"{ONE}/action", {"restart": {}}).status_int == 202


def test_whatever_happens_to_the_word_the_request_is_accepted_once(app: Api) -> None:
    def fail(operation_id: str) -> None:
        raise RuntimeError("no driver")

    app.waker.wake = fail  # type: ignore[method-assign]
    assert create(app).status_int == 200
    assert len(live(app)) == 1


# ---- an administrator's actions on others' instances

def test_an_actions_own_rule_is_asked_for_the_owner(app: Api) -> None:
    app.rule("instance:restart", "project_id:%(tenant)s")
    restart = {"restart": {}}
    assert app("POST", f"/instances/{FOREIGN}1/action", restart,
               token="admin").status_int == 403
    assert app("POST", f"{ONE}/action", restart, token="admin").status_int == 202
    assert live(app) == {f"{OWN}1": "instance.restart"}


# ---- backups

def test_a_backup_is_written_with_what_its_run_needs(app: Api) -> None:
    shown = app("POST", "/backups", {"backup": {
        "name": "b", "instance": f"{OWN}1", "swift_container": "mine"}}).json["backup"]
    with app.db.reader() as session:
        row = session.get(Backup, shown["id"])
        assert (row.state, row.container, row.prefix, row.volume_size) == (
            "NEW", "mine", f"backup_{row.id}/", 1)
    assert live(app) == {shown["id"]: "backup.create"}
    assert used(app) == {"backups": (1, 1)}
    assert app("GET", ONE).json["instance"]["status"] == "BACKUP"
    assert app("POST", f"{ONE}/action", {"restart": {}}).status_int == 422
    assert app("POST", "/backups", {"backup": {
        "name": "c", "instance": f"{OWN}1"}}).status_int == 422
    assert app("DELETE", f"/backups/{shown['id']}").status_int == 422


@pytest.mark.parametrize(("more", "status"), [
    ({"instance": f"{FOREIGN}1"}, 404), ({"parent_id": f"{OWN}8"}, 409)])
def test_a_backup_that_cannot_be_is_refused(app: Api, more: dict[str, object],
                                            status: int) -> None:
    before = app.rows()
    answer = app("POST", "/backups", {"backup": {
        "name": "b", "instance": f"{OWN}1", **more}})
    assert answer.status_int == status
    assert app.rows() == before


def add_child(app: Api, state: str = "COMPLETED") -> None:
    now = utcnow()
    with app.db.writer() as session:
        session.add(Backup(
            id=f"{OWN}9", name="child", tenant_id=MINE, state=state, parent_id=f"{OWN}8",
            instance_id=f"{OWN}1", datastore_version_id="v", volume_size=1, container="c",
            prefix="q", created=now, updated=now))


def test_a_backup_goes_with_those_that_continue_it(app: Api) -> None:
    add_child(app)
    for _ in range(2):
        assert app("DELETE", f"/backups/{OWN}8").status_int == 202
    assert live(app) == {f"{OWN}8": "backup.delete", f"{OWN}9": "backup.delete"}
    assert len(app.waker.woken) == 2


def test_a_child_that_is_not_ended_keeps_its_parent(app: Api) -> None:
    add_child(app, "SAVING")
    before = app.rows()
    assert app("DELETE", f"/backups/{OWN}8").status_int == 422
    assert app.rows() == before
    assert app("GET", f"/backups/{OWN}8").json["backup"]["status"] == "COMPLETED"


@pytest.mark.parametrize("restored", ["8", "9"])
def test_a_backup_is_kept_while_an_instance_is_made_of_it(app: Api, restored: str) -> None:
    add_child(app)
    assert create(app, restorePoint={"backupRef": f"{OWN}{restored}"}).status_int == 200
    assert app("DELETE", f"/backups/{OWN}8").status_int == 422
    assert "backup.delete" not in live(app).values()


def test_a_restored_instance_is_of_the_version_of_its_backup(app: Api) -> None:
    now = utcnow()
    with app.db.writer() as session:
        session.add(DatastoreVersion(id="w", datastore_id="d", name="11", version="11.4",
                                     manager="mariadb", created=now, updated=now))
        session.flush()
        session.get_one(Backup, f"{OWN}8").datastore_version_id = "w"
    body = {"restorePoint": {"backupRef": f"{OWN}8"}}
    made = create(app, **body)
    assert (made.status_int, made.json["instance"]["datastore"]["version"]) == (200, "11")
    answer = create(app, **body, datastore={"type": "mariadb", "version": "10.11"})
    assert (answer.status_int, "is of release 11.4" in answer.text) == (400, True)
    assert create(app, restorePoint={"backupRef": f"{FOREIGN}8"}).status_int == 404
    # an operator has to offer it still
    with app.db.writer() as session:
        session.get_one(DatastoreVersion, "w").visibility = "deprecated"
    assert create(app, **body).status_int == 404


@pytest.mark.parametrize(("driver", "record", "number", "status"), [
    ("swift", {"metadata": {"version": "10.11"}}, "10.11.9", 200),
    ("cinder", {"volume_id": "v", "snapshot_id": "s", "version": "10.11"}, "10.11.9", 200),
    ("swift", {"metadata": {"version": "10.11"}}, "10.1.9", 400),
    ("swift", {"metadata": {"version": "10.11"}}, "11.4", 400),
    ("swift", {"metadata": {"version": "10.11"}}, "mariadb-10.11", 200),
    ("swift", {"metadata": {"version": "10.11"}}, "lts", 400),
    # it does not tell: it is of the number of its own version
    ("swift", {}, "10.11.9", 200), ("swift", {}, "11.4", 400)])
def test_a_backup_is_restored_to_any_version_of_its_release(
        app: Api, driver: str, record: dict[str, Any], number: str, status: int) -> None:
    now = utcnow()
    with app.db.writer() as session:
        for ident, datastore in (("w", "d"), ("x", "o")):
            if datastore == "o":
                session.add(Datastore(id="o", name="other"))
                session.flush()
            session.add(DatastoreVersion(
                id=ident, datastore_id=datastore, name="new", version=number,
                manager="mariadb", created=now, updated=now))
        row = session.get_one(Backup, f"{OWN}8")
        row.storage_driver, row.manifest = driver, record
        # the version that it was made with is offered no more
        session.get_one(DatastoreVersion, "v").active = False
    body = {"restorePoint": {"backupRef": f"{OWN}8"}}
    made = create(app, **body, datastore={"type": "mariadb", "version": "new"})
    assert made.status_int == status, made.text
    if status == 200:
        assert made.json["instance"]["datastore"]["version"] == "new"
    else:
        assert "instance.restorePoint.backupRef" in made.text
        assert "is of release 10.11" in made.text
    other = create(app, **body, datastore={"type": "other", "version": "new"})
    assert (other.status_int, "another datastore" in other.text) == (400, True)


@pytest.mark.parametrize("state", ["NEW", "SAVING", "FAILED", "DELETING"])
def test_only_a_complete_backup_is_restored(app: Api, state: str) -> None:
    with app.db.writer() as session:
        session.get(Backup, f"{OWN}8").state = state
    answer = create(app, restorePoint={"backupRef": f"{OWN}8"})
    assert answer.status_int == 400
    assert state in answer.json["badRequest"]["message"]
    assert live(app) == {}


def test_force_delete_that_says_false_deletes_nothing(app: Api) -> None:
    body = {"reset_status": {"force_delete": False}}
    assert app("POST", f"{ONE}/action", body).status_int == 403
    assert app("POST", f"{ONE}/action", body, token="admin").status_int == 202
    assert live(app) == {}
    assert app("GET", ONE).json["instance"]["status"] == "ACTIVE"
