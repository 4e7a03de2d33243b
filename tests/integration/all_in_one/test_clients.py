"""The released clients, unmodified, on every resource."""

from __future__ import annotations

import pymysql
import pytest

from tests.integration.cloud import AllInOne, connect, rows

USER = {"name": "app", "password": "app-Pw1"}


@pytest.fixture(scope="module")
def instance(cloud: AllInOne) -> str:
    """An instance that the legacy client made."""
    cloud.run("trove", "create", "cli-legacy", "1", "--size", "1",
              "--databases", "shop", "--users", "app:app-Pw1",
              "--datastore", "mariadb")
    listed = cloud.rest().get("/instances").json()["instances"]
    ident = next(item["id"] for item in listed if item["name"] == "cli-legacy")
    cloud.wait_status(ident, "ACTIVE")
    return str(ident)


def test_trove_lists_and_shows_instances(cloud: AllInOne, instance: str) -> None:
    assert instance in cloud.run("trove", "list")
    shown = cloud.run("trove", "show", "cli-legacy")
    assert instance in shown
    assert "ACTIVE" in shown


def test_openstack_lists_and_shows_instances(cloud: AllInOne, instance: str) -> None:
    listed = cloud.openstack("database", "instance", "list")
    assert instance in [item["ID"] for item in listed]
    shown = cloud.openstack("database", "instance", "show", "cli-legacy")
    assert shown["status"] == "ACTIVE"
    assert shown["datastore"] == "mariadb"
    everybody = cloud.openstack("database", "instance", "list", "--all-projects",
                                openrc="openrc-admin")
    assert instance in [item["ID"] for item in everybody]


def test_openstack_has_the_commands_of_the_service(cloud: AllInOne, instance: str) -> None:
    listed = cloud.openstack("database", "operation", "list", "--resource", instance)
    made = next(one for one in listed if one["Action"] == "instance.create")
    assert (made["Status"], made["Percent"]) == ("SUCCEEDED", 100)
    shown = cloud.openstack("database", "operation", "show", made["ID"])
    assert shown["resource_id"] == instance
    events = cloud.openstack("database", "instance", "event", "list", "cli-legacy")
    assert made["ID"] in [one["Operation ID"] for one in events]
    assert cloud.openstack("database", "module", "list", "instance", instance) == []


def test_trove_works_with_databases(cloud: AllInOne, instance: str) -> None:
    cloud.run("trove", "database-create", "cli-legacy", "legacy_db",
              "--character_set", "utf8mb4")
    assert "legacy_db" in cloud.run("trove", "database-list", instance)
    cloud.run("trove", "database-delete", instance, "legacy_db")
    assert "legacy_db" not in cloud.run("trove", "database-list", instance)


def test_openstack_works_with_databases(cloud: AllInOne, instance: str) -> None:
    cloud.run("openstack", "database", "db", "create", instance, "osc_db")
    listed = cloud.openstack("database", "db", "list", instance)
    assert "osc_db" in [item["Name"] for item in listed]
    cloud.run("openstack", "database", "db", "delete", instance, "osc_db")
    listed = cloud.openstack("database", "db", "list", instance)
    assert "osc_db" not in [item["Name"] for item in listed]


def test_trove_works_with_users(cloud: AllInOne, instance: str) -> None:
    cloud.run("trove", "user-create", instance, "u1", "u1-Pw", "--databases", "shop")
    assert "u1" in cloud.run("trove", "user-list", instance)
    assert "u1" in cloud.run("trove", "user-show", instance, "u1")
    assert "shop" in cloud.run("trove", "user-show-access", instance, "u1")
    cloud.run("trove", "user-revoke-access", instance, "u1", "shop")
    assert "shop" not in cloud.run("trove", "user-show-access", instance, "u1")
    cloud.run("trove", "user-grant-access", instance, "u1", "shop")
    assert "shop" in cloud.run("trove", "user-show-access", instance, "u1")
    cloud.run("trove", "user-update-attributes", instance, "u1",
              "--new_name", "u2", "--new_password", "u2-Pw")
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    connect(address, "u2", "u2-Pw", "shop").close()
    cloud.run("trove", "user-delete", instance, "u2")
    assert "u2" not in cloud.run("trove", "user-list", instance)


def test_openstack_works_with_users(cloud: AllInOne, instance: str) -> None:
    run = cloud.run
    run("openstack", "database", "user", "create", instance, "o1", "o1-Pw",
        "--databases", "shop")
    names = [item["Name"] for item in cloud.openstack("database", "user", "list", instance)]
    assert "o1" in names
    shown = cloud.openstack("database", "user", "show", instance, "o1")
    assert shown["name"] == "o1"
    run("openstack", "database", "user", "revoke", "access", instance, "o1", "shop")
    run("openstack", "database", "user", "grant", "access", instance, "o1", "shop")
    access = run("openstack", "database", "user", "show", "access", instance, "o1")
    assert "shop" in access
    run("openstack", "database", "user", "update", "attributes", instance, "o1",
        "--new_password", "o2-Pw")
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    connect(address, "o1", "o2-Pw", "shop").close()
    run("openstack", "database", "user", "delete", instance, "o1")
    names = [item["Name"] for item in cloud.openstack("database", "user", "list", instance)]
    assert "o1" not in names


def test_a_user_with_a_host_is_addressed_by_both_clients(
        cloud: AllInOne, instance: str) -> None:
    cloud.run("trove", "user-create", instance, "h1", "h1-Pw", "--host", "10.0.0.7")
    assert "10.0.0.7" in cloud.run("trove", "user-show", instance, "h1",
                                   "--host", "10.0.0.7")
    cloud.run("openstack", "database", "user", "delete", instance, "h1",
              "--host", "10.0.0.7")
    assert "h1" not in cloud.run("trove", "user-list", instance)


def test_root_by_both_clients(cloud: AllInOne, instance: str) -> None:
    assert "False" in cloud.run("trove", "root-show", instance)
    made = cloud.openstack("database", "root", "enable", instance)
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    connect(address, "root", made["password"]).close()
    assert "True" in cloud.run("trove", "root-show", instance)
    cloud.run("trove", "root-enable", instance, "--root_password", "Chosen-1")
    connect(address, "root", "Chosen-1").close()
    cloud.run("openstack", "database", "root", "disable", instance)
    with pytest.raises(Exception, match="Access denied"):
        connect(address, "root", "Chosen-1")


def test_datastores_and_flavors(cloud: AllInOne, instance: str) -> None:
    assert "mariadb" in cloud.run("trove", "datastore-list")
    assert "mariadb" in cloud.run("trove", "datastore-show", "mariadb")
    versions = cloud.openstack("datastore", "version", "list", "mariadb")
    name = versions[0]["Name"]
    assert name in cloud.run("trove", "datastore-version-list", "mariadb")
    shown = cloud.run("trove", "datastore-version-show", name, "--datastore", "mariadb")
    assert versions[0]["ID"] in shown
    assert cloud.openstack("datastore", "show", "mariadb")["name"] == "mariadb"
    flavors = cloud.openstack("database", "flavor", "list")
    assert flavors
    assert "ram" in cloud.run("trove", "flavor-show", "1").lower()
    assert cloud.run("trove", "flavor-list", "--datastore_type", "mariadb",
                     "--datastore_version_id", versions[0]["ID"])


def test_an_operator_registers_versions(cloud: AllInOne, instance: str) -> None:
    def admin(*args: str) -> str:
        return cloud.run("openstack", "datastore", *args, openrc="openrc-admin")

    admin("version", "create", "11.4", "maria-next", "mariadb", "", "--image-tags",
          "trove,mariadb", "--active", "--default", "--version-number", "11.4.2")
    assert "maria-next" in cloud.run("trove", "datastore-list")
    shown = cloud.openstack("datastore", "show", "maria-next")
    assert shown["default_version"] == "11.4"
    ident = cloud.openstack("datastore", "version", "list", "maria-next")[0]["ID"]
    admin("version", "set", ident, "--disable", "--non-default", "--version-name", "11.4-lts")
    assert "maria-next" not in cloud.run("trove", "datastore-list")
    listed = cloud.openstack("datastore", "version", "list", "maria-next",
                             openrc="openrc-admin")
    assert [one["Name"] for one in listed] == ["11.4-lts"]
    refused = cloud.attempt("openstack", "datastore", "version", "delete", ident)
    assert refused.returncode != 0
    admin("version", "delete", ident)
    admin("delete", "maria-next")
    assert "maria-next" not in cloud.run("trove", "datastore-list", openrc="openrc-admin")


def variable(cloud: AllInOne, instance: str, name: str) -> int:
    address = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    (value,), = rows(connect(address, "app", "app-Pw1", "shop"), f"SELECT @@GLOBAL.{name}")
    return int(value)


def test_configuration_groups_by_both_clients(cloud: AllInOne, instance: str) -> None:
    version = cloud.openstack("datastore", "version", "list", "mariadb")[0]["Name"]
    listed = cloud.openstack("database", "configuration", "parameter", "list", version,
                             "--datastore", "mariadb")
    assert "wait_timeout" in [item["Name"] for item in listed]
    assert "31536000" in cloud.run("trove", "configuration-parameter-show", version,
                                   "wait_timeout", "--datastore", "mariadb")
    before = variable(cloud, instance, "max_connections")
    made = cloud.openstack("database", "configuration", "create", "g1",
                           '{"wait_timeout": 1234}', "--datastore", "mariadb",
                           "--datastore-version", version)
    cloud.run("trove", "configuration-attach", instance, "g1")
    cloud.wait_status(instance, "ACTIVE")
    assert variable(cloud, instance, "wait_timeout") == 1234
    assert instance in cloud.run("trove", "configuration-instances", "g1")
    cloud.run("openstack", "database", "configuration", "parameter", "set", made["id"],
              '{"max_connections": 77}')
    cloud.wait_operations(made["id"])
    assert variable(cloud, instance, "max_connections") == 77
    assert variable(cloud, instance, "wait_timeout") == 1234
    cloud.run("trove", "configuration-update", "g1", '{"max_connections": 78}')
    cloud.wait_operations(made["id"])
    assert variable(cloud, instance, "max_connections") == 78
    assert variable(cloud, instance, "wait_timeout") == 28800
    assert "innodb_buffer_pool_size" in cloud.run("trove", "configuration-default", instance)
    shown = cloud.run("openstack", "database", "configuration", "show", "g1")
    assert "max_connections" in shown
    cloud.run("openstack", "database", "configuration", "detach", instance)
    cloud.wait_status(instance, "ACTIVE")
    assert variable(cloud, instance, "max_connections") == before
    cloud.run("trove", "configuration-delete", "g1")
    assert "g1" not in cloud.run("trove", "configuration-list")


def test_limits_and_quotas(cloud: AllInOne, instance: str) -> None:
    assert "max_instances" in cloud.run("trove", "limit-list").lower()
    # the client prints a table before its JSON
    assert "max_instances" in cloud.run("openstack", "database", "limit", "list")
    project = cloud.rest().project_id
    assert "instances" in cloud.run("trove", "quota-show", project, openrc="openrc-admin")
    cloud.run("trove", "quota-update", project, "backups", "33", openrc="openrc-admin")
    quotas = cloud.openstack("database", "quota", "show", project, openrc="openrc-admin")
    assert {item["Resource"]: item["Limit"] for item in quotas}["backups"] == 33
    cloud.run("openstack", "database", "quota", "update", project, "backups", "50",
              openrc="openrc-admin")


def test_a_tenant_may_not_change_quotas(cloud: AllInOne, instance: str) -> None:
    done = cloud.attempt("trove", "quota-update", cloud.rest().project_id,
                         "instances", "999")
    assert done.returncode != 0


def test_restart_resize_and_rename(cloud: AllInOne, instance: str) -> None:
    cloud.run("trove", "restart", instance)
    cloud.wait_status(instance, "ACTIVE")
    cloud.run("openstack", "database", "instance", "restart", instance)
    cloud.wait_status(instance, "ACTIVE")
    cloud.run("openstack", "database", "instance", "resize", "volume", instance, "2")
    shown = cloud.wait_status(instance, "ACTIVE", 180)
    assert shown["volume"]["size"] == 2
    cloud.run("trove", "resize-instance", instance, "2")
    shown = cloud.wait_status(instance, "ACTIVE", 240)
    assert shown["flavor"]["id"] == "2"
    cloud.run("openstack", "database", "instance", "update", instance, "--name", "renamed")
    assert cloud.openstack("database", "instance", "show", "renamed")["id"] == instance
    address = shown["ip"][0]
    connect(address, "app", "app-Pw1", "shop").close()


def test_access_by_openstack(cloud: AllInOne, instance: str) -> None:
    update = ("openstack", "database", "instance", "update", instance)
    private = cloud.wait_status(instance, "ACTIVE")["ip"][0]
    cloud.run(*update, "--is-public", "--allowed-cidr", "10.78.0.0/16")
    shown = cloud.wait_status(instance, "ACTIVE")
    assert shown["access"] == {"is_public": True, "allowed_cidrs": ["10.78.0.0/16"]}
    public, = [one["address"] for one in shown["addresses"] if one["type"] == "public"]
    connect(public, "app", "app-Pw1", "shop").close()
    with pytest.raises(pymysql.err.OperationalError):
        connect(private, "app", "app-Pw1", "shop")
    cloud.run(*update, "--is-private", "--allowed-cidr", "0.0.0.0/0")
    assert cloud.wait_status(instance, "ACTIVE")["ip"] == [private]
    connect(private, "app", "app-Pw1", "shop").close()
    with pytest.raises(pymysql.err.OperationalError):
        connect(public, "app", "app-Pw1", "shop")


def test_backups_by_both_clients(cloud: AllInOne, instance: str) -> None:
    cloud.run("trove", "backup-create", instance, "legacy-backup", "--description", "d")
    backup = next(item for item in cloud.rest().get("/backups").json()["backups"]
                  if item["name"] == "legacy-backup")
    cloud.wait_backup(backup["id"])
    assert "legacy-backup" in cloud.run("trove", "backup-list")
    assert "legacy-backup" in cloud.run("trove", "backup-list-instance", instance)
    assert "COMPLETED" in cloud.run("trove", "backup-show", backup["id"])
    listed = cloud.openstack("database", "backup", "list")
    assert backup["id"] in [item["ID"] for item in listed]
    shown = cloud.openstack("database", "backup", "show", backup["id"])
    assert shown["datastore"] == "mariadb"
    cloud.run("trove", "backup-delete", backup["id"])


def test_incremental_backups_and_strategies_by_openstack(cloud: AllInOne,
                                                         instance: str) -> None:
    cloud.run("openstack", "database", "backup", "strategy", "create", "--instance-id", instance,
              "--swift-container", "chains")
    listed = cloud.openstack("database", "backup", "strategy", "list")
    assert (instance, "chains") in [
        (one["Instance ID"], one["Swift Container"]) for one in listed]
    chain = []
    for name, more in (("full", ()), ("next", ("--incremental",))):
        made = cloud.openstack("database", "backup", "create", f"osc-{name}",
                               "--instance", instance, *more)
        chain.append(made["id"])
        shown = cloud.wait_backup(made["id"])
        assert "/chains/" in shown["locationRef"]
    assert cloud.openstack("database", "backup", "show", chain[1])["parent_id"] == chain[0]
    taken = cloud.openstack(
        "database", "backup", "create", "taken", "--restore-from",
        cloud.rest().get(f"/backups/{chain[0]}").json()["backup"]["locationRef"],
        "--restore-datastore-version", cloud.openstack(
            "database", "backup", "show", chain[0])["datastore_version_id"],
        "--restore-size", "1")
    cloud.wait_backup(taken["id"], "RESTORED")
    for ident in (taken["id"], chain[0]):
        cloud.run("openstack", "database", "backup", "delete", ident)
        cloud.wait_operations(ident)
    cloud.wait_operations(chain[1])
    left = {one["ID"] for one in cloud.openstack("database", "backup", "list")}
    assert not left & {taken["id"], *chain}
    cloud.run("openstack", "database", "backup", "strategy", "delete", "--instance-id", instance)
    assert cloud.openstack("database", "backup", "strategy", "list") == []


def test_schedules_by_trove(cloud: AllInOne, instance: str) -> None:
    shown = cloud.run("trove", "schedule-create", instance, "0 3 * * *", "nightly",
                      "--description", "by cron")
    ident = next(line.split("|")[2].strip() for line in shown.splitlines()
                 if line.split("|")[1:2] and line.split("|")[1].strip() == "id")
    assert ident in cloud.run("trove", "schedule-list", instance)
    assert "0 3 * * *" in cloud.run("trove", "schedule-show", ident)
    made = cloud.rest().post(f"/schedules/{ident}/run").json()["execution"]
    cloud.wait_backup(made["backup_id"])
    listed = cloud.run("trove", "execution-list", ident)
    assert made["id"] in listed
    assert "Backup complete" in listed
    cloud.run("trove", "execution-delete", made["id"])
    assert made["id"] not in cloud.run("trove", "execution-list", ident)
    cloud.run("trove", "schedule-delete", ident)
    assert ident not in cloud.run("trove", "schedule-list", instance)
    cloud.run("trove", "backup-delete", made["backup_id"])
    cloud.wait_operations(made["backup_id"])


def test_delete_and_force_delete(cloud: AllInOne, instance: str) -> None:
    cloud.run("openstack", "database", "instance", "create", "cli-osc", "--flavor", "1",
              "--size", "1", "--datastore", "mariadb", "--datastore-version",
              cloud.openstack("datastore", "version", "list", "mariadb")[0]["Name"],
              "--databases", "d1", "--users", "u1:u1-Pw")
    listed = cloud.openstack("database", "instance", "list")
    second = next(item["ID"] for item in listed if item["Name"] == "cli-osc")
    # its first part, reset-status, is for administrators
    cloud.run("trove", "force-delete", second, openrc="openrc-admin")
    cloud.wait_gone(second)
    cloud.run("trove", "delete", instance)
    cloud.wait_gone(instance)
