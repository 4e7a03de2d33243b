"""The main job, for people to watch: create, use, settle, back up, delete, restore."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pymysql

from trove_ng.common.secret import Secret, generate_password
from trove_ng.standalone.launcher import bootstrap
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.demo_api import DatabaseApi, wait_for
from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.progress import Progress

_ROWS = 1000
_DATABASE = "shop"
_USER = "app"
_INSTANCE = "demo"
_BACKUP = "demo-backup"
_SCHEDULE = "demo-nightly"
_CONFIGURATION = "demo-settings"
_MODULE = "demo-hello"
_HELLO = "Hello from a module"
_FLAVOR = "1"
#: what an earlier demo may have left, what uses others first
_LEFT = (("instance", _INSTANCE), ("schedule", _SCHEDULE), ("backup", _SCHEDULE),
         ("backup", _BACKUP), ("module", _MODULE), ("configuration", _CONFIGURATION))


class Demo:
    """Shows that the all-in-one works, and leaves a database to play with.

    :param layout: where the all-in-one lives
    :param progress: where to tell what happens
    """

    def __init__(self, layout: Layout, progress: Progress) -> None:
        self._layout = layout
        self._progress = progress

    def run(self) -> None:
        """Run the main job.

        :raises LauncherError: something did not work
        """
        settings = self._layout.settings()
        credentials = Credentials(self._layout.etc / "credentials.json")
        credentials.load()
        with bootstrap.cloud_session(
                settings, "demo", "demo", credentials, "demo_password") as session:
            api = DatabaseApi(session, settings.region)
            self._clean(api)
            password = Secret(generate_password(20))
            shown = self._main_job(api, password)
        self._farewell(settings, shown, password)

    def _main_job(self, api: DatabaseApi, password: Secret) -> dict[str, Any]:
        stage = self._progress.stage
        with stage("making a configuration group and a module"):
            extras = _extras(api)
        with stage("creating a MariaDB instance with both, a database and a user"):
            shown = self._create(api, password, extras)
        path, address = f"/instances/{shown['id']}", _address(shown)
        with stage(f"logging in as {_USER} and writing {_ROWS} rows"):
            _fill(address, password)
        with stage("changing the group, which takes effect without a restart"):
            _change(api, extras["configuration"], address, password)
            api.wait("instance", shown["id"], "ACTIVE", 60)
        with stage("asking the module on the server"):
            _ask_module(api, path)
        with stage("publishing the log of statements, and reading it from the object store"):
            _read_log(api, path, address, password)
        with stage("backing it up"):
            backup = api.post("/backups", {"backup": {
                "name": _BACKUP, "instance": shown["id"]}})["backup"]
            api.wait("backup", backup["id"], "COMPLETED", 180)
        with stage("making a schedule that continues the backup, and running it after a change"):
            before = _add(address, password)
            backup_id = _run_schedule(api, shown["id"], backup["id"])
        with stage("deleting the instance"):
            api.delete(path)
            api.wait_gone(path, 120)
        with stage("restoring the schedule's backup into a new instance"):
            shown = self._create(
                api, None, {**extras, "restorePoint": {"backupRef": backup_id}})
        with stage("comparing every row"):
            if _read(_address(shown), password) != before:
                raise LauncherError("The restored rows differ from those that were written.")
        return shown

    def _create(self, api: DatabaseApi, password: Secret | None,
                more: Mapping[str, Any]) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "name": _INSTANCE, "flavorRef": _FLAVOR, "volume": {"size": 1},
            "datastore": {"type": bootstrap.DATASTORE, "version": bootstrap.VERSION}, **more}
        if password is not None:
            wanted["databases"] = [{"name": _DATABASE}]
            wanted["users"] = [{"name": _USER, "password": password.reveal(),
                                "databases": [{"name": _DATABASE}]}]
        made = api.post("/instances", {"instance": wanted})["instance"]
        return api.wait("instance", made["id"], "ACTIVE", 240)

    def _clean(self, api: DatabaseApi) -> None:
        """Remove what an earlier demo left, so that it can run again and again."""
        for kind, name in _LEFT:
            for each in api.get(f"/{kind}s")[f"{kind}s"]:
                if each["name"] != name:
                    continue
                self._progress.say(f"removing the {kind} of an earlier demo")
                api.delete(f"/{kind}s/{each['id']}")
                api.wait_gone(f"/{kind}s/{each['id']}", 120)

    def _farewell(self, settings: Settings, shown: dict[str, Any], password: Secret) -> None:
        directory = self._layout.state_dir
        for line in (
            "",
            f"It works. The demo took {self._progress.elapsed:.1f} s.",
            "",
            f"API endpoint:       {settings.api_url}",
            f"Identity endpoint:  {settings.identity_url}",
            "",
            "With the trove client:      "
            f"source {directory}/openrc && trove list",
            "With the openstack client:  "
            f"source {directory}/openrc && openstack database instance list",
            "Or by cloud name:           "
            f"OS_CLIENT_CONFIG_FILE={directory}/clouds.yaml"
            " openstack --os-cloud trove-demo database instance list",
            f"As administrator:           source {directory}/openrc-admin",
            "",
            "Log in to the restored database:",
            f"  mariadb -h {_address(shown)} -u {_USER} -p{password.reveal()} {_DATABASE}",
        ):
            self._progress.show(line)


def _address(shown: dict[str, Any]) -> str:
    return str(shown["ip"][0])


def _extras(api: DatabaseApi) -> dict[str, Any]:
    """Make what the instance is created with, besides its data."""
    group = api.post("/configurations", {"configuration": {
        "name": _CONFIGURATION, "values": {"max_connections": 100},
        "datastore": {"type": bootstrap.DATASTORE, "version": bootstrap.VERSION},
    }})["configuration"]
    contents = base64.b64encode(f"message={_HELLO}\n".encode()).decode()
    module = api.post("/modules", {"module": {
        "name": _MODULE, "module_type": "ping", "contents": contents}})["module"]
    return {"configuration": group["id"], "modules": [{"id": module["id"]}]}


def _change(api: DatabaseApi, group: str, address: str, password: Secret) -> None:
    with _connect(address, password) as connection, connection.cursor() as cursor:
        def settings() -> tuple[Any, ...]:
            cursor.execute("SELECT @@GLOBAL.max_connections, @@GLOBAL.long_query_time")
            return tuple(cursor.fetchone() or ())

        if settings()[0] != 100:
            raise LauncherError(f"The configuration group has no effect: {settings()}")
        api.patch(f"/configurations/{group}", {"configuration": {
            "values": {"max_connections": 150, "long_query_time": 1.5}}})
        wait_for(lambda: settings() == (150, 1.5), 60, "the changed settings")


def _ask_module(api: DatabaseApi, path: str) -> None:
    found = api.get(f"{path}/modules?from_guest=1")["modules"]
    if [(one["status"], one["message"]) for one in found] != [("OK", _HELLO)]:
        raise LauncherError(f"The module does not answer: {found}")


def _read_log(api: DatabaseApi, path: str, address: str, password: Secret) -> None:
    api.post(f"{path}/log", {"name": "general", "enable": True})
    _read(address, password)
    log = api.post(f"{path}/log", {"name": "general", "publish": True})["log"]
    if "FROM article ORDER BY id" not in api.read_objects(log["container"], log["prefix"]):
        raise LauncherError(f"The published log does not have the statement: {log}")
    api.post(f"{path}/log", {"name": "general", "disable": True})


def _run_schedule(api: DatabaseApi, instance: str, parent: str) -> str:
    """Return the id of the backup that a schedule made."""
    schedule = api.post("/schedules", {"schedule": {
        "name": _SCHEDULE, "instance": instance, "pattern": "0 3 * * *",
        "parent_id": parent}})["schedule"]
    made = str(api.post(f"/schedules/{schedule['id']}/run", {})["execution"]["backup_id"])
    if api.wait("backup", made, "COMPLETED", 180)["parent_id"] != parent:
        raise LauncherError(f"The backup {made} does not continue {parent}.")
    return made


def _connect(address: str, password: Secret) -> pymysql.Connection[Any]:
    return pymysql.connect(
        host=address, user=_USER, password=password.reveal(), database=_DATABASE,
        connect_timeout=10, read_timeout=60, autocommit=True)


def _fill(address: str, password: Secret) -> None:
    with _connect(address, password) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE article (id INT PRIMARY KEY, name VARCHAR(64), price DECIMAL(8,2),"
            " picture VARBINARY(64))")
        cursor.executemany(
            "INSERT INTO article VALUES (%s, %s, %s, RANDOM_BYTES(64))",
            [(number, f"article {number}", number / 7) for number in range(_ROWS)])


def _add(address: str, password: Secret) -> list[tuple[Any, ...]]:
    """Write one row more and return all."""
    with _connect(address, password) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO article VALUES (%s, 'the last one', 1, RANDOM_BYTES(64))",
                       (_ROWS,))
    return _read(address, password)


def _read(address: str, password: Secret) -> list[tuple[Any, ...]]:
    with _connect(address, password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM article ORDER BY id")
        return list(cursor.fetchall())
