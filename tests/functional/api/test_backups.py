"""Which backups continue which, and where they go."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from sqlalchemy import delete, update

from tests.functional.api.conftest import FOREIGN, MINE, OTHER, OWN, Api
from trove_ng.common.clock import utcnow
from trove_ng.db.models import Backup, BackupStrategy, DatastoreVersion
from trove_ng.db.repositories import backups

INSTANCE = f"{OWN}1"
#: a full backup, one that continues it, and one that continues that one
CHAIN = (f"{OWN}a", f"{OWN}b", f"{OWN}c")


@pytest.fixture(autouse=True)
def chain(app: Api) -> None:
    """Three backups of the first instance, a minute apart."""
    now = utcnow()
    with app.db.writer() as session:
        for number, ident in enumerate(CHAIN):
            at = now + datetime.timedelta(minutes=number)
            session.add(Backup(
                id=ident, name=f"b{number}", tenant_id=MINE, state="COMPLETED",
                instance_id=INSTANCE, datastore_version_id="v", volume_size=1, container="c",
                prefix=f"{ident}/", backup_type="mariabackup", backup_timestamp=at,
                parent_id=CHAIN[number - 1] if number else None, created=at, updated=at))
            session.flush()


def change(app: Api, ident: str, **values: Any) -> None:
    with app.db.writer() as session:
        session.execute(update(Backup).where(Backup.id == ident).values(**values))


def ask(app: Api, **more: Any) -> Any:
    return app("POST", "/backups", {"backup": {"name": "n", "instance": INSTANCE, **more}})


def test_a_backup_that_continues_another_names_it(app: Api) -> None:
    for parent in CHAIN[1], CHAIN[0]:
        answer = ask(app, parent_id=parent)
        assert answer.status_int == 202, answer.text
        assert answer.json["backup"]["parent_id"] == parent
        change(app, answer.json["backup"]["id"], state="FAILED")


def test_an_incremental_backup_continues_the_last_good_one(app: Api) -> None:
    first = ask(app, incremental=1).json["backup"]
    assert first["parent_id"] == CHAIN[2]
    change(app, first["id"], state="FAILED")
    change(app, CHAIN[2], state="CORRUPT")
    assert ask(app, incremental=1).json["backup"]["parent_id"] == CHAIN[1]


@pytest.mark.parametrize("values", [
    {"state": "FAILED"}, {"backup_type": "xtrabackup"}, {"storage_driver": "cinder"},
    {"instance_id": f"{OWN}2"}])
def test_an_incremental_backup_is_a_full_one_when_nothing_can_be_continued(
        app: Api, values: dict[str, Any]) -> None:
    for ident in CHAIN:
        change(app, ident, **values)
    answer = ask(app, incremental=1)
    assert (answer.status_int, answer.json["backup"]["parent_id"]) == (202, None)


def test_zero_and_no_parent_make_a_full_backup(app: Api) -> None:
    # what the released client sends
    assert ask(app, incremental=0, parent_id=None).json["backup"]["parent_id"] is None


@pytest.mark.parametrize(("values", "status", "why"), [
    ({"state": "BUILDING", "instance_id": INSTANCE}, 422, "BACKUP"),
    ({"state": "FAILED"}, 409, "it is FAILED"), ({"state": "CORRUPT"}, 409, "CORRUPT"),
    ({"state": "DELETING"}, 409, "DELETING"), ({"deleted": True}, 404, "cannot be found"),
    ({"tenant_id": OTHER}, 404, "cannot be found"),
    ({"instance_id": f"{OWN}2"}, 400, "another instance"),
    ({"storage_driver": "cinder"}, 400, "object store"),
    ({"backup_type": "xtrabackup"}, 409, "made in another way now")])
def test_a_parent_that_cannot_be_continued_is_refused(
        app: Api, values: dict[str, Any], status: int, why: str) -> None:
    change(app, CHAIN[2], **values)
    before = app.rows()
    answer = ask(app, parent_id=CHAIN[2])
    assert (answer.status_int, why in answer.text) == (status, True), answer.text
    assert app.rows() == before


def test_a_parent_of_another_version_is_refused(app: Api) -> None:
    with app.db.writer() as session:
        session.add(DatastoreVersion(id="w", datastore_id="d", name="11", version="11.4",
                                     manager="mariadb", created=utcnow(), updated=utcnow()))
    change(app, CHAIN[2], datastore_version_id="w")
    assert ask(app, parent_id=CHAIN[2]).status_int == 409
    assert ask(app, incremental=1).json["backup"]["parent_id"] == CHAIN[1]


@pytest.mark.parametrize("state", ["CORRUPT", "FAILED", "DELETE_FAILED"])
def test_a_chain_with_a_broken_link_is_not_continued_and_not_restored(
        app: Api, state: str) -> None:
    change(app, CHAIN[0], state=state)
    answer = ask(app, parent_id=CHAIN[2])
    assert (answer.status_int, CHAIN[0] in answer.text) == (409, True)
    assert ask(app, incremental=1).json["backup"]["parent_id"] is None
    answer = app("POST", "/instances", {"instance": {
        "name": "d", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": CHAIN[2]}}})
    assert (answer.status_int, f"continues backup {CHAIN[0]}, which is {state}" in
            answer.text) == (400, True), answer.text


def test_a_chain_does_not_grow_without_end(app: Api) -> None:
    app.conf.set_override("backup_chain_limit", 3)
    answer = ask(app, parent_id=CHAIN[2])
    assert (answer.status_int, "3 in a row" in answer.text) == (409, True)
    # who does not name one gets a full one
    assert ask(app, incremental=1).json["backup"]["parent_id"] is None


def test_deleting_a_backup_deletes_those_that_continue_it(app: Api) -> None:
    assert app("DELETE", f"/backups/{CHAIN[1]}").status_int == 202
    with app.db.reader() as session:
        states = [backups.get(session, ident).state for ident in CHAIN]
    assert states == ["COMPLETED", "DELETING", "DELETING"]
    assert len(app.waker.woken) == 2
    assert app("DELETE", f"/backups/{CHAIN[1]}").status_int == 202
    assert len(app.waker.woken) == 2


def test_a_backup_that_is_being_continued_is_not_deleted(app: Api) -> None:
    running = ask(app, parent_id=CHAIN[2]).json["backup"]["id"]
    before = app.rows()
    for ident in (running, *CHAIN):
        answer = app("DELETE", f"/backups/{ident}")
        assert (answer.status_int, running in answer.text) == (422, True)
    assert app.rows() == before


# ---- strategies ---------------------------------------------------------------------


def strategy(app: Api, container: str, **more: Any) -> Any:
    return app("POST", "/backup_strategies", {"backup_strategy": {
        "swift_container": container, **more}})


def container_of(app: Api, ident: str) -> str:
    with app.db.reader() as session:
        found = backups.get(session, ident)
        assert found is not None
        assert found.container is not None
        return found.container


def test_the_most_exact_word_on_the_container_counts(app: Api) -> None:
    def made(**more: Any) -> str:
        ident = ask(app, **more).json["backup"]["id"]
        change(app, ident, state="FAILED")
        return container_of(app, ident)

    with app.db.writer() as session:
        session.execute(delete(BackupStrategy))
    assert made() == "database_backups"
    assert strategy(app, "mine").status_int == 202
    assert made() == "mine"
    strategy(app, "of-another", instance_id=f"{OWN}2")
    assert made() == "mine"
    strategy(app, "of-this", instance_id=INSTANCE)
    assert made() == "of-this"
    assert made(swift_container="named") == "named"
    app("DELETE", f"/backup_strategies?instance_id={INSTANCE}")
    assert made() == "mine"


def test_a_strategy_is_shown_changed_and_forgotten(app: Api) -> None:
    assert strategy(app, "one").json == {"backup_strategy": {
        "project_id": MINE, "instance_id": None, "backend": "swift", "swift_container": "one"}}
    strategy(app, "two", instance_id=INSTANCE)
    strategy(app, "three")
    listed = app("GET", "/backup_strategies").json["backup_strategies"]
    assert [(one["instance_id"], one["swift_container"]) for one in listed] == [
        (None, "three"), (INSTANCE, "two")]
    listed = app("GET", f"/backup_strategies?instance_id={INSTANCE}").json["backup_strategies"]
    assert [one["swift_container"] for one in listed] == ["two"]
    assert app("DELETE", "/backup_strategies").status_int == 202
    assert app("DELETE", "/backup_strategies").status_int == 202
    listed = app("GET", "/backup_strategies").json["backup_strategies"]
    assert [one["swift_container"] for one in listed] == ["two"]


def test_strategies_of_other_projects_are_for_administrators(app: Api) -> None:
    for method in "GET", "DELETE":
        assert app(method, f"/backup_strategies?project_id={OTHER}").status_int == 403
    assert strategy(app, "x", instance_id=f"{FOREIGN}1").status_int == 404
    path = f"/backup_strategies?project_id={OTHER}"
    assert app("GET", path, token="admin").json["backup_strategies"][0]["project_id"] == OTHER
    assert app("DELETE", path, token="admin").status_int == 202
    assert app("GET", path, token="admin").json == {"backup_strategies": []}
    assert len(app("GET", "/backup_strategies").json["backup_strategies"]) == 1
    answer = app("POST", "/backup_strategies", {"backup_strategy": {
        "swift_container": "x", "instance_id": f"{FOREIGN}1"}}, token="admin")
    assert answer.json["backup_strategy"]["project_id"] == OTHER


@pytest.mark.parametrize("container", ["", "a/b", ".", "..", "a\n", "x" * 256, None])
def test_what_is_no_container_is_refused(app: Api, container: Any) -> None:
    assert strategy(app, container).status_int == 400


# ---- taken over from the object store -----------------------------------------------

PLACE = {"remote_location": "http://swift/v1/AUTH_x/c/b.manifest",
         "local_datastore_version_id": "v", "size": 1.2}


def take(app: Api, **more: Any) -> Any:
    return app("POST", "/backups", {"backup": {"name": "t", **more}})


def test_a_backup_in_the_object_store_is_taken_over(app: Api) -> None:
    # what the released client sends
    made = take(app, restore_from={**PLACE, "size": "1.2"}).json["backup"]
    assert (made["instance_id"], made["status"], made["datastore"]["type"]) == (
        None, "NEW", "mariadb")
    assert made["locationRef"] == PLACE["remote_location"]
    with app.db.reader() as session:
        assert backups.get(session, made["id"]).volume_size == 2
    assert len(app.waker.woken) == 1


@pytest.mark.parametrize(("body", "status"), [
    ({}, 400), ({"restore_from": {}}, 400), ({"restore_from": None}, 400),
    ({"restore_from": PLACE, "instance": INSTANCE}, 400),
    ({"restore_from": PLACE, "incremental": 1}, 400),
    ({"restore_from": {**PLACE, "size": 0}}, 400),
    ({"restore_from": {**PLACE, "size": "0"}}, 400),
    ({"restore_from": {**PLACE, "remote_location": "file:///etc/passwd"}}, 400),
    ({"restore_from": {**PLACE, "remote_location": "http://a b"}}, 400),
    ({"restore_from": {**PLACE, "local_datastore_version_id": "none"}}, 404)])
def test_what_cannot_be_taken_over_is_refused(app: Api, body: dict[str, Any],
                                              status: int) -> None:
    before = app.rows()
    answer = take(app, **body)
    assert answer.status_int == status, answer.text
    assert app.rows() == before


def test_administrators_list_the_backups_of_all_projects(app: Api) -> None:
    def listed(query: str) -> set[str]:
        answer = app("GET", f"/backups?{query}", token="admin")
        assert answer.status_int == 200, answer.text
        return {one["project_id"] for one in answer.json["backups"]}

    assert listed("") == {MINE}
    assert listed("all_projects=True") == {MINE, OTHER}
    assert listed(f"all_projects=True&project_id={OTHER}") == {OTHER}
    assert listed(f"project_id={OTHER}") == {OTHER}
    assert listed(f"all_projects=True&instance_id={FOREIGN}1") == {OTHER}
