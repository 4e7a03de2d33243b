"""What operators see: hosts, storage, projects, agents, quotas; by the released client."""

from __future__ import annotations

import datetime
import types
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.functional.api.conftest import FOREIGN, MINE, OTHER, OWN, PACKAGE, UNKNOWN, Api
from tests.functional.api.released import Client
from trove_ng.common.clock import utcnow
from trove_ng.common.errors import GuestTimeout, ServiceUnavailable
from trove_ng.db.models import Instance, Operation, ServiceStatusRow
from trove_ng.db.repositories import instances, operations
from trove_ng.rpc.lines import BusAway

ONE = f"/mgmt/instances/{OWN}1"


@pytest.fixture
def admin(app: Api) -> Any:
    """The managers of the released client that are for operators."""
    from troveclient.v1 import accounts, diagnostics, hosts, management, quota, storage

    api = types.SimpleNamespace(client=Client(app, "admin"))
    return types.SimpleNamespace(
        instances=management.Management(api), clusters=management.MgmtClusters(api),
        flavors=management.MgmtFlavors(api), hosts=hosts.Hosts(api),
        accounts=accounts.Accounts(api), storage=storage.StorageInfo(api),
        quotas=quota.Quotas(api), diagnostics=diagnostics.DiagnosticsInterrogator(api),
        hwinfo=diagnostics.HwInfoInterrogator(api))


# ---- hosts, storage, flavors ------------------------------------------------


def test_hosts_are_listed_with_the_instances_on_them(admin: Any) -> None:
    assert {one.name: one.instanceCount for one in admin.hosts.index()} == {
        "compute1": 3, "compute2": 0}
    found = admin.hosts.get("compute1")
    assert (found.totalRAM, found.usedRAM, found.percentUsed) == (4096, 1024, 25)
    # the server of an instance that is not known is counted, one of none is not
    assert found.instanceCount == 3
    assert found.instances == [
        {"id": f"{OWN}{number}", "name": f"db{number}", "status": "ACTIVE",
         "server_id": f"s{number}", "tenant_id": MINE} for number in (1, 2)]
    idle = admin.hosts.get("compute2")
    assert (idle.status, idle.state, idle.totalRAM, idle.percentUsed, idle.instances) == (
        "disabled", "down", None, None, [])


def test_an_unknown_host_is_not_found(app: Api) -> None:
    assert app("GET", "/mgmt/hosts/none", token="admin").status_int == 404


def test_hosts_and_pools_of_all_regions_are_listed(app: Api, admin: Any) -> None:
    assert {one.region for one in admin.hosts.index()} == {"RegionOne"}
    app.estate.names.append("RegionTwo")
    assert [(one.name, one.region) for one in admin.hosts.index()] == [
        (f"compute{number}", region) for region in app.estate.names for number in (1, 2)]
    assert [one.region for one in admin.storage.index()] == [
        "RegionOne", "RegionOne", "RegionTwo", "RegionTwo"]
    found = app("GET", "/mgmt/hosts?region=RegionTwo", token="admin").json["hosts"]
    assert [one["region"] for one in found] == ["RegionTwo", "RegionTwo"]
    assert app("GET", "/mgmt/hosts?region=Nowhere", token="admin").status_int == 400
    # of the same name, that of the configured region is meant
    for query, region in (("", "RegionOne"), ("?region=RegionTwo", "RegionTwo")):
        shown = app("GET", f"/mgmt/hosts/compute1{query}", token="admin").json["host"]
        assert shown["region"] == region


def test_a_region_that_is_away_is_left_out_and_named(app: Api, admin: Any) -> None:
    app.estate.names.append("RegionTwo")
    app.estate.away.add("RegionOne")
    for path, key in (("/mgmt/hosts", "hosts"), ("/mgmt/storage", "devices")):
        answer = app("GET", path, token="admin")
        assert answer.status_int == 200, answer.text
        assert {one["region"] for one in answer.json[key]} == {"RegionTwo"}
        assert answer.json["regions_away"] == ["RegionOne"]
        assert app("GET", f"{path}?region=RegionOne", token="admin").status_int == 503
    assert len(admin.hosts.index()) == len(admin.storage.index()) == 2
    shown = app("GET", "/mgmt/hosts/compute1", token="admin").json["host"]
    assert shown["region"] == "RegionTwo"
    # it may be there
    missing = app("GET", "/mgmt/hosts/none", token="admin")
    assert (missing.status_int, "RegionOne" in missing.text) == (503, True)
    app.estate.away.add("RegionTwo")
    for path in ("/mgmt/hosts", "/mgmt/storage", "/mgmt/hosts/compute1"):
        assert app("GET", path, token="admin").status_int == 503


def acted(app: Api) -> dict[str, str]:
    """Return the instances that something works on, with its action."""
    with app.db.reader() as session:
        return {row.resource_id: row.action for row in session.scalars(
            select(Operation).where(Operation.live_key.is_not(None),
                                    Operation.resource_type == "instance"))}


def test_an_action_on_a_host_begins_on_each_instance_that_is_ready(
        app: Api, admin: Any) -> None:
    before = acted(app)
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}2").task = "RESIZING"
    admin.hosts.update_all("compute1")
    assert {one: action for one, action in acted(app).items() if one not in before} == {
        f"{OWN}1": "instance.upgrade_agent"}
    assert len(app.waker.woken) == 1
    answer = app("POST", "/mgmt/hosts/compute1/instances/action", {"migrate": {}},
                 token="admin")
    first, second = answer.json["instances"]
    assert (first["id"], first["operation_id"], second["operation_id"]) == (
        f"{OWN}1", None, None)
    assert "its status is" in second["problem"]
    assert app("POST", "/mgmt/hosts/compute2/instances/action", {"migrate": None},
               token="admin").json == {"instances": []}
    assert app("POST", "/mgmt/hosts/none/instances/action", {"migrate": {}},
               token="admin").status_int == 404


def test_a_repeated_action_on_a_host_is_answered_as_before(app: Api) -> None:
    answers = [app.app.post_json(
        f"/v1.0/{MINE}/mgmt/hosts/compute1/instances/action", {"update": ""},
        headers={"X-Auth-Token": "admin", "Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].json == answers[1].json
    assert len(answers[0].json["instances"]) == 2
    assert len(app.waker.woken) == 2


def test_agents_are_upgraded_to_what_the_operator_offers(app: Api, admin: Any) -> None:
    path = f"{ONE}/upgrade"
    for wrong in ({"instance_version": "1.9"}, {"location": "http://elsewhere/x.whl"},
                  {"metadata": {"sha256": "cd" * 32}}):
        answer = app("POST", path, {"upgrade": wrong}, token="admin")
        assert answer.status_int == 400, answer.text
    with app.db.writer() as session:
        session.get(ServiceStatusRow, f"{OWN}1").agent_version = "2.0"
    assert app("POST", path, {"upgrade": {}}, token="admin").status_int == 422
    with app.db.writer() as session:
        session.get(ServiceStatusRow, f"{OWN}1").agent_version = "1.0"
    # as released clients ask for it
    admin.instances.update(f"{OWN}1")
    with app.db.reader() as session:
        row = operations.live(session, f"{OWN}1")
    assert (row.action, row.payload) == ("instance.upgrade_agent", PACKAGE)
    app.conf.set_override("version", None, group="agent_package")
    assert app("POST", f"/mgmt/instances/{OWN}2/upgrade", {"upgrade": {}},
               token="admin").status_int == 422
    assert app("POST", "/mgmt/hosts/compute1/instances/action", {"update": ""},
               token="admin").status_int == 422


def test_hosts_take_one_statement_however_many_instances(app: Api) -> None:
    seen = app.statements()
    app("GET", "/mgmt/hosts/compute1", token="admin")
    assert len(seen) == 1


def test_storage_is_shown_as_far_as_it_is_known(admin: Any) -> None:
    known, unknown = admin.storage.index()
    assert (known.name, known.type, known.used) == ("node@lvm#lvm", "iSCSI", 60.0)
    assert known.capacity == {"total": 100.0, "available": 40.0}
    assert known.provision == {"total": 200.0, "available": 50.0, "percent": 75}
    assert (unknown.used, unknown.capacity, unknown.provision) == (
        None, {"total": None, "available": None},
        {"total": None, "available": None, "percent": None})


def test_a_flavor_is_made(app: Api, admin: Any) -> None:
    made = admin.flavors.create("db.large", 8192, 20, 4, ephemeral=5, rxtx_factor="2.5")
    assert (made.name, made.ram, made.vcpus, made.ephemeral) == ("db.large", 8192, 4, 5)
    assert app.estate.flavors == [{
        "name": "db.large", "ram_mb": 8192, "vcpus": 4, "disk_gb": 20, "flavor_id": None,
        "ephemeral_gb": 5, "swap_mb": 0, "rxtx_factor": 2.5, "is_public": True}]
    admin.flavors.create("db.named", 512, 5, 1, flavorid=42)
    assert app.estate.flavors[1]["flavor_id"] == "42"


def test_a_flavor_whose_name_is_taken_is_a_conflict(app: Api) -> None:
    answer = app("POST", "/mgmt/flavors", {"flavor": {
        "name": "db.tiny", "ram": 1, "disk": 0, "vcpu": 1}}, token="admin")
    assert answer.status_int == 409


@pytest.mark.parametrize("wrong", [
    {"ram": 0}, {"vcpu": 0}, {"disk": -1}, {"name": ""}, {"name": " "}, {"rxtx_factor": "x"},
    {"rxtx_factor": "0"}, {"is_public": "maybe"}, {"flavor_id": "a b"}, {"swap": 1.5},
    {"service_type": "mysql"}])
def test_a_wrong_flavor_is_refused(app: Api, wrong: dict[str, Any]) -> None:
    body = {"flavor": {"name": "f", "ram": 1, "disk": 0, "vcpu": 1} | wrong}
    assert app("POST", "/mgmt/flavors", body, token="admin").status_int == 400
    assert app.estate.flavors == []


# ---- projects ---------------------------------------------------------------


def test_projects_with_instances_are_listed(app: Api, admin: Any) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{FOREIGN}1").deleted = True
    assert admin.accounts.index().accounts == [
        {"id": MINE, "name": MINE, "num_instances": 3},
        {"id": OTHER, "name": OTHER, "num_instances": 2}]
    found = admin.accounts.show(OTHER)
    assert found.instance_ids == [f"{FOREIGN}2", f"{FOREIGN}3"]
    assert found.num_instances == 2


def test_projects_are_paged(app: Api) -> None:
    first = app("GET", "/mgmt/accounts?limit=1", token="admin").json
    assert [one["id"] for one in first["accounts"]] == [MINE]
    assert f"marker={MINE}" in first["links"][0]["href"]
    rest = app("GET", f"/mgmt/accounts?limit=1&marker={MINE}", token="admin").json
    assert [one["id"] for one in rest["accounts"]] == [OTHER]
    assert "links" not in rest


def test_a_project_without_instances_is_not_found(app: Api) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).values(deleted=True))
    assert app("GET", "/mgmt/accounts", token="admin").json == {"accounts": []}
    assert app("GET", f"/mgmt/accounts/{MINE}", token="admin").status_int == 404


# ---- agents -----------------------------------------------------------------


def test_a_ping_of_an_agent_has_an_empty_answer(app: Api) -> None:
    answer = app("GET", f"{ONE}/rpc_ping", token="admin")
    assert (answer.status_int, answer.body) == (204, b"")
    assert app.guest.asked == [("rpc_ping", ())]


@pytest.mark.parametrize("changed", [
    {"task": "BUILDING"}, {"error": "FAILED"}, {"server_status": "SHUTOFF"}])
def test_an_agent_is_pinged_whatever_its_instance_does(app: Api,
                                                       changed: dict[str, str]) -> None:
    with app.db.writer() as session:
        session.execute(update(Instance).values(**changed))
    assert app("GET", f"{ONE}/rpc_ping", token="admin").status_int == 204


def test_a_silent_agent_is_a_bad_request_as_tools_expect(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None:
        raise GuestTimeout("The agent does not answer.")

    monkeypatch.setattr(app.guest, "rpc_ping", silent, raising=False)
    answer = app("GET", f"{ONE}/rpc_ping", token="admin")
    assert answer.status_int == 400
    assert answer.json == {"badRequest": {"code": 400, "message": (
        "An error occurred communicating with the guest: Timeout while waiting on RPC "
        f'response - topic: "guestagent.{OWN}1", RPC method: "rpc_ping" info: "<unknown>".')}}


def test_a_bus_that_is_away_is_not_the_agents_fault(
        app: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise BusAway

    assert issubclass(BusAway, ServiceUnavailable)
    monkeypatch.setattr(app.guest, "rpc_ping", away, raising=False)
    assert app("GET", f"{ONE}/rpc_ping", token="admin").status_int == 503


def test_the_server_and_the_agent_are_told_of(admin: Any) -> None:
    found = admin.diagnostics.get(f"{OWN}1")
    assert (found.version, found.threads, found.fdSize, found.vmSize, found.vmPeak,
            found.vmRss, found.vmHwm) == ("1.0.0", 9, 64, 400000, 410000, 60000, 61000)
    hardware = admin.hwinfo.get(f"{OWN}1")
    assert hardware.hwinfo == {"mem_total": 536870912, "num_cpus": 1}


@pytest.mark.parametrize("what", ["rpc_ping", "hwinfo", "diagnostics"])
def test_the_agent_of_a_deleted_instance_is_not_asked(app: Api, what: str) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{OWN}1").deleted = True
    for ident in (f"{OWN}1", UNKNOWN):
        answer = app("GET", f"/mgmt/instances/{ident}/{what}", token="admin")
        assert answer.status_int == 404
    assert app.guest.asked == []


# ---- instances of all projects ----------------------------------------------


def test_operators_see_server_volume_and_root_of_an_instance(app: Api, admin: Any) -> None:
    address = {"address": "10.0.0.5", "type": "private", "network": "n"}
    moment = datetime.datetime(2026, 1, 2)
    with app.db.writer() as session:
        row = session.get(Instance, f"{OWN}1")
        row.compute_instance_id, row.server_host, row.volume_id = "s1", "compute1", "v1"
        row.addresses = [address]
        instances.note_root_enabled(session, row.id, "alice", moment)
    found = admin.instances.show(f"{OWN}1")
    assert found.server == {"id": "s1", "name": "db1", "status": "ACTIVE", "tenant_id": MINE,
                            "host": "compute1", "addresses": [address]}
    assert found.volume["id"] == "v1"
    assert (found.volume["size"], found.guest_status) == (1, {
        "state_description": "HEALTHY", "agent_version": None})
    assert (found.root_enabled, found.root_enabled_by) == ("2026-01-02T00:00:00", "alice")
    history = admin.instances.root_enabled_history(f"{OWN}1")
    assert (history.enabled, history.user) == ("2026-01-02T00:00:00", "alice")


def test_a_deleted_instance_still_names_its_server_and_volume(app: Api) -> None:
    with app.db.writer() as session:
        row = session.get(Instance, f"{OWN}1")
        row.deleted, row.deleted_at = True, utcnow()
        row.compute_instance_id, row.volume_id, row.volume_size = "s1", "v1", None
    assert app("GET", ONE, token="admin").status_int == 404
    assert app("GET", f"{ONE}?deleted=false", token="admin").status_int == 404
    found = app("GET", f"{ONE}?deleted=true", token="admin").json["instance"]
    assert (found["deleted"], found["server"]["id"], found["volume"]["id"]) == (
        True, "s1", "v1")


def test_instances_of_all_projects_are_listed_by_state_and_project(
        app: Api, admin: Any) -> None:
    with app.db.writer() as session:
        session.get(Instance, f"{FOREIGN}1").deleted = True
    assert len(admin.instances.list()) == 5
    assert [one.id for one in admin.instances.list(deleted=True)] == [f"{FOREIGN}1"]
    assert {one.tenant_id for one in admin.instances.list(project_id=OTHER)} == {OTHER}
    first = admin.instances.list(limit=2)
    assert [one.id for one in first] == [f"{OWN}1", f"{OWN}2"]
    assert [one.id for one in admin.instances.list(limit=2, marker=first.next)] == [
        f"{OWN}3", f"{FOREIGN}2"]


def test_there_are_no_clusters_yet(app: Api, admin: Any) -> None:
    assert list(admin.clusters.index()) == []
    assert list(admin.clusters.index(deleted=True)) == []
    assert app("GET", "/clusters").json == {"clusters": []}
    # how clients look for a name: it must be this status
    assert app("GET", "/clusters/none").status_int == 404


# ---- quotas -----------------------------------------------------------------


def test_quotas_are_shown_and_set_by_the_released_client(admin: Any) -> None:
    assert admin.quotas.update(OTHER, {"volumes": 50, "instances": -1}) == {
        "volumes": 50, "instances": -1}
    found = {one.resource: one for one in admin.quotas.show(OTHER)}
    assert set(found) == {"instances", "volumes", "backups", "ram"}
    assert (found["volumes"].limit, found["instances"].limit) == (50, -1)
    assert {one.resource: one.limit for one in admin.quotas.show(MINE)}["volumes"] != 50


def test_a_project_sees_its_own_quotas_and_sets_none(app: Api) -> None:
    assert app("GET", f"/mgmt/quotas/{MINE}").status_int == 200
    assert app("GET", f"/mgmt/quotas/{OTHER}").status_int == 404
    for project in (MINE, OTHER):
        answer = app("PUT", f"/mgmt/quotas/{project}", {"quotas": {"instances": 99}})
        assert answer.status_int == 403


@pytest.mark.parametrize("quotas", [
    {}, {"instances": -2}, {"instances": "many"}, {"instances": 1.5}, {"unknown": 1},
    {"instances": None}, {"volumes": 2 ** 31}])
def test_wrong_quotas_are_refused(app: Api, quotas: dict[str, Any]) -> None:
    before = app.rows()
    answer = app("PUT", f"/mgmt/quotas/{MINE}", {"quotas": quotas}, token="admin")
    assert answer.status_int == 400
    assert app.rows() == before
