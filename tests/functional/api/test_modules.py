"""Modules in the API: who may what, what is refused, and what is kept of contents."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tests.functional.api.conftest import (
    FOREIGN,
    HELLO,
    HELLO_MD5,
    MINE,
    OTHER,
    OWN,
    UNKNOWN,
    Api,
    module_state,
)
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import GuestError, GuestTimeout, NotFound
from trove_ng.common.secret import Secret
from trove_ng.db.models import (
    Cluster,
    Datastore,
    DatastoreVersion,
    Instance,
    InstanceModule,
    Module,
    Operation,
)

ONE = f"/modules/{OWN}4"
ON = f"/instances/{OWN}1/modules"
CANARY = base64.b64encode(b"message=canary-licence").decode()


@pytest.fixture(autouse=True)
def another_datastore(app: Api) -> None:
    with app.db.writer() as session:
        session.add(Datastore(id="ev", name="vertica"))
        session.flush()
        session.add(DatastoreVersion(id="w", datastore_id="ev", name="9", version="9",
                                     manager="vertica", created=utcnow(), updated=utcnow()))


def body(**more: Any) -> dict[str, Any]:
    return {"module": {"name": "m", "module_type": "ping", "contents": HELLO, **more}}


def make(app: Api, token: str = "mine", **more: Any) -> dict[str, Any]:
    answer = app("POST", "/modules", body(**more), token=token)
    assert answer.status_int == 200, answer.text
    found: dict[str, Any] = answer.json["module"]
    return found


def names(app: Api, token: str = "mine", query: str = "") -> set[str]:
    project = OTHER if token == "other" else MINE
    answer = app("GET", f"/modules{query}", token=token, project=project)
    assert answer.status_int == 200, answer.text
    return {one["name"] for one in answer.json["modules"]}


def applied(app: Api, instance: str = f"{OWN}1", module: str = f"{OWN}4",
            md5: str = HELLO_MD5) -> None:
    with app.db.writer() as session:
        session.add(InstanceModule(instance_id=instance, module_id=module, md5=md5))


def rows(app: Api) -> list[tuple[str, str, str]]:
    with app.db.reader() as session:
        return [(row.instance_id, row.module_id, row.md5) for row in session.query(
            InstanceModule).filter(InstanceModule.deleted.is_(False))]


# ---- what is kept, and shown -----------------------------------------------


def test_a_module_is_made_shown_and_listed(app: Api) -> None:
    made = make(app, description="d", apply_order=0, live_update=1, all_tenants=0, visible=1)
    assert made | {"id": "", "created": "", "updated": ""} == {
        "id": "", "name": "m", "type": "ping", "description": "d", "tenant": MINE,
        "tenant_id": MINE, "datastore": "all", "datastore_id": "all",
        "datastore_version": "all", "datastore_version_id": "all", "auto_apply": False,
        "priority_apply": False, "apply_order": 0, "is_admin": False, "live_update": True,
        "md5": HELLO_MD5, "created": "", "updated": "", "instance_count": 0}
    assert app("GET", f"/modules/{made['id']}").json["module"] == made
    assert names(app) == {"hello", "m"}
    shown = app("GET", f"/modules/{made['id']}", token="admin").json["module"]
    assert shown == {**made, "visible": True}


def test_the_words_of_the_specs_will_do_too(app: Api) -> None:
    made = make(app, token="admin", tenant="all", datastore="mariadb", datastore_version="10.11")
    assert [made[name] for name in ("tenant", "datastore", "datastore_version")] == [
        "all", "mariadb", "10.11"]
    changed = app("PATCH", f"/modules/{made['id']}", {"module": {
        "type": "ping", "tenant": MINE, "datastore_version": "all"}}, token="admin")
    assert changed.status_int == 200, changed.text
    found = changed.json["module"]
    assert [found[name] for name in ("tenant", "datastore", "datastore_version")] == [
        MINE, "mariadb", "all"]
    everywhere = app("PATCH", f"/modules/{made['id']}", {"module": {"datastore": "all"}},
                     token="admin").json["module"]
    assert everywhere["datastore"] == everywhere["datastore_version"] == "all"


@pytest.mark.parametrize(("wrong", "status", "why"), [
    ({"tenant": "all"}, 403, "all_tenants"), ({"tenant": OTHER}, 400, "module.tenant"),
    ({"tenant": MINE, "all_tenants": 0}, 400, "module.tenant"),
    ({"datastore": {"type": "mariadb"}, "datastore_version": "10.11"}, 400,
     "module.datastore_version"),
    ({"datastore_version": "10.11"}, 400, "datastore.type"),
    ({"datastore": "nothing"}, 404, "Datastore")])
def test_the_words_of_the_specs_are_checked_too(
        app: Api, wrong: dict[str, Any], status: int, why: str) -> None:
    answer = app("POST", "/modules", body(**wrong))
    assert (answer.status_int, why in answer.text) == (status, True), answer.text


def test_the_defaults_are_those_of_the_specs(app: Api) -> None:
    made = make(app)
    assert (made["apply_order"], made["priority_apply"], made["live_update"]) == (
        5, False, False)


def test_contents_are_sealed_in_the_store_and_never_shown(app: Api) -> None:
    app.conf.set_override("module_aes_cbc_key", ["newest", "older"])
    made = app("POST", "/modules", body(contents=CANARY))
    changed = app("PUT", ONE, {"module": {"contents": CANARY}})
    for answer in (made, changed, app("GET", "/modules"), app("GET", ONE, token="admin")):
        assert "contents" not in answer.text
        assert CANARY not in answer.text
    with app.db.reader() as session:
        for row in session.query(Module).filter(Module.md5 != HELLO_MD5):
            assert CANARY not in row.contents
            assert "canary" not in base64.b64decode(row.contents).decode(errors="replace")
            assert row.md5 == hashlib.md5(b"message=canary-licence").hexdigest()


def test_contents_of_older_keys_are_read_until_they_are_gone(app: Api) -> None:
    app.conf.set_override("module_aes_cbc_key", ["first"])
    ident = make(app)["id"]
    app.conf.set_override("module_aes_cbc_key", ["second", "first"])
    assert app("POST", ON, {"modules": [{"id": ident}]}).status_int == 200
    # made before there was a key of its own: sealed with inst_rpc_key_encr_key
    assert app("POST", ON, {"modules": [{"id": f"{OWN}4"}]}).status_int == 200
    (_, (specs,)), *_ = app.guest.asked
    assert specs[0].contents == Secret(HELLO)


def test_a_deleted_module_leaves_its_name_and_no_contents(app: Api) -> None:
    ident = make(app)["id"]
    answer = app("DELETE", f"/modules/{ident}")
    assert (answer.status_int, answer.body) == (200, b"")
    assert app("GET", f"/modules/{ident}").status_int == 404
    with app.db.reader() as session:
        assert session.get(Module, ident).contents == ""
    assert make(app)["id"] != ident


# ---- who may what ------------------------------------------------------------

SPECIAL = [{"all_tenants": 1}, {"auto_apply": 1}, {"visible": 0}, {"priority_apply": 1}]


@pytest.mark.parametrize("more", [*SPECIAL, {"full_access": 1}, {"full_access": 0}])
def test_what_is_for_administrators_is_refused(app: Api, more: dict[str, Any]) -> None:
    before = app.rows()
    assert app("POST", "/modules", body(**more)).status_int == 403
    assert app("PUT", ONE, {"module": more}).status_int == 403
    assert app.rows() == before
    assert make(app, "admin", **more)["is_admin"] is (more != {"full_access": 1})


@pytest.mark.parametrize("more", SPECIAL)
def test_full_access_goes_with_nothing_special(app: Api, more: dict[str, Any]) -> None:
    answer = app("POST", "/modules", body(**more, full_access=1), token="admin")
    assert answer.status_int == 400
    assert next(iter(more)) in answer.text


def test_an_administrators_module_is_changed_by_administrators(app: Api) -> None:
    made = make(app, "admin")
    path = f"/modules/{made['id']}"
    assert app("GET", path).json["module"]["is_admin"] is True
    for method, where, what in (("PUT", path, {"module": {"name": "x"}}), ("DELETE", path, None),
                                ("PUT", f"{path}/instances", {"reapply": {}})):
        assert app(method, where, what).status_int == 403
    assert app("PUT", path, {"module": {"full_access": 1}}, token="admin").status_int == 200
    assert app("PUT", path, {"module": {"name": "x"}}).status_int == 200


def test_what_administrators_make_special_is_theirs_from_then_on(app: Api) -> None:
    assert app("PUT", ONE, {"module": {"name": "x"}}, token="admin").json["module"][
        "is_admin"] is False
    assert app("PUT", ONE, {"module": {"auto_apply": 1}}, token="admin").json["module"][
        "is_admin"] is True
    assert app("PUT", ONE, {"module": {"name": "y"}}).status_int == 403
    assert app("PUT", ONE, {"module": {"auto_apply": 0}}, token="admin").json["module"][
        "is_admin"] is True


def test_everybodys_modules_are_seen_and_foreign_and_hidden_ones_are_not(app: Api) -> None:
    shared = make(app, "admin", name="shared", all_tenants=1)
    hidden = make(app, "admin", name="hidden", all_tenants=1, visible=0)
    private = make(app, "admin", name="private")
    assert shared["tenant"] == "all"
    assert names(app) == {"hello", "shared", "private"}
    assert names(app, "other") == {"hello", "shared"}
    assert names(app, "admin") == {"hello", "shared", "hidden", "private"}
    assert len(app("GET", "/modules", token="admin").json["modules"]) == 5
    for ident, token in ((hidden["id"], "mine"), (hidden["id"], "other"),
                         (private["id"], "other")):
        project = OTHER if token == "other" else MINE
        prefix = FOREIGN if token == "other" else OWN
        for method, path, what in (
                ("GET", "/modules/{}", None), ("DELETE", "/modules/{}", None),
                ("PUT", "/modules/{}", {"module": {"name": "x"}}),
                ("GET", "/modules/{}/instances", None),
                ("PUT", "/modules/{}/instances", {"reapply": {}}),
                ("POST", f"/instances/{prefix}1/modules", {"modules": [{"id": "{}"}]}),
                ("DELETE", f"/instances/{prefix}1/modules/{{}}", None)):
            answers = []
            for wanted in (ident, UNKNOWN):
                filled = None if what is None else (
                    {"modules": [{"id": wanted}]} if "modules" in what else what)
                answer = app(method, path.format(wanted), filled, token=token,
                             project=project)
                answers.append((answer.status_int, answer.text.replace(wanted, "ID")))
            assert answers[0] == answers[1]
            assert answers[0][0] == 404, (method, path)
    assert app.guest.asked == []


def test_the_instances_of_other_projects_are_not_counted(app: Api) -> None:
    shared = make(app, "admin", all_tenants=1)["id"]
    for instance in (f"{OWN}1", f"{OWN}2", f"{FOREIGN}1"):
        applied(app, instance, shared)
    for token, project, count in (("mine", MINE, 2), ("other", OTHER, 1), ("admin", MINE, 3)):
        shown = app("GET", f"/modules/{shared}", token=token, project=project).json["module"]
        assert shown["instance_count"] == count
        listed = app("GET", f"/modules/{shared}/instances", token=token, project=project)
        assert len(listed.json["instances"]) == count
        counts = app("GET", f"/modules/{shared}/instances?count_only=True", token=token,
                     project=project).json["instances"]
        assert [one["instance_count"] for one in counts] == [count]


# ---- what is refused ---------------------------------------------------------


@pytest.mark.parametrize(("more", "status", "why"), [
    ({"module_type": "nothing"}, 400, "must be one of ping, new_relic_license"),
    ({"contents": "bWVzc2FnZQ"}, 400, "must be base64"),
    ({"contents": "%%%%"}, 400, "contents"),
    ({"contents": base64.b64encode(b"x" * 65537).decode()}, 400, "contents"),
    ({"contents": ""}, 400, "contents"), ({"apply_order": 10}, 400, "apply_order"),
    ({"apply_order": -1}, 400, "apply_order"), ({"apply_order": "5"}, 400, "apply_order"),
    ({"live_update": 2}, 400, "live_update"), ({"is_admin": True}, 400, "is_admin"),
    ({"name": "hello"}, 409, "hello"), ({"name": "n" * 256}, 400, "name"),
    ({"datastore": {"type": "nothing"}}, 404, "Datastore nothing"),
    ({"datastore": {"version": "10.11"}}, 400, "datastore.version"),
    ({"datastore": {"type": "mariadb", "version": "9"}}, 404, "version 9")])
def test_bad_modules_are_refused(app: Api, more: dict[str, Any], status: int, why: str) -> None:
    before = app.rows()
    answer = app("POST", "/modules", body(**more))
    assert answer.status_int == status, answer.text
    assert why in answer.text
    assert app.rows() == before


def test_a_file_may_have_64_kib(app: Api) -> None:
    most = base64.b64encode(b"x" * 65536).decode()
    assert make(app, contents=most)["md5"] == hashlib.md5(b"x" * 65536).hexdigest()


def test_a_name_may_have_255_characters(app: Api) -> None:
    made = make(app, name="n" * 255)
    assert app("GET", f"/modules/{made['id']}").json["module"]["name"] == "n" * 255


def test_a_module_needs_a_type(app: Api) -> None:
    answer = app("POST", "/modules", {"module": {"name": "m", "contents": HELLO}})
    assert answer.status_int == 400
    assert "module_type is required" in answer.text
    assert make(app, type="ping")["type"] == "ping"


def test_two_projects_may_use_one_name(app: Api) -> None:
    make(app)
    assert app("POST", "/modules", body(), token="other", project=OTHER).status_int == 200
    assert app("POST", "/modules", body()).status_int == 409
    assert app("PUT", ONE, {"module": {"name": "m"}}).status_int == 409


def test_a_module_is_bound_to_a_datastore_and_set_free_again(app: Api) -> None:
    made = make(app, datastore={"type": "mariadb", "version": "10.11"})
    assert (made["datastore"], made["datastore_id"], made["datastore_version"],
            made["datastore_version_id"]) == ("mariadb", "d", "10.11", "v")

    def change(**more: Any) -> tuple[str, str]:
        found = app("PUT", f"/modules/{made['id']}", {"module": more}).json["module"]
        return found["datastore"], found["datastore_version"]

    assert change(all_datastore_versions=1) == ("mariadb", "all")
    assert change(datastore={"version": "10.11"}) == ("mariadb", "10.11")
    assert change(datastore={"type": "vertica"}) == ("vertica", "all")
    assert change(all_datastores=1) == ("all", "all")


def test_lists_are_by_datastore_and_in_pages(app: Api) -> None:
    for name, target in (("a", {"type": "mariadb"}), ("b", {"type": "vertica"}), ("c", {})):
        make(app, name=name, datastore=target)
    assert names(app, query="?datastore=mariadb") == {"hello", "a", "c"}
    assert names(app, query="?datastore=ev") == {"hello", "b", "c"}
    assert names(app, query="?datastore=all") == {"hello", "c"}
    of = app("GET", "/datastores/vertica/modules").json["modules"]
    assert {one["name"] for one in of} == {"hello", "b", "c"}
    assert app("GET", "/datastores/none/modules").status_int == 404
    assert app("GET", "/modules?datastore=none").status_int == 404
    first = app("GET", "/modules?limit=3").json
    assert len(first["modules"]) == 3
    second = app("GET", f"/modules?limit=3&marker={first['modules'][-1]['id']}").json
    assert "links" not in second
    assert len(second["modules"]) == 1


@pytest.mark.parametrize("live", [False, True])
def test_a_module_in_use_is_changed_only_when_it_says_so(app: Api, live: bool) -> None:
    with app.db.writer() as session:
        session.get(Module, f"{OWN}4").live_update = live
    applied(app)
    for method in ("PUT", "PATCH"):
        answer = app(method, ONE, {"module": {"contents": CANARY}})
        assert answer.status_int == (200 if live else 403)
    assert app("DELETE", ONE).status_int == 403
    assert app("PUT", ONE, {"module": {"live_update": 1}}).status_int == 200
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}1").deleted = True
    assert app("DELETE", ONE).status_int == 200


def test_a_change_keeps_what_it_does_not_name(app: Api) -> None:
    made = make(app, "admin", apply_order=2, priority_apply=1, description="d",
                datastore={"type": "mariadb"})
    after = app("PUT", f"/modules/{made['id']}", {"module": {"name": "n"}},
                token="admin").json["module"]
    assert after | {"updated": ""} == made | {"name": "n", "updated": ""}


# ---- instances -----------------------------------------------------------------


def test_what_is_applied_is_written_down_and_told(app: Api) -> None:
    answer = app("POST", ON, {"modules": [{"id": f"{OWN}4"}] * 2})
    assert answer.status_int == 200
    shown, = answer.json["modules"]
    assert (shown["id"], shown["name"], shown["status"], shown["message"],
            shown["error_message"], shown["datastore"]) == (
        f"{OWN}4", "hello", "OK", "Hello", None, "all")
    assert rows(app) == [(f"{OWN}1", f"{OWN}4", HELLO_MD5)]
    listed, = app("GET", ON).json["modules"]
    assert (listed["id"], listed["type"], listed["md5"]) == (f"{OWN}4", "ping", HELLO_MD5)
    assert listed["created"]
    assert [name for name, _ in app.guest.asked] == ["module_apply"]


def test_what_failed_is_told_and_not_written_down(app: Api) -> None:
    app.guest.module_apply = lambda specs: [  # type: ignore[method-assign]
        module_state(one.id, ok=False, message="No.") for one in specs]
    shown, = app("POST", ON, {"modules": [{"id": f"{OWN}4"}]}).json["modules"]
    assert (shown["status"], shown["message"], shown["error_message"]) == (
        "FAILED", "No.", "No.")
    assert rows(app) == []
    applied(app, md5="0" * 32)
    app("POST", ON, {"modules": [{"id": f"{OWN}4"}]})
    assert rows(app) == [(f"{OWN}1", f"{OWN}4", "0" * 32)]


def test_a_module_that_may_be_there_is_not_deleted(app: Api) -> None:
    def lost(_specs: Any) -> Any:
        raise GuestTimeout("The agent did not answer in time.")

    app.guest.module_apply = lost  # type: ignore[method-assign]
    assert app("POST", ON, {"modules": [{"id": f"{OWN}4"}]}).status_int == 503
    assert app("DELETE", ONE).status_int == 403
    assert app("DELETE", f"{ON}/{OWN}4").status_int == 200
    assert app("DELETE", ONE).status_int == 200


def test_a_repeated_apply_is_answered_from_memory(app: Api) -> None:
    answers = [app.app.post_json(
        f"/v1.0/{MINE}{ON}", {"modules": [{"id": f"{OWN}4"}]},
        headers={"X-Auth-Token": "mine", "Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert [name for name, _ in app.guest.asked] == ["module_apply"]


def test_a_repeated_create_makes_one_module(app: Api) -> None:
    before = app.rows()["modules"]
    answers = [app.app.post_json(
        f"/v1.0/{MINE}/modules", body(contents=CANARY),
        headers={"X-Auth-Token": "mine", "Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert app.rows()["modules"] == before + 1


def test_a_module_for_another_datastore_is_refused(app: Api) -> None:
    other = make(app, datastore={"type": "vertica"})["id"]
    for path, what in ((ON, {"modules": [{"id": other}]}), ("/instances", {"instance": {
            "name": "db", "flavorRef": "1", "volume": {"size": 1},
            "modules": [{"id": other}]}})):
        answer = app("POST", path, what)
        assert answer.status_int == 400
        assert "another datastore" in answer.text
    assert app.guest.asked == []
    assert rows(app) == []


def test_a_projects_module_is_not_applied_to_another_projects_instance(app: Api) -> None:
    for where, ident in ((f"{OWN}1", f"{FOREIGN}4"), (f"{FOREIGN}1", f"{OWN}4")):
        answer = app("POST", f"/instances/{where}/modules", {"modules": [{"id": ident}]},
                     token="admin")
        assert answer.status_int == 404, answer.text
    assert app.guest.asked == []
    assert app("POST", f"/instances/{FOREIGN}1/modules", {"modules": [{"id": f"{FOREIGN}4"}]},
               token="admin").status_int == 200


@pytest.mark.parametrize("path", [f"{ON}?from_guest=True", f"{ON}?include_contents=True",
                                  f"{ON}/{OWN}4"])
def test_an_instance_that_cannot_be_asked_is_told(app: Api, path: str) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}1").task = "RESIZING"
    assert app("GET", path).status_int == 422
    assert app("GET", ON).status_int == 200


def test_files_are_read_by_members_and_only_their_own(app: Api) -> None:
    assert app("GET", f"{ON}?from_guest=True", token="reader").status_int == 200
    assert app("GET", f"{ON}?from_guest=True&include_contents=True",
               token="reader").status_int == 403
    assert app("GET", f"{ON}/{OWN}4", token="reader").status_int == 403
    assert app("GET", f"{ON}/{OWN}4").json == {
        "filename": "all-all-hello.lic", "contents": HELLO, "md5": HELLO_MD5}
    found, = app("GET", f"{ON}?from_guest=True&include_contents=True").json["modules"]
    assert found["contents"] == HELLO


def test_an_operators_file_does_not_leave_the_server(app: Api) -> None:
    with app.db.writer() as session:
        session.get(Module, f"{OWN}4").is_admin = True
    assert app("GET", f"{ON}?include_contents=True").json["modules"] == []
    assert app("GET", f"{ON}/{OWN}4").status_int == 404
    seen, = app("GET", f"{ON}?from_guest=True").json["modules"]
    assert "contents" not in seen
    assert app("GET", f"{ON}/{OWN}4", token="admin").json["contents"] == HELLO


def test_a_module_whose_file_never_came_is_no_trouble_for_those_that_did(app: Api) -> None:
    there = make(app)["id"]
    app.guest.module_list = lambda query: [  # type: ignore[method-assign]
        module_state(f"{OWN}4", ok=False, message="It came damaged."),
        module_state(there, contents=Secret(HELLO) if query.include_contents else None)]
    found = app("GET", f"{ON}?include_contents=True").json["modules"]
    assert [one["id"] for one in found] == [there]
    found = app("GET", f"{ON}?from_guest=True").json["modules"]
    assert [one["status"] for one in found] == ["FAILED", "OK"]


def test_hidden_modules_of_an_instance_are_not_shown(app: Api) -> None:
    with app.db.writer() as session:
        session.get(Module, f"{OWN}4").visible = False
    applied(app)
    for path in (ON, f"{ON}?from_guest=True"):
        assert app("GET", path).json["modules"] == []
        assert len(app("GET", path, token="admin").json["modules"]) == 1
    assert app("DELETE", f"{ON}/{OWN}4").status_int == 404
    assert app("DELETE", f"{ON}/{OWN}4", token="admin").status_int == 200


def test_a_module_that_stays_in_force_stays_written_down(app: Api) -> None:
    def stuck(_ident: str) -> None:
        raise GuestError("It is stuck.")

    applied(app)
    app.guest.module_remove = stuck  # type: ignore[attr-defined]
    assert app("DELETE", f"{ON}/{OWN}4").status_int == 422
    assert len(rows(app)) == 1


def test_what_is_nowhere_is_not_removed(app: Api) -> None:
    def unknown(ident: str) -> None:
        raise NotFound.of("Module", ident)

    app.guest.module_remove = unknown  # type: ignore[attr-defined]
    assert app("DELETE", f"{ON}/{OWN}4").status_int == 404
    applied(app)
    assert app("DELETE", f"{ON}/{OWN}4").status_int == 200
    assert rows(app) == []


def test_instances_of_a_module_are_listed_in_pages_with_all_a_client_prints(app: Api) -> None:
    for number in (1, 2, 3):
        applied(app, f"{OWN}{number}")
    first = app("GET", f"{ONE}/instances?limit=2").json
    assert [one["id"] for one in first["instances"]] == [f"{OWN}1", f"{OWN}2"]
    assert first["instances"][0]["flavor"]["id"] == "1"
    assert first["links"][0]["rel"] == "next"
    second = app("GET", f"{ONE}/instances?limit=2&marker={OWN}2").json
    assert [one["id"] for one in second["instances"]] == [f"{OWN}3"]
    assert "links" not in second


def test_members_of_clusters_are_left_out_unless_asked_for(app: Api) -> None:
    with app.db.writer() as session:
        session.add(Cluster(id="c", name="c", tenant_id=MINE, datastore_version_id="v"))
        session.flush()
        session.get(Instance, f"{OWN}2").cluster_id = "c"
    applied(app, f"{OWN}1")
    applied(app, f"{OWN}2")
    for query, count in (("", 1), ("include_clustered=False", 1), ("include_clustered=True", 2)):
        listed = app("GET", f"{ONE}/instances?{query}").json["instances"]
        assert len(listed) == count
        counted, = app("GET", f"{ONE}/instances?count_only=1&{query}").json["instances"]
        assert counted["instance_count"] == count


def test_instances_are_counted_by_contents(app: Api) -> None:
    applied(app, f"{OWN}1")
    applied(app, f"{OWN}2")
    applied(app, f"{OWN}3", md5="0" * 32)
    counts = app("GET", f"{ONE}/instances?count_only=True").json["instances"]
    assert [(one["module_md5"], one["instance_count"], one["current"], one["module_name"])
            for one in counts] == [
        ("0" * 32, 1, False, "hello"), (HELLO_MD5, 2, True, "hello")]
    assert all(one["min_updated_date"] <= one["max_updated_date"] for one in counts)


# ---- create and reapply ----------------------------------------------------------


def create(app: Api, token: str = "mine", **more: Any) -> Any:
    return app("POST", "/instances", {"instance": {
        "name": "db", "flavorRef": "1", "volume": {"size": 1}, **more}}, token=token,
        project=OTHER if token == "other" else MINE)


def asked_for(app: Api, action: str) -> list[dict[str, Any]]:
    with app.db.reader() as session:
        return [row.payload for row in session.query(Operation).filter(
            Operation.action == action, Operation.id.in_(app.waker.woken))]


def test_a_new_instance_gets_what_is_asked_for_and_what_is_automatic(app: Api) -> None:
    auto = make(app, "admin", name="auto", auto_apply=1, all_tenants=1, visible=0)["id"]
    make(app, "admin", name="vertica's", auto_apply=1, all_tenants=1,
         datastore={"type": "vertica"})
    own = make(app, "admin", name="mine only", auto_apply=1)["id"]
    answer = create(app, modules=[{"id": f"{OWN}4"}])
    assert answer.status_int == 200, answer.text
    assert create(app, "other").status_int == 200
    assert [set(one["modules"]) for one in asked_for(app, "instance.create")] in (
        [{f"{OWN}4", auto, own}, {auto}], [{auto}, {f"{OWN}4", auto, own}])
    ident = answer.json["instance"]["id"]
    assert {module for instance, module, _ in rows(app) if instance == ident} == {
        f"{OWN}4", auto, own}
    assert app("DELETE", ONE).status_int == 403


def test_modules_at_create_need_the_rule_for_applying(app: Api) -> None:
    app.rule("instance:module_apply", "role:nobody")
    before = app.rows()
    assert create(app, modules=[{"id": f"{OWN}4"}]).status_int == 403
    assert app.rows() == before
    assert create(app).status_int == 200


def test_a_foreign_module_at_create_cannot_be_told_from_an_unknown_one(app: Api) -> None:
    answers = [create(app, modules=[{"id": ident}]) for ident in (f"{FOREIGN}4", UNKNOWN)]
    assert [one.status_int for one in answers] == [404, 404]
    assert answers[0].text.replace(f"{FOREIGN}4", UNKNOWN) == answers[1].text


def test_a_reapply_is_an_operation(app: Api) -> None:
    answer = app("PUT", f"{ONE}/instances", {"reapply": {
        "md5": "0" * 32, "include_clustered": 1, "batch_size": 3, "batch_delay": 7,
        "force": 0}})
    assert (answer.status_int, answer.body) == (202, b"")
    assert app.waker.woken == [answer.headers["X-Trove-Operation-Id"]]
    assert asked_for(app, "module.reapply") == [{
        "md5": "0" * 32, "include_clustered": True, "batch_size": 3, "batch_delay": 7,
        "force": False, "tenant_id": MINE}]
    assert app("PUT", f"{ONE}/instances", {"reapply": {}}).status_int == 409


def test_the_defaults_of_a_reapply_are_its_bounds(app: Api) -> None:
    for bad in ({"batch_size": 51}, {"batch_delay": 1}, {"batch_size": 0}):
        assert app("PUT", f"{ONE}/instances", {"reapply": bad}).status_int == 400
    assert app("PUT", f"{ONE}/instances", {"reapply": {}}).status_int == 202
    payload, = asked_for(app, "module.reapply")
    assert (payload["batch_size"], payload["batch_delay"]) == (50, 2)


def test_everybodys_module_is_reapplied_for_all(app: Api) -> None:
    shared = make(app, "admin", all_tenants=1)["id"]
    assert app("PUT", f"/modules/{shared}/instances", {"reapply": {}},
               token="admin").status_int == 202
    payload, = asked_for(app, "module.reapply")
    assert payload["tenant_id"] is None
