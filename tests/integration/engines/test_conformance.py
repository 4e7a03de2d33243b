"""What every engine must be able to do, over REST, with a real server and its own client."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.cloud import AllInOne
from tests.integration.engines.engines import DATABASE, ENGINES, USER, WITHOUT_SERVER, Engine
from tests.integration.processes import kill
from trove_ng.datastores import base as datastores
from trove_ng.datastores.guest_logs import LogKind
from trove_ng.domain.capabilities import declared, reasons
from trove_ng.domain.capabilities import values as ways_of

ROWS = int(os.environ.get("TROVE_ENGINE_ROWS", "300"))


#: keeps a figure of a scenario for the summary
Recorder = Callable[[str, object], None]


class Instance:
    """An instance of one engine, as its owner has it."""

    def __init__(self, cloud: AllInOne, engine: Engine, size: int = 1,
                 ident: str | None = None, **more: Any) -> None:
        self.cloud, self.engine, self.password = cloud, engine, engine.password
        self.rest = cloud.rest()
        self.id = ident or str(self.rest.post("/instances", {"instance": {
            "name": f"conformance-{engine.name}", "flavorRef": "1", "volume": {"size": size},
            "datastore": {"type": engine.name, "version": engine.version}, **more}},
        ).json()["instance"]["id"])
        self.wait()

    def wait(self, status: str = "ACTIVE") -> dict[str, Any]:
        """Wait until it has a status, and remember its address."""
        shown = self.cloud.wait_status(self.id, status, 180)
        self.address = str(shown["ip"][0])
        return shown

    def shown(self) -> dict[str, Any]:
        """Return what is said of it now."""
        found: dict[str, Any] = self.rest.get(f"/instances/{self.id}").json()["instance"]
        return found

    def replica(self, name: str) -> Instance:
        """Return its first replica, which the released client makes."""
        self.cloud.run("trove", "create", name, "1", "--replica_of", self.id)
        found = self.cloud.openstack("database", "instance", "show", self.id)
        return Instance(self.cloud, self.engine, ident=found["replicas"].strip())

    def act(self, action: str, body: Any) -> None:
        self.rest.post(f"/instances/{self.id}/action", {action: body})
        self.cloud.wait_operations(self.id)
        self.wait()

    def write(self, count: int = ROWS) -> Any:
        return self.engine.write(self.address, self.password, count)

    def read(self) -> Any:
        return self.engine.read(self.address, self.password)

    def setting(self, name: str) -> str:
        return self.engine.setting(self.address, self.password, name)

    def attach(self, configuration: str | None) -> None:
        self.rest.request("PUT", f"/instances/{self.id}", json={
            "instance": {"configuration": configuration}})
        self.cloud.wait_operations(self.id)

    def delete(self) -> None:
        self.rest.request("DELETE", f"/instances/{self.id}")
        self.cloud.wait_gone(self.id)


def eventually(truth: Callable[[], bool], what: str, seconds: float = 60,
               pause: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < deadline, what
        time.sleep(pause)


def ask_by_client(engine: Engine, version: str) -> list[str]:
    """Return how the released client asks for an instance with a database and a user."""
    users = ["--databases", DATABASE, "--users", f"{USER}:{engine.password}"]
    return ["trove", "create", f"conformance-{engine.name}", "1", "--size", "1",
            "--datastore", engine.name, "--datastore_version", version,
            *(users if engine.password else [])]


@pytest.fixture(scope="module", params=sorted(ENGINES))
def instance(request: pytest.FixtureRequest, cloud: AllInOne) -> Iterator[Instance]:
    """An instance with data, which the released client makes."""
    engine = ENGINES[request.param]
    found = re.search(r"\| id +\| (\S+)", cloud.run(*ask_by_client(engine, engine.version)))
    assert found is not None
    made = Instance(cloud, engine, ident=found[1])
    made.write()
    yield made
    made.delete()


def configure(instance: Instance, values: dict[str, Any]) -> str:
    """Make a group of settings and return its id."""
    made = instance.rest.post("/configurations", {"configuration": {
        "name": f"conformance-{instance.engine.name}", "values": values,
        "datastore": {"type": instance.engine.name, "version": instance.engine.version}}})
    return str(made.json()["configuration"]["id"])


def declaration(instance: Instance) -> datastores.Datastore:
    """Return what the engine declares of the version."""
    return datastores.get(instance.engine.name).of(instance.engine.version)


def able(instance: Instance, capability: str) -> None:
    """Skip a scenario that the engine does not declare."""
    if not getattr(declaration(instance).capabilities, capability):
        pytest.skip(f"{instance.engine.name} declares no {capability}")


def published(instance: Instance, log: str, **how: int) -> str:
    """Publish what a log has, and return it.

    :param how: what is done with the log besides
    """
    rest = instance.rest
    shown = rest.post(f"/instances/{instance.id}/log", {
        "name": log, "publish": True, **how}).json()["log"]
    assert shown["published"] > 0
    store = rest.catalog["object-store"].rstrip("/")
    names = rest.session.get(f"{store}/{shown['container']}", timeout=30, params={
        "prefix": shown["prefix"], "format": "json"}).json()
    return "".join(rest.session.get(f"{store}/{shown['container']}/{one['name']}",
                                    timeout=30).text for one in names)


def archive_begins(instance: Instance) -> None:
    """Wait until the log is archived: a database that writes none until now is restarted."""
    eventually(lambda: "archived_at" in instance.shown()["log_archiving"],
               # requests are counted
               "the archive to begin", 120, pause=1)


def archived_moment(instance: Instance) -> tuple[Any, datetime.datetime]:
    """Return rows, and a time when there were no more; the log is archived up to there."""
    rows = instance.write(10)
    time.sleep(1.1)
    now = datetime.datetime.now(datetime.UTC)
    time.sleep(0.1)
    instance.write(10)
    eventually(lambda: (instance.shown()["latest_restorable_time"] or "") > now.isoformat(),
               "the log to be archived", 300, pause=1)
    return rows, now


def test_each_installed_engine_is_tried_or_it_is_known_why_not() -> None:
    assert {*ENGINES} & {*WITHOUT_SERVER} == set()
    assert {*ENGINES, *WITHOUT_SERVER} == {*datastores.load_datastores()}


def test_the_released_client_has_made_what_it_asked_for(instance: Instance) -> None:
    cloud, engine, shown = instance.cloud, instance.engine, instance.shown()
    assert (shown["name"], shown["flavor"]["id"], shown["volume"]["size"]) == (
        f"conformance-{engine.name}", "1", 1)
    assert (shown["datastore"]["type"], shown["datastore"]["version"]) == (
        engine.name, engine.version)
    printed = cloud.run("trove", "show", instance.id)
    for name, value in (("status", "ACTIVE"), ("datastore", engine.name),
                        ("datastore_version", engine.version), ("ip", instance.address)):
        assert re.search(rf"\| {name} +\| {re.escape(value)} ", printed), printed
    assert engine.name in cloud.run("trove", "datastore-list")
    assert engine.version in cloud.run("trove", "datastore-version-list", engine.name)


def test_the_released_client_is_told_of_a_version_that_is_not_there(instance: Instance) -> None:
    listed = instance.rest.get("/instances").json()["instances"]
    done = instance.cloud.attempt(*ask_by_client(instance.engine, "not-there"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "Datastore version not-there cannot be found. (HTTP 404)" in done.stderr
    assert [one["id"] for one in instance.rest.get("/instances").json()["instances"]] == [
        one["id"] for one in listed]


def test_the_declared_capabilities_are_told(instance: Instance) -> None:
    shown = instance.rest.get(
        f"/datastores/{instance.engine.name}/versions/{instance.engine.version}/capabilities"
    ).json()["capabilities"]
    engine = declaration(instance)
    able_to, why_not, ways = declared(engine), reasons(engine), ways_of(engine)
    assert {one["name"]: (one["enabled"], one["reason"], one["values"]) for one in shown} == {
        name: (able_to[name], why_not.get(name), ways.get(name, [])) for name in able_to}
    assert [one["name"] for one in shown if one["enabled"] is bool(one["reason"])] == []


@pytest.mark.parametrize(("capability", "path", "body"), [
    ("databases", "databases", {"databases": [{"name": "other"}]}),
    ("users", "users", {"users": [{"name": "other", "password": "pw-Other1",
                                   "databases": []}]})])
def test_databases_and_users_are_made_or_refused(instance: Instance, capability: str,
                                                 path: str, body: Any) -> None:
    url = f"/instances/{instance.id}/{path}"
    able_to = getattr(declaration(instance).capabilities, capability)
    answer = instance.rest.request("POST", url, json=body, check=False)
    listed = instance.rest.request("GET", url, check=False)
    if able_to:
        assert (answer.status_code, listed.status_code) == (202, 200)
        assert "other" in [one["name"] for one in listed.json()[path]]
        instance.rest.request("DELETE", f"{url}/other")
    else:
        assert (answer.status_code, instance.engine.name in answer.text.lower()) == (
            501, True), answer.text
        assert listed.status_code == answer.status_code


def test_users_come_in_where_they_are_let_in(instance: Instance) -> None:
    able(instance, "users")
    rest, path = instance.rest, f"/instances/{instance.id}"
    rest.post(f"{path}/databases", {"databases": [{"name": "first"}, {"name": "second"}]})
    rest.post(f"{path}/users", {"users": [
        {"name": "visitor", "password": "pw-Visit1", "databases": [{"name": "first"}]}]})

    def tried(database: str, password: str, let_in: bool) -> None:
        with contextlib.ExitStack() as stack:
            if not let_in:
                stack.enter_context(pytest.raises(Exception, match=instance.engine.refused))
            instance.engine.log_in(instance.address, "visitor", password, database)

    tried("first", "pw-Visit1", let_in=True)
    tried("first", "pw-Other1", let_in=False)
    tried("second", "pw-Visit1", let_in=False)
    rest.request("PUT", f"{path}/users/visitor/databases", json={
        "databases": [{"name": "second"}]})
    tried("second", "pw-Visit1", let_in=True)
    rest.request("DELETE", f"{path}/users/visitor/databases/first")
    tried("first", "pw-Visit1", let_in=False)
    rest.request("PUT", f"{path}/users", json={"users": [
        {"name": "visitor", "password": "pw-Visit2"}]})
    tried("second", "pw-Visit1", let_in=False)
    tried("second", "pw-Visit2", let_in=True)
    rest.request("DELETE", f"{path}/users/visitor")
    tried("second", "pw-Visit2", let_in=False)
    for name in ("first", "second"):
        rest.request("DELETE", f"{path}/databases/{name}")


def test_data_outlive_a_restart(instance: Instance) -> None:
    before = instance.read()
    instance.act("restart", {})
    assert instance.read() == before


def test_another_flavor_and_a_larger_volume_keep_the_data_or_are_refused(
        instance: Instance) -> None:
    before, (name, small, large) = instance.read(), instance.engine.by_memory
    assert instance.setting(name) == str(small)
    if not declaration(instance).capabilities.resize:
        for wanted in ({"flavorRef": "2"}, {"volume": {"size": 2}}):
            answer = instance.rest.request("POST", f"/instances/{instance.id}/action",
                                           json={"resize": wanted}, check=False)
            assert (answer.status_code, "does not offer resize" in answer.text) == (
                501, True), answer.text
        return
    instance.act("resize", {"flavorRef": "2"})
    assert (instance.shown()["flavor"]["id"], instance.setting(name)) == ("2", str(large))
    assert instance.read() == before
    instance.act("resize", {"volume": {"size": 2}})
    assert (instance.shown()["volume"]["size"], instance.setting(name)) == (2, str(large))
    assert instance.read() == before


def test_settings_take_effect(instance: Instance) -> None:
    able(instance, "configuration")
    name, first, second = instance.engine.dynamic
    static, value = instance.engine.static
    before, static_before = instance.setting(name), instance.setting(static)
    assert before not in (str(first), str(second))
    group = configure(instance, {name: first})
    instance.attach(group)
    eventually(lambda: instance.setting(name) == str(first), f"{name} to be {first}")
    instance.rest.request("PATCH", f"/configurations/{group}", json={
        "configuration": {"values": {name: second, static: value}}})
    eventually(lambda: instance.setting(name) == str(second), f"{name} to be {second}")
    instance.wait("RESTART_REQUIRED")
    assert instance.setting(static) == static_before
    instance.act("restart", {})
    assert instance.setting(static) == str(value)
    instance.attach(None)
    eventually(lambda: instance.setting(name) == before, f"{name} to be {before}")
    instance.act("restart", {})
    assert (instance.setting(name), instance.setting(static)) == (before, static_before)
    instance.rest.request("DELETE", f"/configurations/{group}")


def test_a_value_that_is_not_allowed_is_refused(instance: Instance) -> None:
    able(instance, "configuration")
    for values in ({"no_such_setting": 1}, {instance.engine.static[0]: "many"}):
        answer = instance.rest.request("POST", "/configurations", check=False, json={
            "configuration": {"name": "bad", "values": values, "datastore": {
                "type": instance.engine.name, "version": instance.engine.version}}})
        assert 400 <= answer.status_code < 500, answer.text
        assert next(iter(values)) in answer.text


def test_the_log_of_errors_is_published(instance: Instance) -> None:
    assert instance.engine.started in published(instance, "error")


def test_logs_of_statements_are_written_while_they_are_to_be(instance: Instance) -> None:
    names = [one.name for one in declaration(instance).logs if one.kind is LogKind.USER]
    if not names:
        pytest.skip(f"{instance.engine.name} has no logs that are switched")

    def switch(name: str, **how: int) -> None:
        instance.rest.post(f"/instances/{instance.id}/log", {"name": name, **how})
        instance.cloud.wait_operations(instance.id)
        assert instance.wait()["status"] == "ACTIVE"

    for name in names:
        def said(word: str, name: str = name) -> None:
            instance.engine.say_slowly(instance.address, instance.password, f"{word}-{name}")

        said("before")
        switch(name, enable=1)
        said("while")
        eventually(lambda name=name: f"while-{name}" in published(instance, name),
                   f"a statement in the log {name}", pause=1)
        switch(name, disable=1)
        said("after")
        # publishing alone would switch it on
        text = published(instance, name, disable=1)
        assert [f"{word}-{name}" in text for word in ("before", "after")] == [False, False]


def test_a_backup_is_restored_with_all_data(instance: Instance,
                                            record_property: Recorder) -> None:
    able(instance, "backups")
    before = instance.write()
    backup = instance.rest.post("/backups", {"backup": {
        "name": "conformance", "instance": instance.id}}).json()["backup"]
    begun = time.monotonic()
    shown = instance.cloud.wait_backup(backup["id"])
    record_property("backup, s", round(time.monotonic() - begun, 1))
    record_property("rows", len(before))
    assert shown["size"] > 0
    assert shown["datastore"]["type"] == instance.engine.name
    instance.write(10)
    begun = time.monotonic()
    other = Instance(instance.cloud, instance.engine, size=2,
                     restorePoint={"backupRef": backup["id"]})
    record_property("restore to a new instance, s", round(time.monotonic() - begun, 1))
    assert other.read() == before
    other.delete()
    instance.rest.request("DELETE", f"/backups/{backup['id']}")
    instance.cloud.wait_operations(backup["id"])


def test_a_snapshot_of_the_volume_is_restored_or_refused(instance: Instance) -> None:
    wanted = {"name": "snapshot", "instance": instance.id, "storage_driver": "cinder"}
    if not declaration(instance).capabilities.snapshots:
        answer = instance.rest.request("POST", "/backups", check=False, json={"backup": wanted})
        assert (answer.status_code, "does not offer snapshots" in answer.text) == (
            400, True), answer.text
        return
    before = instance.write(10)
    backup = instance.rest.post("/backups", {"backup": wanted}).json()["backup"]["id"]
    instance.cloud.wait_backup(backup)
    # the data are let go again
    instance.write(10)
    other = Instance(instance.cloud, instance.engine, size=2,
                     restorePoint={"backupRef": backup})
    assert other.read() == before
    assert len(other.write(10)) == len(before) + 10
    other.delete()
    instance.rest.request("DELETE", f"/backups/{backup}")
    instance.cloud.wait_operations(backup)


def test_a_backup_is_verified_until_it_is_damaged(instance: Instance) -> None:
    able(instance, "backups")
    rest = instance.rest
    instance.write()
    path = "/backups/" + rest.post("/backups", {"backup": {
        "name": "verified", "instance": instance.id}}).json()["backup"]["id"]
    instance.cloud.wait_backup(path[9:])

    def verdict(result: str) -> dict[str, Any]:
        rest.post(f"{path}/action", {"verify": {}})
        eventually(lambda: rest.get(f"/operations?resource_id={path[9:]}").json()["operations"][
            0]["ended_at"] is not None, "the verification", 180)
        shown: dict[str, Any] = rest.get(path).json()["backup"]
        assert shown["verification"]["result"] == result, shown
        return shown

    shown = verdict("GOOD")
    assert shown["verified_at"] is not None
    assert shown["restore_seconds"] > 0
    assert shown["verification"]["size"] > 0
    store, _, container = shown["locationRef"].rpartition("/")[0].rpartition("/")
    prefix = shown["locationRef"].rpartition("/")[2].removesuffix(".manifest")
    segments = rest.session.get(f"{store}/{container}", timeout=30, params={
        "prefix": f"{prefix}/", "format": "json"}).json()
    assert rest.session.put(f"{store}/{container}/{segments[0]['name']}", timeout=30,
                            data=b"x" * segments[0]["bytes"]).status_code == 201
    assert verdict("CORRUPT")["status"] == "CORRUPT"
    refused = rest.request("POST", "/instances", check=False, json={"instance": {
        "name": "r", "flavorRef": "1", "volume": {"size": 2},
        "datastore": {"type": instance.engine.name, "version": instance.engine.version},
        "restorePoint": {"backupRef": path[9:]}}})
    assert (refused.status_code, "CORRUPT" in refused.text) == (400, True), refused.text
    rest.request("DELETE", path)


def test_a_backup_that_continues_another_one_or_is_refused(instance: Instance) -> None:
    able(instance, "backups")
    first = instance.rest.post("/backups", {"backup": {
        "name": "first", "instance": instance.id}}).json()["backup"]["id"]
    instance.cloud.wait_backup(first)
    before = instance.write(10)
    answer = instance.rest.request("POST", "/backups", check=False, json={"backup": {
        "name": "second", "instance": instance.id, "parent_id": first}})
    if declaration(instance).capabilities.incremental_backups:
        second = answer.json()["backup"]["id"]
        instance.cloud.wait_backup(second)
        other = Instance(instance.cloud, instance.engine, size=2,
                         restorePoint={"backupRef": second})
        assert other.read() == before
        other.delete()
    else:
        assert (answer.status_code, "incremental" in answer.text) == (501, True), answer.text
    instance.rest.request("DELETE", f"/backups/{first}")
    instance.cloud.wait_operations(first)


def test_a_backup_is_brought_to_a_time_or_that_is_refused(instance: Instance) -> None:
    rest, path = instance.rest, f"/instances/{instance.id}"
    answer = rest.request("PATCH", path, check=False, json={
        "instance": {"log_archiving": {"enabled": True}}})
    if not declaration(instance).capabilities.log_archiving:
        assert (answer.status_code, "does not archive" in answer.text) == (501, True), answer.text
        return
    assert answer.status_code == 202, answer.text
    archive_begins(instance)
    backup = rest.post("/backups", {"backup": {
        "name": "before", "instance": instance.id}}).json()["backup"]["id"]
    instance.cloud.wait_backup(backup)
    before, now = archived_moment(instance)
    late = now + datetime.timedelta(days=1)
    point = {"backupRef": backup, "time": late.isoformat()}
    refused = rest.request("POST", "/instances", check=False, json={"instance": {
        "name": "r", "flavorRef": "1", "volume": {"size": 2}, "restorePoint": point,
        "datastore": {"type": instance.engine.name, "version": instance.engine.version}}})
    assert (refused.status_code, "is too late" in refused.text) == (400, True), refused.text
    other = Instance(instance.cloud, instance.engine, size=2,
                     restorePoint={**point, "time": now.isoformat()})
    assert other.read() == before
    other.delete()
    rest.request("PATCH", path, json={"instance": {"log_archiving": {"enabled": False}}})
    rest.request("DELETE", f"/backups/{backup}")
    instance.cloud.wait_operations(backup)


def test_a_new_root_disk_keeps_data_and_settings(instance: Instance) -> None:
    able(instance, "upgrades")
    able(instance, "configuration")
    before, (name, value, _), (static, later) = (
        instance.read(), instance.engine.dynamic, instance.engine.static)
    own = {one: instance.setting(one) for one in (name, static)}
    group = configure(instance, {name: value, static: later})
    instance.attach(group)
    instance.rest.request("PATCH", f"/instances/{instance.id}", json={
        "instance": {"datastore_version": instance.engine.version}})
    instance.cloud.wait_operations(instance.id, 180)
    instance.wait()
    assert instance.read() == before
    assert (instance.setting(name), instance.setting(static)) == (str(value), str(later))
    instance.attach(None)
    instance.act("restart", {})
    assert own == {one: instance.setting(one) for one in own}
    instance.rest.request("DELETE", f"/configurations/{group}")


def test_connections_are_encrypted(instance: Instance, tmp_path: pathlib.Path) -> None:
    able(instance, "tls")
    before, path = instance.read(), f"/instances/{instance.id}/ssl"

    def ask(**wanted: Any) -> None:
        instance.rest.post(path, {"ssl": wanted})
        instance.cloud.wait_operations(instance.id)
        if instance.rest.get(path).json()["ssl"]["restart_required"]:
            instance.act("restart", {})

    ask(enable=True, mode="enforced")
    shown = instance.rest.get(f"{path}?include_certificate=true").json()["ssl"]
    assert (shown["status"], shown["mode"]) == ("on", "enforced")
    assert instance.address in shown["certificate"]["san"]
    trusted = tmp_path / "authority.pem"
    trusted.write_text(shown["certificate"]["authority"])
    assert instance.engine.encrypted(instance.address, instance.password, str(trusted))
    with pytest.raises(Exception, match="Access denied|insecure transport|no encryption|refused"):
        instance.engine.encrypted(instance.address, instance.password, None)
    ask(disable=True)
    assert not instance.engine.encrypted(instance.address, instance.password, None)
    assert instance.read() == before


def change_replica(source: Instance, replica: Instance) -> None:
    """Give a replica settings and a flavor of its own, which take effect while it follows."""
    name, value, _ = replica.engine.dynamic
    sized, small, large = replica.engine.by_memory
    assert replica.setting(sized) == str(small)
    # the two may be one
    larger = {name: replica.setting(name), sized: str(large)}
    others = source.setting(name)
    group = configure(replica, {name: value})
    replica.attach(group)
    eventually(lambda: replica.setting(name) == str(value), f"{name} to be {value}")
    replica.act("resize", {"flavorRef": "2"})
    shown = replica.shown()
    assert (shown["flavor"]["id"], shown["replica_of"]["id"]) == ("2", source.id)
    assert (replica.setting(name), source.setting(name)) == (str(value), others)
    after = source.write(10)
    eventually(lambda: replica.read() == after, "what was written to a larger server")
    replica.attach(None)
    eventually(lambda: larger == {one: replica.setting(one) for one in larger},
               f"{name} and {sized} to be {larger}")
    source.rest.request("DELETE", f"/configurations/{group}")


def test_replicas_follow_until_they_are_detached(instance: Instance) -> None:
    able(instance, "replication")
    cloud, before = instance.cloud, instance.write()
    replica = instance.replica("conformance-replica")
    assert replica.read() == before
    after = instance.write(10)
    eventually(lambda: replica.read() == after, "what was written at the source")
    with pytest.raises(Exception, match=instance.engine.read_only):
        replica.write(1)
    replica.act("restart", {})
    instance.act("restart", {})
    after = instance.write(10)
    eventually(lambda: replica.read() == after, "what was written after restarts")
    change_replica(instance, replica)
    size = int(instance.wait()["volume"]["size"]) + 1
    instance.act("resize", {"volume": {"size": size}})
    assert [int(one.wait()["volume"]["size"]) for one in (instance, replica)] == [size, size]
    after = instance.write(10)
    eventually(lambda: replica.read() == after, "what was written to a larger volume")
    assert instance.rest.request(
        "DELETE", f"/instances/{instance.id}", check=False).status_code == 403
    cloud.run("openstack", "database", "instance", "detach", replica.id)
    cloud.wait_operations(replica.id)
    assert "replica_of" not in replica.wait()
    own, left = replica.write(1), instance.write(2)
    assert set(after) <= set(own)
    assert len(own) + 1 == len(left)
    replica.delete()
    names = [one["name"] for one in instance.rest.get("/backups").json()["backups"]]
    assert not any("replicas" in one for one in names), "the snapshot is left"


def test_replicas_take_the_place_of_their_source(instance: Instance,
                                                 record_property: Recorder) -> None:
    able(instance, "promotion")
    cloud, engine = instance.cloud, instance.engine
    source = Instance(cloud, engine, **engine.body())
    source.write()
    cloud.run("trove", "create", "taker", "1", "--replica_of", source.id, "--replica_count", "2")
    shown = cloud.openstack("database", "instance", "show", source.id)
    one, two = (Instance(cloud, engine, ident=ident.strip())
                for ident in shown["replicas"].split(","))
    before = source.write(10)
    begun = time.monotonic()
    cloud.run("openstack", "database", "instance", "promote", one.id)
    for member in (one, two, source):
        cloud.wait_operations(member.id)
        member.wait()
    record_property("promotion, s", round(time.monotonic() - begun, 1))
    assert "replica_of" not in one.wait()
    assert one.read() == before
    after = one.write(10)
    for follower in (two, source):
        eventually(lambda follower=follower: follower.read() == after, "what was written")
        assert follower.wait()["replica_of"]["id"] == one.id
        with pytest.raises(Exception, match=engine.read_only):
            follower.write(1)
    # its database ends, and its agent lives
    cloud.rest("openrc-admin").post(f"/mgmt/instances/{one.id}/action", {"stop": {}})
    cloud.wait_operations(one.id)
    eventually(lambda: one.shown().get("operating_status") == "SHUTDOWN", "the end")
    cloud.run("openstack", "database", "instance", "eject", one.id)
    for member in (one, two, source):
        cloud.wait_operations(member.id)
    taker, follower = sorted((two, source), key=lambda member: "replica_of" in member.wait())
    assert follower.wait()["replica_of"]["id"] == taker.id
    assert taker.read() == after
    after = taker.write(10)
    eventually(lambda: follower.read() == after, "what was written at the third source")
    for member in (follower, taker, one):
        member.delete()


@pytest.mark.skipif("TROVE_ENGINE_ROWS" not in os.environ, reason="in the full form only")
def test_the_archive_goes_on_at_a_new_source(instance: Instance) -> None:
    """The service makes the backup itself that the log of the new source continues."""
    able(instance, "promotion")
    able(instance, "log_archiving")
    cloud, engine, rest = instance.cloud, instance.engine, instance.rest
    source = Instance(cloud, engine, log_archiving={"enabled": True}, **engine.body())
    archive_begins(source)
    source.write()
    taker = source.replica("keeper")
    cloud.run("openstack", "database", "instance", "promote", taker.id)
    for member in (taker, source):
        cloud.wait_operations(member.id)
        member.wait()

    def bases() -> list[dict[str, Any]]:
        found = rest.get(f"/instances/{taker.id}/backups").json()["backups"]
        return [one for one in found if one["name"].startswith("archive-base-")]

    eventually(lambda: [one["status"] for one in bases()] == ["COMPLETED"],
               "the backup that the archive begins with", 300, pause=1)
    before, now = archived_moment(taker)
    other = Instance(cloud, engine, size=2, restorePoint={
        "backupRef": bases()[0]["id"], "time": now.isoformat()})
    assert other.read() == before
    for member in (other, source, taker):
        member.delete()


def test_a_lost_source_is_replaced_by_itself(
        instance: Instance, record_property: Recorder) -> None:
    able(instance, "automatic_failover")
    cloud, engine = instance.cloud, instance.engine
    source = Instance(cloud, engine, failover={"mode": "automatic"}, **engine.body())
    # what is read is there then, however long the rest takes
    source.write(10)
    heir = source.replica("heir")
    before = source.write()
    eventually(lambda: heir.read() == before, "what was written at the source")
    # a replica speaks of a source only that it has heard
    eventually(lambda: heir.shown().get("replication", {}).get("connected") is True, "its word",
               pause=1)
    begun = time.monotonic()
    kill(source.id)

    def written() -> bool:
        with contextlib.suppress(Exception):
            return len(heir.write(10)) > len(before)
        return False

    eventually(written, "a write at the new source", 180, pause=0.5)
    record_property("failover, s", round(time.monotonic() - begun, 1))
    cloud.wait_operations(heir.id)
    assert "replica_of" not in heir.wait()
    kept = set(before)
    assert [row for row in heir.read() if row in kept] == before
    assert source.wait("SHUTDOWN")["access"]["allowed_cidrs"] == []
    for member in (heir, source):
        member.delete()


def test_a_set_speaks_tls_whoever_is_its_source(
        instance: Instance, tmp_path: pathlib.Path) -> None:
    able(instance, "replication")
    able(instance, "tls")
    able(instance, "promotion")
    cloud, engine = instance.cloud, instance.engine
    source = Instance(cloud, engine, **engine.body())
    source.write()
    replica = source.replica("encrypted")
    trusted = tmp_path / "authority.pem"

    def ask(one: Instance, **wanted: Any) -> None:
        one.rest.post(f"/instances/{one.id}/ssl", {"ssl": wanted})
        for member in (source, replica):
            cloud.wait_operations(member.id)
            member.wait()

    def check(one: Instance, other: Instance) -> None:
        for member in (one, other):
            assert engine.encrypted(member.address, member.password, str(trusted))
            with pytest.raises(
                    Exception, match="Access denied|insecure transport|no encryption|refused"):
                engine.encrypted(member.address, member.password, None)

    ask(source, enable=True, mode="enforced")
    for member in (source, replica):
        shown = member.rest.get(f"/instances/{member.id}/ssl?include_certificate=true").json()
        assert member.address in shown["ssl"]["certificate"]["san"]
        trusted.write_text(shown["ssl"]["certificate"]["authority"])
    check(source, replica)
    cloud.run("openstack", "database", "instance", "promote", replica.id)
    for member in (source, replica):
        cloud.wait_operations(member.id)
        member.wait()
    check(replica, source)
    ask(replica, disable=True)
    after = replica.write(10)
    eventually(lambda: source.read() == after, "what was written without TLS")
    for member in (source, replica):
        member.delete()


def test_root_comes_and_goes(instance: Instance) -> None:
    """The last: where the only user is root, its password is needed from now on."""
    able(instance, "root")
    url = f"/instances/{instance.id}/root"
    assert instance.rest.get(url).json() == {"rootEnabled": False}
    user = instance.rest.post(url, {}).json()["user"]
    assert user["password"]
    assert instance.rest.get(url).json() == {"rootEnabled": True}
    if not instance.password:
        # there is no other user
        with pytest.raises(Exception, match=instance.engine.refused):
            instance.read()
    instance.engine.log_in(instance.address, user["name"], user["password"])
    answer = instance.rest.request("DELETE", url, check=False)
    assert answer.status_code in (200, 204), answer.text
    with pytest.raises(Exception, match=instance.engine.refused):
        instance.engine.log_in(instance.address, user["name"], user["password"])
    assert instance.read()
    # whoever was root stays recorded; who may come in is another question
    assert instance.rest.get(url).json() == {"rootEnabled": True}
