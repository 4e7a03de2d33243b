"""The real processes of the services on a broker and a store that tests may harm."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from sqlalchemy import func, select

from tests.integration.processes import SERVICES
from tests.servers.mariadb import free_port
from trove_ng.cmd.minicloud import make_servers
from trove_ng.common.clock import utcnow
from trove_ng.common.secret import Secret
from trove_ng.conf import base, conductor, database, operations, quota, rpc, taskmanager
from trove_ng.db.migrations import api as migrations
from trove_ng.db.models import (
    Backup,
    Datastore,
    DatastoreVersion,
    Instance,
    Operation,
    QuotaUsage,
    ServiceStatusRow,
)
from trove_ng.db.session import Database
from trove_ng.db.trouble import StoreAway
from trove_ng.rpc.transport import get_transport
from trove_ng.standalone.minicloud.app import MiniCloud
from trove_ng.standalone.minicloud.config import MiniCloudConfig, User

from .agents import Hypervisor

#: seconds that an outage lasts; the long ones are for a nightly run
OUTAGE = float(os.environ.get("TROVE_OUTAGE_SECONDS", "3"))
LONG = "TROVE_OUTAGE_SECONDS" in os.environ
#: for faults that resemble another one: with long outages only
NIGHTLY = pytest.mark.skipif(not LONG, reason="only with TROVE_OUTAGE_SECONDS")
#: seconds within which a request must be answered, whatever is away
ANSWER = 20.0

_CONF = """[DEFAULT]
transport_url = {transport_url}
taskmanager_rpc_encr_key = control-plane-key-for-tests
inst_rpc_key_encr_key = instance-key-for-tests
bind_host = 127.0.0.1
bind_port = {api_port}
trove_api_workers = 1
guest_config = {home}/trove-guestagent.conf
default_datastore = mariadb
sweep_interval = 1
reconcile_interval = 3600
prepare_retry = 5
guest_call_timeout = 5
http_get_rate = 0
http_post_rate = 0
http_delete_rate = 0
max_instances_per_tenant = -1
max_volumes_per_tenant = -1
max_ram_per_tenant = -1
max_backups_per_tenant = -1
[api]
datastore_cache_time = 0
[database]
connection = {connection}
[store]
connect_timeout = 3
answer_timeout = 4
lock_timeout = 1
idle_transaction_timeout = 15
[operations]
lease = 8
poll_interval = 0.1
poll_interval_max = 0.5
store_poll_interval_max = 0.5
step_retry_interval = 0.5
[keystone_authtoken]
auth_type = password
www_authenticate_uri = {identity}
{account}
[service_credentials]
{account}
[oslo_messaging_rabbit]
{rabbit}
"""
_ACCOUNT = """auth_url = {identity}
username = trove
password = trove-pw
project_name = service
user_domain_name = Default
project_domain_name = Default"""


class Stage:
    """All parts, and what tests ask of them.

    :param connection: URL of the store, which is empty
    :param rabbit: further options of the bus
    """

    def __init__(self, home: Path, connection: str, transport_url: str,
                 rabbit: str = "") -> None:
        self.home = home
        self.api_port, self._cloud_port = free_port(), free_port()
        identity = f"http://127.0.0.1:{self._cloud_port}/identity/v3"
        self._identity = identity
        self._conf_file = home / "trove.conf"
        (home / "trove-guestagent.conf").write_text("[DEFAULT]\n")
        self._conf_file.write_text(_CONF.format(
            transport_url=transport_url, api_port=self.api_port, home=home, rabbit=rabbit,
            connection=connection, identity=identity,
            account=_ACCOUNT.format(identity=identity)))
        conf = base.load(
            [f"--config-file={self._conf_file}"], prog="trove-test", setup_logging=False,
            registrars=(database.register, rpc.register, quota.register, operations.register,
                        taskmanager.register, conductor.register))
        get_transport(conf)
        self._conf = conf
        self.db = Database(conf)
        self.hypervisor = Hypervisor(home)
        self.hypervisor.conf = conf
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._session = requests.Session()

    # ---- life -------------------------------------------------------------

    def start(self) -> None:
        """Start the cloud and the services; the store is there."""
        self.start_cloud()
        self.fill_store()
        self.start_services()
        self.log_in()

    def start_cloud(self) -> None:
        config = MiniCloudConfig(
            state_dir=self.home / "cloud", port=self._cloud_port, hypervisor="null", users=(
                User("demo", Secret("demo-pw"), "demo", ("member",)),
                User("trove", Secret("trove-pw"), "service",
                     ("admin", "service", "ResellerAdmin"))))
        self.minicloud = MiniCloud(config, self.hypervisor)
        self._server, = make_servers(config, self.minicloud)
        self.minicloud.start()
        threading.Thread(target=self._server.serve, daemon=True).start()
        ident = str(uuid.uuid4())
        self.minicloud.store.put("image", ident, {
            "id": ident, "name": "guest", "status": "active", "visibility": "public",
            "owner": "admin", "tags": ["mariadb"], "min_disk": 0, "min_ram": 0, "size": 1,
            "os_hidden": False, "protected": False, "container_format": "bare",
            "disk_format": "raw", "checksum": None, "os_hash_algo": None,
            "os_hash_value": None, "virtual_size": None,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z"}, "admin")

    def fill_store(self) -> None:
        migrations.upgrade(Database(self._conf, patient=True).engine)
        with self.db.writer() as session:
            session.add(Datastore(id="d", name="mariadb", default_version_id="v"))
            session.flush()
            session.add(DatastoreVersion(
                id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb",
                image_tags="mariadb", created=utcnow(), updated=utcnow()))

    def start_services(self) -> None:
        for name in SERVICES:
            self.start_service(name)
        self.until("the API answers", self._api_answers)

    def start_service(self, name: str) -> None:
        program = Path(sys.executable).parent / name
        self.processes[name] = subprocess.Popen(
            [program, "--config-file", self._conf_file], stdin=subprocess.DEVNULL,
            stdout=self.log_of(name).open("ab"), stderr=subprocess.STDOUT)

    def kill_service(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(30)

    def log_of(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _api_answers(self) -> bool:
        try:
            return self._session.get(f"http://127.0.0.1:{self.api_port}/healthcheck",
                                     timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def log_in(self) -> None:
        answer = requests.post(f"{self._identity}/auth/tokens", timeout=30, json={"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "demo", "domain": {"id": "default"}, "password": "demo-pw"}}},
            "scope": {"project": {"name": "demo", "domain": {"id": "default"}}}}})
        answer.raise_for_status()
        self.project_id = answer.json()["token"]["project"]["id"]
        self._session.headers["X-Auth-Token"] = answer.headers["X-Subject-Token"]

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        for agent in list(self.hypervisor.agents.values()):
            agent.stop()
        if hasattr(self, "minicloud"):
            self._server.stop()
            self.minicloud.stop()

    # ---- what users do ----------------------------------------------------

    def request(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Send a request; it must be answered in a bounded time."""
        return self._session.request(
            method, f"http://127.0.0.1:{self.api_port}/v1.0/{self.project_id}{path}",
            json=body, timeout=ANSWER)

    def ready(self) -> requests.Response:
        return self._session.get(f"http://127.0.0.1:{self.api_port}/healthcheck/ready",
                                 timeout=ANSWER)

    def try_create(self) -> requests.Response:
        return self.request("POST", "/instances", {"instance": {
            "name": "db", "flavorRef": "1", "volume": {"size": 1},
            "datastore": {"type": "mariadb", "version": "10.11"}}})

    def create(self) -> str:
        answer = self.try_create()
        assert answer.status_code == 200, answer.text
        return str(answer.json()["instance"]["id"])

    def try_backup(self, instance_id: str) -> requests.Response:
        return self.request("POST", "/backups", {"backup": {
            "name": "b", "instance": instance_id}})

    def restart(self, instance_id: str) -> None:
        answer = self.request("POST", f"/instances/{instance_id}/action", {"restart": {}})
        assert answer.status_code == 202, answer.text

    def delete(self, instance_id: str) -> None:
        answer = self.request("DELETE", f"/instances/{instance_id}")
        assert answer.status_code == 202, answer.text

    def wait_active(self, *instances: str, seconds: float = 90) -> None:
        for ident in instances:
            self.until(f"{ident} is ACTIVE", lambda ident=ident: self._status_or_fail(ident),
                       seconds)

    def _status_or_fail(self, ident: str) -> bool:
        answer = self.request("GET", f"/instances/{ident}")
        if answer.status_code == 503:
            return False
        assert answer.status_code == 200, answer.text
        shown = answer.json()["instance"]
        assert shown["status"] not in ("ERROR", "FAILED"), shown
        return bool(shown["status"] == "ACTIVE")

    def until(self, what: str, probe: Callable[[], object], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self._holds(probe):
            assert time.monotonic() < end, f"not in {seconds} s: {what}\n{self.told()}"
            time.sleep(0.1)

    @staticmethod
    def _holds(probe: Callable[[], object]) -> bool:
        try:
            return bool(probe())
        except StoreAway:
            return False

    def told(self) -> str:
        """Return the ends of the services' logs."""
        return "\n".join(
            f"--- {name}\n" + "\n".join(self.log_of(name).read_text().splitlines()[-40:])
            for name in self.processes)

    # ---- what must hold ---------------------------------------------------

    def alive(self) -> None:
        """Check that all services are the processes that were started."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended\n{self.told()}"

    def threads(self) -> int:
        """Return the threads of the API's worker."""
        master = psutil.Process(self.processes["trove-api"].pid)
        return sum(one.num_threads() for one in master.children())

    def heard_since(self, instance_id: str, moment: Any) -> bool:
        with self.db.reader() as session:
            row = session.get(ServiceStatusRow, instance_id)
        return row is not None and row.updated_at is not None and row.updated_at > moment

    def settled(self) -> bool:
        """Return whether every operation has ended."""
        with self.db.reader() as session:
            return not session.scalar(select(func.count()).select_from(Operation).where(
                Operation.live_key.is_not(None)))

    def clear(self) -> None:
        """Delete all instances, and wait until that is done."""
        self.until("every operation has ended", self.settled)
        for one in self.request("GET", "/instances").json()["instances"]:
            self.delete(one["id"])
        self.until("every operation has ended", self.settled)

    def check(self, *, failed: int = 0) -> None:
        """Wait until all operations ended, and check that nothing is lost or left over.

        :param failed: operations that may have failed
        """
        self.alive()
        self.until("every operation has ended", self.settled, 120)
        with self.db.reader() as session:
            ended = Counter(session.scalars(select(Operation.status)))
            errors = list(session.scalars(select(Operation.error).where(
                Operation.status == "FAILED")))
            rows = session.execute(select(
                Instance.id, Instance.compute_instance_id, Instance.volume_id,
                Instance.volume_size, Instance.flavor_ram).where(
                    Instance.deleted.is_(False))).all()
            backups = session.scalar(select(func.count()).select_from(Backup).where(
                Backup.deleted.is_(False)))
            used = {row.resource: (row.in_use, row.reserved) for row in
                    session.scalars(select(QuotaUsage))}
        assert ended["FAILED"] <= failed, errors
        assert set(ended) <= {"SUCCEEDED", "FAILED", "CANCELLED"}
        store = self.minicloud.store
        assert sorted(row.compute_instance_id for row in rows) == sorted(
            one["id"] for one in store.list("server"))
        assert sorted(row.volume_id for row in rows) == sorted(
            one["id"] for one in store.list("volume"))
        assert len(store.list("port")) == len(rows)
        recount = {
            "instances": len(rows), "volumes": sum(row.volume_size for row in rows),
            "ram": sum(row.flavor_ram for row in rows), "backups": backups or 0}
        assert {name: (count, 0) for name, count in recount.items()} == {
            name: used.get(name, (0, 0)) for name in recount}
        assert "failed, request id" not in self.log_of("trove-api").read_text(), self.told()


@contextlib.contextmanager
def running(home: Path, connection: str, transport_url: str, rabbit: str = "",
            ) -> Iterator[Stage]:
    """Run the services on a store and a broker that are there."""
    stage = Stage(home, connection, transport_url, rabbit)
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
