"""A minicloud that remembers servers instead of running them, and its clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1 import session
from keystoneauth1.identity import v3

from tests.servers.mariadb import free_port
from trove_ng.cmd.minicloud import make_servers
from trove_ng.common.secret import Secret
from trove_ng.standalone.minicloud.app import MiniCloud
from trove_ng.standalone.minicloud.config import MiniCloudConfig, User
from trove_ng.standalone.minicloud.hypervisor import NullHypervisor


class Cloud:
    """A running minicloud."""

    def __init__(self, home: Path) -> None:
        self.config = MiniCloudConfig(
            state_dir=home, port=free_port(), hypervisor="null",
            trove_url="http://127.0.0.1:8779", users=(
                User("admin", Secret("admin-pw"), "admin", ("admin",)),
                User("demo", Secret("demo-pw"), "demo", ("member",)),
                User("trove", Secret("trove-pw"), "service", (
                    "admin", "service", "ResellerAdmin"))))
        self.hypervisor = NullHypervisor()
        self.start()

    def start(self) -> None:
        self.app = MiniCloud(self.config, self.hypervisor)
        self._server, = make_servers(self.config, self.app)
        self.app.start()
        threading.Thread(target=self._server.serve, daemon=True).start()

    def stop(self) -> None:
        self._server.stop()
        self.app.stop()

    def session(self, user: str = "demo", password: str | None = None,
                project: str | None = None) -> Any:
        return session.Session(v3.Password(
            auth_url=f"{self.config.url}/identity/v3", username=user,
            password=password or f"{user}-pw", project_name=project or {
                "trove": "service"}.get(user, user),
            user_domain_name="Default", project_domain_name="Default"))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """See :class:`Cloud`."""
    made = Cloud(tmp_path / "cloud")
    yield made
    made.stop()
