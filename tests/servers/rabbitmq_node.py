"""A throw-away RabbitMQ node."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.mariadb import free_port
from trove_ng.standalone.launcher import broker

_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_CTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_PASSWORD = "trove-test"
#: a second one for tests with other kinds of queues
VHOSTS = ("trove", "quorum")


class Node:
    """A node with one user; as in production it forgets transient queues at a restart."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.port = free_port()
        self._ports = {"epmd": free_port(), "erlang": free_port()}
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None

    def url(self, vhost: str = "trove") -> str:
        """Return the URL for oslo.messaging."""
        return f"rabbit://trove:{_PASSWORD}@127.0.0.1:{self.port}/{vhost}"

    def install(self) -> None:
        """Write the node's files, start it, make virtual hosts and the user."""
        files = {
            "rabbitmq.conf": f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
                             "disk_free_limit.absolute = 50MB\n"
                             "log.file = false\nlog.console = true\nlog.console.level = info\n",
            "enabled_plugins": "[].\n", ".erlang.cookie": secrets.token_hex(16)}
        for name, text in files.items():
            (self._home / name).write_text(text)
            shutil.chown(self._home / name, "rabbitmq")
        (self._home / ".erlang.cookie").chmod(0o400)
        for name in ("data", "generated"):
            (self._home / name).mkdir()
            shutil.chown(self._home / name, "rabbitmq")
        shutil.chown(self._home, "rabbitmq")
        self._epmd = subprocess.Popen(
            ["epmd", "-port", str(self._ports["epmd"]), "-address", "127.0.0.1"],
            user="rabbitmq", cwd="/")
        self.start()
        self.ctl("add_user", "trove", _PASSWORD)
        for vhost in VHOSTS:
            self.ctl("add_vhost", vhost)
            self.ctl("set_permissions", "-p", vhost, "trove", ".*", ".*", ".*")

    @property
    def _environment(self) -> dict[str, str]:
        home = str(self._home)
        return {
            "PATH": os.environ["PATH"], "HOME": home, "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._ports["epmd"]), "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"trove-test-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._ports["erlang"]),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/generated",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{home}/data", "RABBITMQ_LOG_BASE": f"{home}/data",
            "RABBITMQ_PID_FILE": f"{home}/data/pid", "ERL_CRASH_DUMP": f"{home}/data/crash",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1}"}

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        self._process = subprocess.Popen(
            [_SERVER], env=self._environment, user="rabbitmq", group="rabbitmq",
            cwd=self._home, start_new_session=True,
            stdout=(self._home / "log").open("ab"), stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while not broker.answers("127.0.0.1", self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("RabbitMQ did not start:\n"
                                   + (self._home / "log").read_text()[-2000:])
            time.sleep(0.1)
        self.ctl("await_startup")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the node; connections are lost."""
        assert self._process is not None
        os.killpg(self._process.pid, number)
        self._process.wait(60)

    def ctl(self, *words: str) -> str:
        """Run rabbitmqctl and return what it says."""
        return subprocess.run(
            [_CTL, "-q", *words], env=self._environment, user="rabbitmq", group="rabbitmq",
            cwd=self._home, check=True, capture_output=True, text=True, timeout=120).stdout

    def each_queue(self, command: str) -> None:
        """Do something to all queues; one may be gone meanwhile."""
        for queue in self.queues():
            try:
                self.ctl(command, "-p", "trove", queue)
            except subprocess.CalledProcessError as err:
                if "not found" not in (err.stdout + err.stderr).lower():
                    raise

    def queues(self, vhost: str = "trove") -> list[str]:
        """Return the names of all queues."""
        return self.ctl("list_queues", "-p", vhost, "--no-table-headers", "name").split()

    def waiting(self, queue: str, vhost: str = "trove") -> int:
        """Return how many messages wait in a queue that nobody takes them from."""
        found = dict(line.split() for line in self.ctl(
            "list_queues", "-p", vhost, "--no-table-headers", "name", "messages_ready",
        ).splitlines())
        return int(found.get(queue, 0))

    def remove(self) -> None:
        """End everything."""
        if self._process is not None and self._process.poll() is None:
            self.stop(signal.SIGKILL)
        if self._epmd is not None:
            self._epmd.terminate()
            self._epmd.wait(10)


@contextlib.contextmanager
def node() -> Iterator[Node]:
    """Run a node in a temporary directory."""
    home = Path(tempfile.mkdtemp(prefix="trove-test-"))
    made = Node(home)
    try:
        made.install()
        yield made
    finally:
        made.remove()
        shutil.rmtree(home)
