"""The main job, for people to watch: create, use, back up, delete, restore."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pymysql

from trove_ng.common.secret import Secret, generate_password
from trove_ng.standalone.launcher import bootstrap
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.progress import Progress

_ROWS = 1000
_DATABASE = "shop"
_USER = "app"
_INSTANCE = "demo"
_BACKUP = "demo-backup"
_FLAVOR = "1"
_FAILED = ("ERROR", "FAILED")


class DatabaseApi:
    """The Trove API as the demo's user sees it.

    :param session: keystoneauth1 session of the user
    :param region: of the service
    """

    def __init__(self, session: Any, region: str) -> None:
        self._session = session
        self._catalog = {
            "service_type": "database", "interface": "public", "region_name": region}

    def get(self, path: str) -> dict[str, Any]:
        """GET a resource."""
        found: dict[str, Any] = self._session.get(path, endpoint_filter=self._catalog).json()
        return found

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a resource."""
        made: dict[str, Any] = self._session.post(
            path, json=body, endpoint_filter=self._catalog).json()
        return made

    def delete(self, path: str) -> None:
        """Delete a resource."""
        self._session.delete(path, endpoint_filter=self._catalog)

    def exists(self, path: str) -> bool:
        """Whether a resource answers anything but 404."""
        status: int = self._session.get(
            path, endpoint_filter=self._catalog, raise_exc=False).status_code
        return status != 404

    def wait(self, kind: str, ident: str, wanted: str, seconds: float) -> dict[str, Any]:
        """Wait until an instance or backup has a status and return it.

        :raises LauncherError: it failed or took too long
        """
        shown: dict[str, Any] = {}

        def reached() -> bool:
            shown.update(self.get(f"/{kind}s/{ident}")[kind])
            if shown["status"] in _FAILED:
                raise LauncherError(
                    f"The {kind} {ident} is {shown['status']}: {shown.get('fault', '')}")
            return bool(shown["status"] == wanted)

        _wait(reached, seconds, f"{kind} {ident} to be {wanted}")
        return shown

    def wait_gone(self, path: str, seconds: float) -> None:
        """Wait until a resource answers 404."""
        _wait(lambda: not self.exists(path), seconds, f"the end of {path}")


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
        with stage("creating a MariaDB instance with a database and a user"):
            shown = self._create(api, password)
        with stage(f"logging in as {_USER} and writing {_ROWS} rows"):
            before = _fill(_address(shown), password)
        with stage("backing it up"):
            backup = api.post("/backups", {"backup": {
                "name": _BACKUP, "instance": shown["id"]}})["backup"]
            api.wait("backup", backup["id"], "COMPLETED", 180)
        with stage("deleting the instance"):
            api.delete(f"/instances/{shown['id']}")
            api.wait_gone(f"/instances/{shown['id']}", 120)
        with stage("restoring the backup into a new instance"):
            shown = self._create(api, None, {"backupRef": backup["id"]})
        with stage("comparing every row"):
            if _read(_address(shown), password) != before:
                raise LauncherError("The restored rows differ from those that were written.")
        return shown

    def _create(
        self, api: DatabaseApi, password: Secret | None,
        restore_point: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        wanted: dict[str, Any] = {
            "name": _INSTANCE, "flavorRef": _FLAVOR, "volume": {"size": 1},
            "datastore": {"type": bootstrap.DATASTORE, "version": bootstrap.VERSION}}
        if password is not None:
            wanted["databases"] = [{"name": _DATABASE}]
            wanted["users"] = [{"name": _USER, "password": password.reveal(),
                                "databases": [{"name": _DATABASE}]}]
        if restore_point is not None:
            wanted["restorePoint"] = restore_point
        made = api.post("/instances", {"instance": wanted})["instance"]
        return api.wait("instance", made["id"], "ACTIVE", 240)

    def _clean(self, api: DatabaseApi) -> None:
        """Remove what an earlier demo left, so that it can run again and again."""
        for kind, name in (("instance", _INSTANCE), ("backup", _BACKUP)):
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


def _connect(address: str, password: Secret) -> pymysql.Connection[Any]:
    return pymysql.connect(
        host=address, user=_USER, password=password.reveal(), database=_DATABASE,
        connect_timeout=10, read_timeout=60)


def _fill(address: str, password: Secret) -> list[tuple[Any, ...]]:
    with _connect(address, password) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE article (id INT PRIMARY KEY, name VARCHAR(64), price DECIMAL(8,2),"
                " picture VARBINARY(64))")
            cursor.executemany(
                "INSERT INTO article VALUES (%s, %s, %s, RANDOM_BYTES(64))",
                [(number, f"article {number}", number / 7) for number in range(_ROWS)])
        connection.commit()
    return _read(address, password)


def _read(address: str, password: Secret) -> list[tuple[Any, ...]]:
    with _connect(address, password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM article ORDER BY id")
        return list(cursor.fetchall())


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LauncherError(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(0.3)
