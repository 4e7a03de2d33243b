"""What is measured: an all-in-one whose store is a real MariaDB."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from oslo_config import cfg
from sqlalchemy import insert

from tests.servers import mariadb
from trove_ng.common.clock import utcnow
from trove_ng.conf import base, database, quota, rpc
from trove_ng.db.models import Instance, InstanceKey, ServiceStatusRow
from trove_ng.db.session import Database
from trove_ng.standalone.launcher import bootstrap
from trove_ng.standalone.launcher.commands import AllInOne
from trove_ng.standalone.launcher.credentials import Credentials
from trove_ng.standalone.launcher.layout import Layout, Settings
from trove_ng.standalone.launcher.progress import Progress
from trove_ng.standalone.launcher.supervision import Supervisor

#: nothing but the service itself shall limit
_OPTIONS = """[DEFAULT]
http_get_rate = 0
http_post_rate = 0
http_put_rate = 0
http_delete_rate = 0
max_instances_per_tenant = -1
max_volumes_per_tenant = -1
max_ram_per_tenant = -1
trove_api_workers = 1
"""


class Stage:
    """The running all-in-one.

    :param store: the MariaDB server that is its store
    """

    def __init__(self, layout: Layout, store: mariadb.Server) -> None:
        self.layout = layout
        self.store = store
        self.settings: Settings = layout.settings()
        self.supervisor = Supervisor(layout)
        self._credentials = Credentials(layout.etc / "credentials.json")
        self._credentials.load()
        self.token, self.project_id, self.user_id = self._login()

    def _login(self) -> tuple[str, str, str]:
        answer = requests.post(f"{self.settings.identity_url}/auth/tokens", timeout=30, json={
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": "demo", "domain": {"id": "default"},
                    "password": self._credentials["demo_password"].reveal()}}},
                "scope": {"project": {"name": "demo", "domain": {"id": "default"}}}}})
        answer.raise_for_status()
        token = answer.json()["token"]
        return answer.headers["X-Subject-Token"], token["project"]["id"], token["user"]["id"]

    @property
    def url(self) -> str:
        """Start of the demo project's URLs."""
        return f"{self.settings.api_url}/v1.0/{self.project_id}"

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        return {"X-Auth-Token": self.token, "Content-Type": "application/json"}

    def request(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Send a request of the demo project.

        :param path: below :attr:`url`
        :raises requests.HTTPError: it is refused
        """
        answer = requests.request(method, self.url + path, json=body, headers=self.headers,
                                  timeout=60)
        answer.raise_for_status()
        return answer

    def wait(self, path: str, kind: str, wanted: str | None, seconds: float = 180) -> None:
        """Wait until a resource has a status.

        :param path: of the resource, below :attr:`url`
        :param kind: of the resource, as its JSON has it
        :param wanted: the status; None: it is gone
        :raises RuntimeError: it failed
        :raises TimeoutError: it took longer
        """
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            answer = requests.get(self.url + path, headers=self.headers, timeout=60)
            if answer.status_code == 404 and wanted is None:
                return
            status = answer.json().get(kind, {}).get("status")
            if status == wanted:
                return
            if status in ("ERROR", "FAILED"):
                raise RuntimeError(answer.text)
            time.sleep(0.1)
        raise TimeoutError(f"{path} did not become {wanted}")

    def steps(self, resource: str, action: str) -> dict[str, float]:
        """Return the seconds of each step of the operations of a kind on a resource."""
        return {str(step): float(took) for step, took in self.store.execute(
            "SELECT s.step, TIMESTAMPDIFF(MICROSECOND, s.started_at, s.ended_at) / 1000000 "
            "FROM trove.operation_steps s JOIN trove.operations o ON o.id = s.operation_id "
            f"WHERE o.resource_id = '{resource}' AND o.action = '{action}'")}

    def conf(self) -> cfg.ConfigOpts:
        """Return the services' configuration."""
        return base.load(
            [f"--config-file={self.layout.trove_conf}",
             f"--config-dir={self.layout.trove_conf_dir}"], prog="trove-bench",
            registrars=(database.register, rpc.register, quota.register), setup_logging=False)

    def version_id(self) -> str:
        """Return the id of the datastore version."""
        return str(self.store.execute("SELECT id FROM trove.datastore_versions")[0][0])

    def fill(self, count: int) -> list[str]:
        """Make the project have so many instances in the store; return their ids."""
        db, version, now = Database(self.conf()), self.version_id(), utcnow()
        have = [row[0] for row in self.store.execute(
            "SELECT id FROM trove.instances WHERE deleted = 0")]
        new = [str(uuid.uuid4()) for _ in range(count - len(have))]
        with db.writer() as session:
            if new:
                session.execute(insert(Instance), [
                    {"id": one, "name": f"bench-{number}", "tenant_id": self.project_id,
                     "flavor_id": "1", "flavor_ram": 512, "volume_size": 1,
                     "server_status": "ACTIVE", "task": "NONE", "error": "",
                     "addresses": [{"address": "192.0.2.1", "type": "private"}],
                     "region_id": "RegionOne", "datastore_version_id": version,
                     "created": now, "updated": now} for number, one in enumerate(new)])
                session.execute(insert(ServiceStatusRow), [
                    {"instance_id": one, "status": "HEALTHY", "sequence": 0,
                     "updated_at": now} for one in new])
        return have + new

    def give_keys(self, ids: list[str], seal: Any) -> None:
        """Give instances keys for their agents.

        :param seal: returns what is stored for an id
        """
        with Database(self.conf()).writer() as session:
            session.execute(insert(InstanceKey), [
                {"instance_id": one, "encrypted_key": seal(one)} for one in ids])

    def count_cloud_calls(self) -> None:
        """Begin to count the calls that reach the cloud's services, identity left out."""
        for service in ("compute", "volume", "network", "image", "object"):
            requests.post(self._faults, timeout=10, data=json.dumps(
                {"kind": "latency", "seconds": 0, "service": service})).raise_for_status()

    def cloud_calls(self) -> int:
        """Return how many calls reached the cloud since counting began."""
        rules = requests.get(self._faults, timeout=10).json()["rules"]
        return sum(rule["hits"] for rule in rules)

    @property
    def _faults(self) -> str:
        return self.settings.identity_url.replace("/identity/v3", "/_faults")


@contextlib.contextmanager
def running() -> Iterator[Stage]:
    """Run an all-in-one on a throw-away MariaDB; nothing is left of it."""
    home = Path(tempfile.mkdtemp(prefix="tb-"))
    home.chmod(0o755)
    layout = Layout(home / "one")
    one = AllInOne(layout, Progress())
    with mariadb.server() as store:
        try:
            one.up(database_url=store.url)
            (layout.trove_conf_dir / "bench.conf").write_text(_OPTIONS)
            _restart(layout)
            yield Stage(layout, store)
        finally:
            one.destroy()
            shutil.rmtree(home)


def _restart(layout: Layout) -> None:
    settings, supervisor = layout.settings(), Supervisor(layout)
    for name in ("trove-api", "trove-taskmanager", "trove-conductor"):
        supervisor.stop(name)
        supervisor.start(name)
    supervisor.wait_ready("trove-api", lambda: bootstrap.answers(f"{settings.api_url}/"), 60)
    for name in ("trove-taskmanager", "trove-conductor"):
        supervisor.wait_ready(name, lambda: True, 60)
