"""One good exchange of every route; the documentation has it as an example."""

from __future__ import annotations

import pytest

from tests.functional.api import examples
from tests.functional.api.conftest import IMAGE, MINE, NETWORK, OWN, RULE, Api
from trove_ng.api.router import Router
from trove_ng.api.routes import ROUTES

ONE = f"/instances/{OWN}1"
VERSION = "/datastores/mariadb/versions/v"
ONE_VERSION = "/mgmt/datastores/mariadb/versions/u"
CAPABILITIES = "/mgmt/datastores/versions/v/capabilities"
PARAMETERS = "/mgmt/datastores/versions/v/parameters"
SAMPLES: list[tuple[str, str, object]] = [
    ("GET", "/instances", None), ("GET", "/instances/detail", None), ("GET", ONE, None),
    ("POST", "/instances", {"instance": {
        "name": "shop", "flavorRef": "1", "volume": {"size": 1},
        "datastore": {"type": "mariadb", "version": "10.11"},
        "nics": [{"network_id": NETWORK}], "databases": [{"name": "shop"}],
        "users": [{"name": "app", "password": "app-Pw1", "databases": [{"name": "shop"}]}],
        "access": {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]},
        "failover": {"mode": "automatic", "timeout_seconds": 20}}}),
    ("PUT", ONE, {"instance": {"name": "shop2"}}),
    ("PATCH", ONE, {"instance": {"access": {
        "is_public": True, "allowed_cidrs": ["203.0.113.0/24"]}}}),
    ("POST", f"{ONE}/action", {"resize": {"volume": {"size": 2}}}),
    ("GET", f"{ONE}/log", None), ("POST", f"{ONE}/log", {"name": "general"}),
    ("GET", f"{ONE}/backups", None), ("GET", f"{ONE}/events", None),
    ("GET", f"{ONE}/metadata", None), ("GET", f"{ONE}/metadata/team", None),
    ("POST", f"{ONE}/metadata/owner", {"metadata": {"value": {"name": "alice", "phone": 42}}}),
    ("PUT", f"{ONE}/metadata/team", {"metadata": {"key": "group", "value": "shop"}}),
    ("PATCH", f"{ONE}/metadata/team", {"metadata": {"value": "wiki"}}),
    ("DELETE", f"{ONE}/metadata/team", None), ("DELETE", ONE, None),
    ("GET", f"{ONE}/databases", None), ("GET", f"{ONE}/databases/shop", None),
    ("POST", f"{ONE}/databases", {"databases": [
        {"name": "wiki", "character_set": "utf8mb4", "collate": "utf8mb4_bin"}]}),
    ("DELETE", f"{ONE}/databases/shop", None),
    ("GET", f"{ONE}/users", None), ("GET", f"{ONE}/users/app", None),
    ("POST", f"{ONE}/users", {"users": [
        {"name": "reader", "password": "reader-Pw1", "host": "10.0.0.%",
         "databases": [{"name": "shop"}]}]}),
    ("PUT", f"{ONE}/users", {"users": [{"name": "app", "password": "new-Pw1"}]}),
    ("PUT", f"{ONE}/users/app", {"user": {"name": "app2"}}),
    ("DELETE", f"{ONE}/users/app", None), ("GET", f"{ONE}/users/app/databases", None),
    ("PUT", f"{ONE}/users/app/databases", {"databases": [{"name": "wiki"}]}),
    ("DELETE", f"{ONE}/users/app/databases/shop", None),
    ("GET", f"{ONE}/ssl", None),
    ("POST", f"{ONE}/ssl", {"ssl": {"enable": True, "mode": "enforced"}}),
    ("GET", f"{ONE}/root", None), ("POST", f"{ONE}/root", {"password": "root-Pw1"}),
    ("DELETE", f"{ONE}/root", None),
    ("GET", "/backups", None), ("GET", f"/backups/{OWN}8", None),
    ("POST", "/backups", {"backup": {"name": "nightly", "instance": f"{OWN}1",
                                     "description": "before the upgrade"}}),
    ("DELETE", f"/backups/{OWN}8", None),
    ("POST", f"/backups/{OWN}8/action", {"verify": {}}),
    ("GET", "/backup_strategies", None), ("DELETE", "/backup_strategies", None),
    ("POST", "/backup_strategies", {"backup_strategy": {
        "swift_container": "shop_backups", "instance_id": f"{OWN}1"}}),
    ("GET", "/schedules", None), ("GET", f"/schedules/{OWN}9", None),
    ("POST", "/schedules", {"schedule": {
        "name": "nightly", "instance": f"{OWN}1", "pattern": "0 2 * * *",
        "time_zone": "Europe/Berlin", "full_every": 7, "keep_count": 14}}),
    ("PATCH", f"/schedules/{OWN}9", {"schedule": {"paused": True}}),
    ("DELETE", f"/schedules/{OWN}9", None), ("POST", f"/schedules/{OWN}9/run", None),
    ("GET", f"/schedules/{OWN}9/executions", None),
    ("DELETE", f"/schedules/{OWN}9/executions/{OWN}e", None),
    ("GET", "/datastores", None), ("GET", "/datastores/mariadb", None),
    ("GET", "/datastores/mariadb/versions", None), ("GET", "/datastores/versions/v", None),
    ("GET", VERSION, None), ("GET", f"{VERSION}/flavors", None),
    ("GET", f"{VERSION}/volume-types", None),
    ("GET", "/flavors", None), ("GET", "/flavors/1", None),
    ("GET", "/volume_configs", None), ("GET", "/volume_configs/small", None),
    ("GET", f"{ONE}/volumes", None),
    ("GET", "/volume-types", None), ("GET", "/volume-types/vt", None),
    ("GET", "/configurations", None), ("GET", f"/configurations/{OWN}7", None),
    ("GET", f"/configurations/{OWN}7/instances", None),
    ("POST", "/configurations", {"configuration": {
        "name": "shop", "description": "for the shop", "values": {"max_connections": 200},
        "datastore": {"type": "mariadb", "version": "10.11"}}}),
    ("PUT", f"/configurations/{OWN}7", {"configuration": {
        "name": "shop", "values": {"max_connections": 300}}}),
    ("PATCH", f"/configurations/{OWN}7", {"configuration": {
        "values": {"max_connections": 400}}}),
    ("DELETE", f"/configurations/{OWN}7", None),
    ("GET", f"{ONE}/configuration", None),
    ("GET", f"{VERSION}/parameters", None),
    ("GET", f"{VERSION}/parameters/max_connections", None),
    ("GET", "/datastores/versions/v/parameters", None),
    ("GET", "/datastores/versions/v/parameters/max_connections", None),
    ("GET", "/modules", None), ("GET", f"/modules/{OWN}4", None),
    ("POST", "/modules", {"module": {
        "name": "licence", "module_type": "vertica_license", "contents": "bGljZW5jZQ==",
        "description": "for 100 GB", "datastore": {"type": "mariadb", "version": "10.11"},
        "apply_order": 3, "live_update": 1}}),
    ("PUT", f"/modules/{OWN}4", {"module": {"contents": "bWVzc2FnZT1IaQo="}}),
    ("PATCH", f"/modules/{OWN}4", {"module": {"description": "says hello"}}),
    ("DELETE", f"/modules/{OWN}4", None), ("GET", f"/modules/{OWN}4/instances", None),
    ("PUT", f"/modules/{OWN}4/instances", {"reapply": {"batch_size": 10, "batch_delay": 5}}),
    ("GET", "/datastores/mariadb/modules", None),
    ("GET", f"{ONE}/modules", None),
    ("POST", f"{ONE}/modules", {"modules": [{"id": f"{OWN}4"}]}),
    ("GET", f"{ONE}/modules/{OWN}4", None), ("DELETE", f"{ONE}/modules/{OWN}4", None),
    ("DELETE", "/datastores/empty", None),
    ("GET", "/mgmt/datastore-versions", None), ("GET", "/mgmt/datastore-versions/v", None),
    ("POST", "/mgmt/datastore-versions", {"version": {
        "name": "11.4", "version": "11.4.2", "datastore_name": "mariadb",
        "datastore_manager": "mariadb", "image_tags": ["trove", "mariadb"],
        "packages": ["mariadb-server"], "active": True, "default": False}}),
    ("PATCH", "/mgmt/datastore-versions/v", {"image": IMAGE, "active": True}),
    ("DELETE", "/mgmt/datastore-versions/u", None),
    ("GET", f"{VERSION}/capabilities", None),
    ("GET", "/datastores/versions/v/capabilities", None),
    ("GET", "/mgmt/capabilities", None),
    ("PUT", "/mgmt/capabilities/root", {"capability": {
        "enabled": False, "description": "not here"}}),
    ("GET", CAPABILITIES, None),
    ("PUT", f"{CAPABILITIES}/root", {"capability": {"enabled": True}}),
    ("DELETE", f"{CAPABILITIES}/root", None),
    ("POST", ONE_VERSION, {"datastore_version": {"visibility": "public"}}),
    ("PUT", ONE_VERSION, {"datastore_version": {"visibility": "unlisted"}}),
    ("GET", f"{ONE_VERSION}/members", None), ("GET", f"{ONE_VERSION}/members/m", None),
    ("POST", f"{ONE_VERSION}/members", {"member": "d" * 32}),
    ("DELETE", f"{ONE_VERSION}/members/m", None),
    ("GET", f"/mgmt/datastores/mariadb/versions/members/{'c' * 32}", None),
    ("GET", PARAMETERS, None), ("GET", f"{PARAMETERS}/max_connections", None),
    ("POST", PARAMETERS, {"configuration-parameter": {
        "name": "wait_timeout", "data_type": "integer", "restart_required": 0,
        "min_size": 1, "max_size": 31536000}}),
    ("PUT", f"{PARAMETERS}/max_connections", {"configuration-parameter": {
        "name": "max_connections", "data_type": "integer", "restart_required": 1,
        "min_size": 1, "max_size": 1000}}),
    ("DELETE", f"{PARAMETERS}/max_connections", None),
    ("GET", "/operations", None), ("GET", f"/operations/{OWN}6", None),
    ("POST", f"/operations/{OWN}6/cancel", None), ("GET", "/mgmt/operations", None),
    ("GET", "/limits", None), ("GET", f"/mgmt/quotas/{MINE}", None),
    ("PUT", f"/mgmt/quotas/{MINE}", {"quotas": {"instances": 20}}),
    ("GET", "/mgmt/instances", None), ("GET", f"/mgmt{ONE}", None),
    ("GET", f"/mgmt{ONE}/root", None), ("GET", f"/mgmt{ONE}/events", None),
    ("GET", f"/mgmt{ONE}/rpc_ping", None), ("GET", f"/mgmt{ONE}/hwinfo", None),
    ("GET", f"/mgmt{ONE}/diagnostics", None), ("GET", "/mgmt/hosts", None),
    ("GET", "/mgmt/hosts/compute1", None), ("GET", "/mgmt/storage", None),
    ("POST", "/mgmt/flavors", {"flavor": {
        "flavor_id": "auto", "name": "db.large", "ram": 8192, "disk": 20, "vcpu": 4,
        "ephemeral": 0, "swap": 0, "rxtx_factor": "1.0", "is_public": "True"}}),
    ("GET", "/mgmt/accounts", None), ("GET", f"/mgmt/accounts/{MINE}", None),
    ("GET", "/security-groups", None), ("GET", f"/security-groups/{OWN}1", None),
    ("POST", "/security-group-rules", {"security_group_rule": {
        "group_id": f"{OWN}1", "cidr": "192.168.1.0/24"}}),
    ("DELETE", f"/security-group-rules/{OWN}1-{RULE}", None),
    ("GET", "/clusters", None), ("GET", "/mgmt/clusters", None),
    ("POST", f"/mgmt{ONE}/action", {"reset-task-status": {}}),
    ("POST", f"/mgmt{ONE}/upgrade", {"upgrade": {"instance_version": "2.0"}}),
    ("POST", "/mgmt/hosts/compute1/instances/action", {"update": ""}),
]


def test_every_route_has_a_sample() -> None:
    assert len(SAMPLES) == len(ROUTES)


@pytest.mark.parametrize(("method", "path", "body"), SAMPLES,
                         ids=[f"{method} {path}" for method, path, _ in SAMPLES])
def test_a_good_request_is_answered(app: Api, method: str, path: str, body: object) -> None:
    if (method, path) == ("DELETE", f"{ONE}/root"):
        app("POST", f"{ONE}/root")
    before = app.rows()["operations"]
    admins = "/mgmt/" in path or path == "/datastores/empty"
    answer = app(method, path, body, token="admin" if admins else "mine")
    assert answer.status_int < 300, answer.text
    found = Router(ROUTES).match(path.partition("?")[0].strip("/").split("/"))
    assert found is not None
    examples.check(examples.files(
        found.methods[method], f"/v1.0/{MINE}{path}", body, answer))
    assert (app.rows()["operations"] > before) == bool(app.waker.woken)
    # whatever begins work says which
    assert not app.waker.woken or (
        answer.headers["X-Trove-Operation-Id"] == app.waker.woken[-1])
