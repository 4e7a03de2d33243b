"""Backups that continue each other, and encrypted ones, from request to restore."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import select

from tests.functional.control_plane.conftest import NOT_KEPT, ControlPlane
from tests.functional.control_plane.world import LivingAgent, Worker, World, wait_for
from trove_ng.common.clock import utcnow
from trove_ng.common.crypto import SecretBox
from trove_ng.datastores.base import load_datastores
from trove_ng.db.models import Backup, DatastoreVersion, Duty
from trove_ng.db.repositories import backups, duties, operations
from trove_ng.db.repositories.sealed import BACKUPS


@pytest.fixture
def instance(living: str) -> str:
    """An instance whose agent stores backups."""
    return living


def make(plane: ControlPlane, instance: str, status: str = "COMPLETED",
         **more: Any) -> dict[str, Any]:
    """Make a backup; return its view when it has ended."""
    ident = plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, **more}}, status=202).json["backup"]["id"]

    def ended() -> Any:
        shown = plane.request("GET", f"/backups/{ident}", status=200).json["backup"]
        return shown if shown["status"] in ("COMPLETED", "FAILED") else None

    shown: dict[str, Any] = wait_for(ended, "the backup")
    assert shown["status"] == status, shown
    plane.wait(instance, "ACTIVE")
    return shown


def asked(plane: ControlPlane, name: str) -> list[Any]:
    return [request for agent in plane.hypervisor.agents.values()
            for method, request in agent.asked if method == name]


def row(plane: ControlPlane, ident: str) -> Backup:
    with plane.db.reader() as session:
        found = backups.get(session, ident)
    assert found is not None
    return found


def test_a_chain_is_made_and_restored_in_its_order(plane: ControlPlane, instance: str) -> None:
    chain = [make(plane, instance, incremental=1)["id"] for _ in range(3)]
    assert [row(plane, one).parent_id for one in chain] == [None, *chain[:2]]
    parents = [request.parent for request in asked(plane, "create_backup")]
    assert [one and one.segments[0].name for one in parents] == [
        None, *(f"backup_{one}/000" for one in chain[:2])]
    other = plane.create(name="other", restorePoint={"backupRef": chain[2]})
    plane.wait(other, "ACTIVE")
    restore = asked(plane, "prepare")[-1].restore
    assert [one.segments[0].name for one in restore.chain] == [
        f"backup_{one}/000" for one in chain]
    assert [one.prefix for one in restore.grants] == [f"backup_{one}/" for one in chain]
    assert all(one.put_query is None for one in restore.grants)
    assert restore.keys == [None, None, None]


def test_the_next_image_of_a_release_restores_the_backups_of_the_one_before(
        plane: ControlPlane, instance: str) -> None:
    backup = make(plane, instance)["id"]
    with plane.db.writer() as session:
        before = session.get_one(DatastoreVersion, row(plane, backup).datastore_version_id)
        before.active = False
        session.add(DatastoreVersion(
            id="n", datastore_id=before.datastore_id, name="10.11.9", version="10.11.9",
            manager=before.manager, image_id=before.image_id, image_tags=before.image_tags,
            created=utcnow(), updated=utcnow()))
    other = plane.create(name="other", restorePoint={"backupRef": backup}, datastore={
        "type": "mariadb", "version": "10.11.9"})
    assert plane.wait(other, "ACTIVE")["datastore"]["version"] == "10.11.9"
    assert asked(plane, "prepare")[-1].restore.grants[0].prefix == f"backup_{backup}/"


def test_root_that_comes_with_a_backup_is_known(
        plane: ControlPlane, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = make(plane, instance)["id"]
    plane.hypervisor.failures["is_root_enabled"] = "The server cannot be reached."
    monkeypatch.setattr(LivingAgent, "root", "made-Pw0")
    other = plane.create(name="other", restorePoint={"backupRef": backup})
    wait_for(lambda: asked(plane, "is_root_enabled"), "the question")
    plane.hypervisor.failures.clear()
    plane.wait(other, "ACTIVE")
    assert plane.request("GET", f"/instances/{other}/root").json == {"rootEnabled": True}
    plane.request("DELETE", f"/instances/{other}/root", status=204)
    assert plane.agent(other).root == ""
    # nothing was restored
    new = plane.create(name="new")
    plane.wait(new, "ACTIVE")
    assert plane.request("GET", f"/instances/{new}/root").json == {"rootEnabled": False}


@pytest.mark.parametrize("damage", ["missing", "other"])
def test_a_damaged_backup_is_not_continued_and_not_restored(
        plane: ControlPlane, instance: str, damage: str) -> None:
    first, second = (make(plane, instance, incremental=1)["id"] for _ in range(2))
    store, account = plane.minicloud.swift._store, f"AUTH_{plane.project_id}"
    name = f"backup_{first}/000"
    if damage == "missing":
        store.delete(account, "database_backups", name)
    else:
        plane.tools.clouds.objects._ask(
            plane.project_id, "put_object", "database_backups", name, b"else")
    asks = len(asked(plane, "create_backup"))
    failed = make(plane, instance, "FAILED", parent_id=second)
    assert name in (row(plane, failed["id"]).error or "")
    assert len(asked(plane, "create_backup")) == asks
    shown = plane.request("GET", f"/backups/{first}", status=200).json["backup"]
    assert shown["status"] == "CORRUPT"
    plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, "parent_id": second}}, status=409)
    # who does not name one gets a full one
    assert make(plane, instance, incremental=1)["parent_id"] is None
    plane.request("POST", "/instances", {"instance": {
        "name": "r", "flavorRef": "1", "volume": {"size": 1},
        "restorePoint": {"backupRef": second}}}, status=400)


def test_an_operator_chooses_how_new_backups_are_made(plane: ControlPlane,
                                                      instance: str) -> None:
    first = make(plane, instance, incremental=1)
    with plane.db.reader() as session:
        [engine] = session.scalars(select(DatastoreVersion.manager).distinct())
    plane.conf.set_override("backup_strategy", "another", group=engine)
    refused = plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, "parent_id": first["id"]}}, status=409)
    assert "made in another way now" in refused.text
    # what nobody named is not continued, but the next one is
    second = make(plane, instance, incremental=1)
    assert second["parent_id"] is None
    assert make(plane, instance, incremental=1)["parent_id"] == second["id"]
    usual = load_datastores()[engine].backup_strategy
    assert [one.strategy for one in asked(plane, "create_backup")] == [
        usual, "another", "another"]
    # one of before is restored as it was made
    new = plane.create(name="r", restorePoint={"backupRef": first["id"]})
    plane.wait(new, "ACTIVE")
    [restore] = [one.restore for one in asked(plane, "prepare") if one.restore is not None]
    assert [one.strategy for one in restore.chain] == [usual]


def test_an_agent_that_cannot_continue_a_backup_makes_a_full_one(
        plane: ControlPlane, instance: str) -> None:
    first = make(plane, instance)["id"]
    plane.agent(instance).continues = False
    full = make(plane, instance, incremental=1)
    assert (full["parent_id"], full["error"]) == (None, None)
    last = asked(plane, "create_backup")[-2:]
    assert [one.parent is None for one in last] == [False, True]
    # which an agent does not take for the one that it refused
    assert last[0].operation_id == last[1].operation_id
    assert last[0].step != last[1].step
    # who names one wants that one
    failed = make(plane, instance, "FAILED", parent_id=first)
    assert (failed["parent_id"], failed["error"]) == (first, NOT_KEPT)
    plane.agent(instance).continues = True
    assert make(plane, instance, incremental=1)["parent_id"] == full["id"]


def test_damage_that_is_found_as_a_backup_begins_makes_it_a_full_one(
        plane: ControlPlane, instance: str) -> None:
    first = make(plane, instance)["id"]
    plane.minicloud.swift._store.delete(
        f"AUTH_{plane.project_id}", "database_backups", f"backup_{first}/000")
    assert make(plane, instance, incremental=1)["parent_id"] is None
    assert row(plane, first).state == "CORRUPT"


def test_a_full_backup_instead_of_another_is_cancelled(
        plane: ControlPlane, instance: str) -> None:
    make(plane, instance)
    agent = plane.agent(instance)
    agent.continues, agent.quiet = False, True
    ident = plane.request("POST", "/backups", {"backup": {
        "name": "b", "instance": instance, "incremental": 1}}, status=202).json["backup"]["id"]
    wait_for(lambda: len(asked(plane, "create_backup")) == 3, "the full backup")
    operation = plane.request("GET", f"/operations?resource_id={ident}").json["operations"][0]
    plane.request("POST", f"/operations/{operation['id']}/cancel", status=202)
    wait_for(lambda: row(plane, ident).state == "FAILED", "the end")
    left, = asked(plane, "cancel_step")
    assert left.step == asked(plane, "create_backup")[-1].step


def test_another_worker_goes_on_with_the_full_backup_that_one_began(world: World) -> None:
    world.backup()
    agent = world.plane.agent(world.instance())
    agent.continues = False
    ident = world.new_backup()
    operation_id = world.live(ident)
    worker = Worker(world.plane, lambda _work, passed: passed.startswith("ask object store") and (
        row(world.plane, ident).parent_id is None))
    assert worker.run(operation_id), worker.points
    worker.expire(operation_id)
    assert world.finish(operation_id).status == operations.SUCCEEDED
    worker.end()
    assert [one.parent is None for name, one in agent.asked if name == "create_backup"][-2:] == [
        False, True]
    agent.continues = True
    world.tidy()


def test_a_key_of_its_own_encrypts_each_backup_and_comes_with_the_restore(
        plane: ControlPlane, instance: str) -> None:
    plain = make(plane, instance)["id"]
    plane.conf.set_override("backup_encryption", True)
    first, second = (make(plane, instance, incremental=1)["id"] for _ in range(2))
    keys = [request.key for request in asked(plane, "create_backup")]
    assert keys[0] is None
    assert len({base64.urlsafe_b64decode(one.reveal()) for one in keys[1:]}) == 2
    assert row(plane, plain).sealed_key is None
    for ident, key in zip((first, second), keys[1:], strict=True):
        assert key.reveal() not in str(row(plane, ident).sealed_key)
    # what is encrypted stays so
    plane.conf.set_override("backup_encryption", False)
    plane.wait(plane.create(name="other", restorePoint={"backupRef": second}), "ACTIVE")
    restored = asked(plane, "prepare")[-1].restore.keys
    assert [one and one.reveal() for one in restored] == [
        one and one.reveal() for one in keys]
    plane.request("DELETE", f"/backups/{plain}", status=202)
    plane.wait_gone(f"/backups/{plain}")

    def forgotten() -> bool:
        with plane.db.reader() as session:
            return not BACKUPS.sealed_with(session)

    wait_for(forgotten, "the keys to be forgotten")


def test_why_a_backup_failed_is_told_with_it_and_with_its_instance(
        plane: ControlPlane, instance: str) -> None:
    plane.hypervisor.failures["create_backup"] = "No space left."
    failed = make(plane, instance, "FAILED")
    assert failed["error"] == "No space left."
    shown = plane.show(instance)
    assert (shown["status"], shown["fault"]["message"]) == ("ACTIVE", "No space left.")
    details = plane.request("GET", f"/mgmt/instances/{instance}", token="admin").json[
        "instance"]["fault"]["details"]
    assert "instance.create" not in details
    assert "backup.create" in details
    plane.hypervisor.failures.clear()
    assert make(plane, instance)["error"] is None


def test_strategies_and_leases_of_an_instance_end_with_it(
        plane: ControlPlane, instance: str) -> None:
    with plane.db.writer() as session:
        for ident in (instance, "another"):
            duties.take(session, duties.log_duty(ident, "error"), "a request",
                        plane.clock.now(), 3600)
    for ident in (None, instance):
        plane.request("POST", "/backup_strategies", {"backup_strategy": {
            "swift_container": "mine", "instance_id": ident}}, status=202)
    made = make(plane, instance)
    assert "/mine/" in made["locationRef"]
    plane.request("DELETE", f"/instances/{instance}", status=202)
    plane.wait_gone(f"/instances/{instance}")
    listed = plane.request("GET", "/backup_strategies", status=200).json["backup_strategies"]
    assert [one["instance_id"] for one in listed] == [None]
    with plane.db.reader() as session:
        assert session.scalars(select(Duty.name).where(Duty.name.startswith("log:"))).all() == [
            "log:another:error"]


# ---- taken over from the object store -----------------------------------------------


def take_over(plane: ControlPlane, location: str, status: str = "RESTORED",
              **more: Any) -> dict[str, Any]:
    """Take a backup over; return its view when that has ended."""
    ident = plane.request("POST", "/backups", {"backup": {"name": "t", "restore_from": {
        "remote_location": location, "local_datastore_version_id": "v", "size": 0.2,
        **more}}}, status=202).json["backup"]["id"]

    def ended() -> Any:
        shown = plane.request("GET", f"/backups/{ident}", status=200).json["backup"]
        return shown if shown["status"] in ("RESTORED", "FAILED") else None

    shown: dict[str, Any] = wait_for(ended, "the backup")
    assert shown["status"] == status, row(plane, ident).error
    return shown


def forget(plane: ControlPlane, ident: str) -> None:
    """Let the store know nothing of a backup any more, as that of another cloud does."""
    with plane.db.writer() as session:
        found = session.get(Backup, ident)
        assert found is not None
        found.deleted, found.tenant_id = True, "gone"


def test_a_backup_of_another_service_is_taken_over_and_restored(
        plane: ControlPlane, instance: str) -> None:
    source = make(plane, instance)
    forget(plane, source["id"])
    taken = take_over(plane, source["locationRef"])
    assert (taken["instance_id"], taken["locationRef"]) == (None, source["locationRef"])
    assert (taken["size"], taken["datastore"]["version_id"]) == (source["size"], "v")
    plane.wait(plane.create(name="other", restorePoint={"backupRef": taken["id"]}), "ACTIVE")
    restore = asked(plane, "prepare")[-1].restore
    assert [one.segments[0].name for one in restore.chain] == [f"backup_{source['id']}/000"]
    assert restore.grants[0].prefix == f"backup_{source['id']}/"
    # its objects are not its own
    store, account = plane.minicloud.swift._store, f"AUTH_{plane.project_id}"
    before = {one.name for one in store.objects(account, "database_backups")}
    plane.request("DELETE", f"/backups/{taken['id']}", status=202)
    plane.wait_gone(f"/backups/{taken['id']}")
    assert {one.name for one in store.objects(account, "database_backups")} == before
    assert plane.quota()["backups"] == (0, 0) or plane.quota()["backups"][1] == 0


def test_what_cannot_be_taken_over_fails_with_the_reason(plane: ControlPlane,
                                                         instance: str) -> None:
    full = make(plane, instance)
    good = full["locationRef"]
    base = good.rpartition("/database_backups/")[0]
    other = base.replace(f"AUTH_{plane.project_id}", "AUTH_" + "0" * 32)
    name = f"backup_{full['id']}"
    for location, why in (
            (f"{base}/database_backups/none.manifest", "no backup at the location"),
            (f"{base}/database_backups/{name}.json", "not one of a backup"),
            (good.replace("127.0.0.1", "127.0.0.9"), "not one of a backup"),
            (f"{other}/database_backups/{name}.manifest", "not one of a backup"),
            (f"{base}/../AUTH_{'0' * 32}/c/x.manifest", "not one of a backup"),
            (f"{base}/%2e%2e/AUTH_{'0' * 32}/c/x.manifest", "not one of a backup"),
            (f"{base}/database_backups", "not one of a backup")):
        failed = take_over(plane, location, "FAILED")
        assert why in str(row(plane, failed["id"]).error), location
        plane.request("DELETE", f"/backups/{failed['id']}", status=202)
        plane.wait_gone(f"/backups/{failed['id']}")
    store, account = plane.minicloud.swift._store, f"AUTH_{plane.project_id}"
    assert store.get(account, "database_backups", f"{name}.json") is not None
    store.delete(account, "database_backups", f"{name}/000")
    assert "missing" in str(row(plane, take_over(plane, good, "FAILED")["id"]).error)
    put = plane.tools.clouds.objects.write_object
    for content in (b"", b"x", b"{}", b'{"stored": {"strategy": "mariabackup", "segments": [], '
                    b'"checksum": "", "size": 0}}'):
        put(plane.project_id, "database_backups", f"{name}.json", content)
        take_over(plane, good, "FAILED")


def listed(plane: ControlPlane) -> dict[str, Backup]:
    """Return the backups of the project by their names."""
    with plane.db.reader() as session:
        found = {one.name: one for one in session.scalars(select(Backup).where(
            Backup.deleted.is_(False), Backup.tenant_id == plane.project_id))}
        session.expunge_all()
    return found


def rewrite(plane: ControlPlane, ident: str, **values: Any) -> None:
    """Write other values into the record that stands beside a backup."""
    objects = plane.tools.clouds.objects
    name = f"backup_{ident}.json"
    record = json.loads(objects.read_object(
        plane.project_id, "database_backups", name, 10 ** 6) or b"")
    objects.write_object(plane.project_id, "database_backups", name,
                         json.dumps({**record, **values}).encode())


def test_names_in_a_record_lead_to_no_other_project(plane: ControlPlane, instance: str) -> None:
    source, victim = make(plane, instance), "0" * 32
    stored = row(plane, source["id"]).manifest
    forget(plane, source["id"])
    objects = plane.tools.clouds.objects
    objects.ensure_container(victim, "secret")
    objects.write_object(victim, "secret", "o", b"x")
    rewrite(plane, source["id"], stored={**stored, "segments": [{
        **stored["segments"][0], "size": 1, "md5": hashlib.md5(b"x").hexdigest(),
        "name": f"backup_{source['id']}/../../../AUTH_{victim}/secret/o"}]})
    failed = take_over(plane, source["locationRef"], "FAILED")
    assert "elsewhere" in str(row(plane, failed["id"]).error)


@pytest.fixture
def chain(plane: ControlPlane, instance: str) -> list[str]:
    """Three backups of another service that continue each other."""
    made = [make(plane, instance, incremental=1) for _ in range(3)]
    for one in made:
        forget(plane, one["id"])
    return [one["locationRef"] for one in made]


@pytest.mark.parametrize("copied", [False, True])
def test_a_chain_of_another_service_is_taken_over_and_restored(
        plane: ControlPlane, chain: list[str], copied: bool) -> None:
    sources = [one.rpartition("backup_")[2].removesuffix(".manifest") for one in chain]
    if copied:
        # its records name places of another cloud
        for above, ident in zip(sources, sources[1:], strict=False):
            rewrite(plane, ident, parent="https://swift.example.net/v1/AUTH_other/database_"
                    f"backups/backup_{above}.manifest")
    taken = take_over(plane, chain[2])
    rows = listed(plane)
    assert sorted(rows) == ["t", "t (part 1)", "t (part 2)"]
    links = [rows["t (part 1)"], rows["t (part 2)"], rows["t"]]
    assert [one.parent_id for one in links] == [None, links[0].id, links[1].id]
    assert {one.state for one in links} == {"RESTORED"}
    assert taken["parent_id"] == links[1].id
    assert [one.location for one in links] == chain
    assert plane.quota()["backups"] == (6, 0)  # three of them are the other service's
    plane.wait(plane.create(name="other", restorePoint={"backupRef": taken["id"]}), "ACTIVE")
    restore = asked(plane, "prepare")[-1].restore
    assert [one.prefix for one in restore.grants] == [f"backup_{one}/" for one in sources]
    # what is known is not made known again
    again = take_over(plane, chain[2])
    assert again["parent_id"] == taken["parent_id"]
    assert plane.quota()["backups"] == (7, 0)
    # and all go with the first, but not their objects
    plane.request("DELETE", f"/backups/{links[0].id}", status=202)
    for ident in (again["id"], *(one.id for one in links)):
        plane.wait_gone(f"/backups/{ident}")
    objects = plane.minicloud.swift._store.objects(
        f"AUTH_{plane.project_id}", "database_backups")
    assert len([one for one in objects if one.name.endswith("/000")]) == 3


def test_own_backups_are_continued_by_what_is_taken_over(
        plane: ControlPlane, instance: str) -> None:
    first, second = (make(plane, instance, incremental=1) for _ in range(2))
    forget(plane, second["id"])
    assert take_over(plane, second["locationRef"])["parent_id"] == first["id"]
    assert len(listed(plane)) == 2


def test_a_chain_that_is_not_whole_is_not_taken_over(
        plane: ControlPlane, chain: list[str]) -> None:
    store, account = plane.minicloud.swift._store, f"AUTH_{plane.project_id}"
    first, second, third = (
        one.rpartition("backup_")[2].removesuffix(".manifest") for one in chain)

    def refused(why: str) -> None:
        failed = take_over(plane, chain[2], "FAILED")
        assert why in str(row(plane, failed["id"]).error)
        assert list(listed(plane)) == ["t"]
        plane.request("DELETE", f"/backups/{failed['id']}", status=202)
        plane.wait_gone(f"/backups/{failed['id']}")

    plane.conf.set_override("max_backups_per_tenant", 5)
    refused("Quota exceeded for backups")
    plane.conf.set_override("max_backups_per_tenant", 50)
    plane.conf.set_override("backup_chain_limit", 2)
    refused("continues more than 1 others")
    plane.conf.set_override("backup_chain_limit", 50)
    rewrite(plane, third, parent=chain[0])
    refused("does not continue the one")
    rewrite(plane, third, parent=None)
    refused("does not say which one")
    rewrite(plane, third, parent=chain[2])
    refused("does not continue the one")
    rewrite(plane, third, parent=chain[1].replace(second, "0" * 36))
    refused("no backup at the location")
    rewrite(plane, third, parent="https://swift.example.net/v1/AUTH_x/c/none.manifest")
    refused("not in the object store")
    rewrite(plane, third, parent=chain[1])
    store.delete(account, "database_backups", f"backup_{first}/000")
    refused("A backup that this one continues is damaged")


@pytest.mark.parametrize("incremental", [False, True])
def test_an_encrypted_backup_of_the_same_service_is_taken_over_with_its_key(
        plane: ControlPlane, instance: str, incremental: bool) -> None:
    """As in another region: the key is in the store."""
    plane.conf.set_override("backup_encryption", True)
    sources = [make(plane, instance, incremental=1) for _ in range(1 + incremental)]
    taken = take_over(plane, sources[-1]["locationRef"])
    keys = [request.key.reveal() for request in asked(plane, "create_backup")]
    assert keys[-1] not in str(row(plane, taken["id"]).sealed_key)
    plane.wait(plane.create(name="other", restorePoint={"backupRef": taken["id"]}), "ACTIVE")
    assert [one.reveal() for one in asked(plane, "prepare")[-1].restore.keys] == keys


def test_an_encrypted_backup_of_another_service_needs_a_shared_secret(
        plane: ControlPlane, instance: str) -> None:
    conf = plane.conf
    conf.set_override("backup_encryption", True)
    for name, secrets in (("alone", []), ("shared", ["a-shared-secret", "an-older-one"])):
        conf.set_override("backup_transfer_keys", secrets)
        source = make(plane, instance, name=name)
        forget(plane, source["id"])
        record = plane.tools.clouds.objects.read_object(
            plane.project_id, "database_backups", f"backup_{source['id']}.json", 10 ** 6)
        assert record is not None
        key = asked(plane, "create_backup")[-1].key.reveal()
        assert key.encode() not in record

    def refused(ident: str, location: str, why: str) -> None:
        failed = take_over(plane, location, "FAILED")
        assert why in str(row(plane, failed["id"]).error)
        assert row(plane, failed["id"]).sealed_key is None
        answer = plane.request("POST", "/instances", {"instance": {
            "name": "r", "flavorRef": "1", "volume": {"size": 1},
            "restorePoint": {"backupRef": failed["id"]}}})
        assert answer.status_int in (400, 409, 422)

    def place(ident: str) -> str:
        return str(source["locationRef"]).replace(source["id"], ident)

    with plane.db.reader() as session:
        alone, shared = (session.scalars(select(Backup.id).where(
            Backup.name == name)).one() for name in ("alone", "shared"))
    refused(alone, place(alone), "its key is where it was made")
    for secrets in ([], ["another-secret"]):
        conf.set_override("backup_transfer_keys", secrets)
        refused(shared, place(shared), "its key cannot be read here")
    conf.set_override("backup_transfer_keys", ["newer", "a-shared-secret"])
    taken = take_over(plane, place(shared))
    plane.wait(plane.create(name="other", restorePoint={"backupRef": taken["id"]}), "ACTIVE")
    assert [one.reveal() for one in asked(plane, "prepare")[-1].restore.keys] == [key]
    # a key that opens and is another one's
    box = SecretBox(["a-shared-secret"], "backup transfer")
    wrong = base64.urlsafe_b64encode(bytes(32)).decode()
    for owner, text, why in (
            (plane.project_id, wrong, "not encrypted with the key"),
            (plane.project_id, "short", "not encrypted with the key"),
            ("of-another-cloud", key, "its key cannot be read here")):
        rewrite(plane, shared, key=box.seal(text, f"{owner}/backup_{shared}/"))
        refused(shared, place(shared), why)
    conf.set_override("backup_foreign_projects", {"of-another-cloud": plane.project_id,
                                                  "x": "y"})
    take_over(plane, place(shared))
    rewrite(plane, shared, key="not sealed at all")
    refused(shared, place(shared), "its key cannot be read here")


def test_an_encrypted_backup_without_its_first_object_is_not_taken_over(
        plane: ControlPlane, instance: str) -> None:
    plane.conf.set_override("backup_encryption", True)
    made = make(plane, instance)
    stored = row(plane, made["id"])
    name = stored.manifest["segments"][0]["name"]
    plane.minicloud.regions["RegionOne"].swift._store.delete(
        f"AUTH_{stored.tenant_id}", str(stored.container), name)
    taken = plane.request("POST", "/backups", {"backup": {"name": "taken over", "restore_from": {
        "remote_location": made["locationRef"], "local_datastore_version_id": "v",
        "size": 0.2}}}, status=202).json["backup"]["id"]
    wait_for(lambda: row(plane, taken).state == "FAILED", "the end")
    assert row(plane, taken).error == f"The object {name} of the backup is missing, or empty."
