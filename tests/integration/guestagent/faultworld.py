"""One instance whose parts can be broken: volume, database, agent, bus, object store, clock.

Everything is real: the agent's program and the database run under a supervisord of the test,
the volume is a loop device, the bus is RabbitMQ, the object store is the minicloud's.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from typing import Any

import requests
from swiftclient.utils import generate_temp_url

from tests.functional.minicloud.conftest import Cloud
from tests.integration.guestagent.conftest import INSTANCE, SECRET, wait_for
from tests.integration.guestagent.faultengines import Engine
from tests.integration.guestagent.test_volumes import Disk
from trove_ng.common.secret import Secret
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.services import SupervisorControl
from trove_ng.rpc import messages as m

KEY = "temp-url-key"
#: the promise: a status tells the cause of a fault within this many seconds
PROMISED = 60

#: the wall clock of the agent is off by what a file says, in seconds
CLOCK = '''
import time

_time = time.time


def _shifted():
    try:
        with open({path!r}) as offset:
            return _time() + float(offset.read() or 0)
    except OSError:
        return _time()


time.time = _shifted
'''

SUPERVISOR = """\
[unix_http_server]
file = {home}/s.sock
[supervisord]
logfile = {home}/supervisord.log
pidfile = {home}/supervisord.pid
nodaemon = true
user = root
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:agent]
command = {agent} --config-file {home}/agent.conf
environment = PYTHONPATH="{home}/plugin",XDG_CACHE_HOME="{home}",HOME="{home}"
autorestart = true
startsecs = 1
redirect_stderr = true
stdout_logfile = {home}/agent.out
[program:{program}]
stdout_logfile = {home}/{program}.log
"""
#: unless the engine says otherwise
SERVICE = {"autostart": "false", "autorestart": "unexpected", "startsecs": "1",
           "stopwaitsecs": "60", "redirect_stderr": "true", "directory": "/"}


class World:
    """See the module.

    :param home: a short path that the database's user can enter
    """

    def __init__(self, home: pathlib.Path, bus_url: str, control: Any,
                 engine: type[Engine]) -> None:
        self.home = home
        self.control = control
        for name in ("run", "etc", "mount", "plugin", "state", "log"):
            (home / name).mkdir()
        self.engine = engine(home)
        for name in ("run", "log"):
            shutil.chown(home / name, self.engine.user, self.engine.user)
        self._write_plugin()
        self._write_agent_conf(bus_url)
        self.disk = Disk(home)
        self.volume = m.VolumeSpec(device=self.disk.device, mount_point=str(home / "mount"),
                                   fstype=self.engine.fstype)
        self.data = self.engine.data
        self._write_supervisor_conf()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs",
                        str(home / "state")], check=True)
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c",
             str(home / "supervisord.conf")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._services = SupervisorControl(str(home / "s.sock"))
        wait_for(lambda: self.beats)
        self.cloud: Cloud | None = None

    def _write_supervisor_conf(self) -> None:
        about = {**SERVICE, **self.engine.service()}
        (self.home / "supervisord.conf").write_text(SUPERVISOR.format(
            home=self.home, agent=pathlib.Path(sys.executable).with_name("trove-guestagent"),
            program=self.engine.program) + "".join(
                f"{name} = {value}\n" for name, value in about.items()))

    def _write_plugin(self) -> None:
        plugin = self.home / "plugin"
        info = plugin / "localengine-1.0.dist-info"
        info.mkdir()
        (plugin / "localengine.py").write_text(self.engine.plugin())
        (plugin / "sitecustomize.py").write_text(CLOCK.format(path=str(self.home / "clock")))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: localengine\nVersion: 1\n")
        (info / "entry_points.txt").write_text(
            "[trove_ng.guestagent.managers]\nlocalengine = localengine:LocalManager\n")

    def _write_agent_conf(self, bus_url: str) -> None:
        (self.home / "agent.conf").write_text(textwrap.dedent(f"""\
            [DEFAULT]
            transport_url = {bus_url}
            state_path = {self.home}/state
            guest_id = {INSTANCE}
            datastore_manager = localengine
            instance_rpc_encr_key = {SECRET}
            report_interval = 1
            log_file = {self.home}/agent.log
            [guest_agent]
            service_manager = supervisor
            supervisor_socket = {self.home}/s.sock
            status_interval = 1
            state_change_wait_time = 60
            restart_wait_max = 2
            crash_loop_quiet = 4
            object_store_tries = 3
            object_store_timeout = 2
            [guest_volume]
            fstab_path = {self.home}/fstab
            """))

    def close(self) -> None:
        """End everything."""
        self._supervisor.terminate()
        self._supervisor.wait(60)
        self.disk.release()
        subprocess.run(["umount", str(self.home / "state")], check=True)
        if self.cloud is not None:
            self.cloud.stop()

    # ---- what is seen --------------------------------------------------------------

    @property
    def beats(self) -> list[m.Heartbeat]:
        """The heartbeats so far."""
        beats: list[m.Heartbeat] = self.control.heartbeats
        return beats

    def shows(self, status: str, reason: str = "", seconds: float = PROMISED) -> m.Heartbeat:
        """Wait until heartbeats tell a status, or one of some, and a text of its reason."""
        def seen() -> m.Heartbeat | None:
            last = self.beats[-1]
            if last.status in status.split("|") and reason in last.description:
                return last
            return None

        try:
            found: m.Heartbeat = wait_for(seen, seconds)
        except AssertionError:
            raise AssertionError([(beat.status, beat.description)
                                  for beat in self.beats[-5:]]) from None
        return found

    def is_well(self, seconds: float = PROMISED) -> None:
        """Wait until new heartbeats tell that all is well, and the user can log in."""
        begun = len(self.beats)

        def well() -> bool:
            last = self.beats[-1]
            return (len(self.beats) > begun and last.status == "HEALTHY"
                    and not last.description and self.engine.lets_in())

        try:
            wait_for(well, seconds)
        except AssertionError:
            raise AssertionError([(beat.status, beat.description)
                                  for beat in self.beats[-5:]]) from None

    def beats_on(self, count: int = 3) -> None:
        """Wait for further heartbeats."""
        begun = len(self.beats)
        wait_for(lambda: len(self.beats) >= begun + count)

    def ended(self, operation: str, seconds: float = 60) -> m.StepReport:
        """Wait for the end of a step of an operation."""
        report: m.StepReport = wait_for(lambda: next(
            (one for one in self.control.steps
             if one.operation_id == operation and one.state != "RUNNING"), None), seconds)
        return report

    # ---- processes -----------------------------------------------------------------

    def pid(self, program: str = "") -> int:
        """Return the process id of a supervised program, or the database; 0 if it is down."""
        return int(self._services._call(
            "getProcessInfo", program or self.engine.program)["pid"])

    def kill(self, program: str = "", number: int = signal.SIGKILL) -> int:
        """Send a signal to a supervised program, or the database; return its process id."""
        pid = self.pid(program)
        assert pid
        os.kill(pid, number)
        return pid

    def kill_agent(self, number: int = signal.SIGKILL) -> None:
        """Kill the agent and wait for its successor."""
        old, begun = self.kill("agent", number), len(self.beats)
        wait_for(lambda: self.pid("agent") not in (0, old), 30)
        wait_for(lambda: len(self.beats) > begun, 30)

    def replace_server(self) -> None:
        """Have nothing of the instance be left, as on a server that was just made."""
        self._services.stop(["agent"], 60)
        self._services.kill([self.engine.program])
        self._services.stop([self.engine.program], 60)
        while subprocess.run(["umount", self.disk.device], capture_output=True).returncode == 0:
            continue
        subprocess.run(["blkdiscard", "--force", self.disk.device], check=True,
                       capture_output=True)
        for folder in ("etc", "state"):
            for path in (self.home / folder).iterdir():
                files.remove(path, recursive=True)
        (self.home / "fstab").unlink(missing_ok=True)
        begun = len(self.beats)
        self._services.start(["agent"], 60)
        wait_for(lambda: len(self.beats) > begun and self.beats[-1].status == "NEW", 30)

    def children(self) -> list[str]:
        """Return the programs that an agent of this instance has started and that live."""
        marks = {f"TROVE_GUEST_ID={INSTANCE}".encode(), f"HOME={self.home}".encode()}
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if marks <= set((path / "environ").read_bytes().split(b"\0")):
                    found.append((path / "comm").read_text().strip())
            except OSError:
                continue
        return found

    def forget_peak(self) -> float:
        """Have :meth:`peak_mb` begin anew; return what the agent has now, in MiB."""
        # 5: proc(5), clear_refs
        pathlib.Path(f"/proc/{self.pid('agent')}/clear_refs").write_text("5")
        return self.peak_mb()

    def peak_mb(self) -> float:
        """Return the most memory that the agent has had, in MiB."""
        for line in pathlib.Path(f"/proc/{self.pid('agent')}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the kernel does not tell")

    # ---- the agent's work ----------------------------------------------------------

    def prepare(self, operation: str, restore: m.RestoreSpec | None = None) -> None:
        """Ask the agent to prepare the instance."""
        from trove_ng.datastores import base as datastores

        engine = self.engine
        self.control.guest.prepare(m.PrepareRequest(
            operation_id=operation, step="prepare", datastore=engine.name,
            datastore_version=engine.version, memory_mb=256, volume=self.volume,
            config=datastores.get(engine.name).config(256), restore=restore,
            **(engine.wanted() if restore is None else engine.wanted_of_restored())))

    # ---- the object store ----------------------------------------------------------

    def store(self) -> Cloud:
        """Return the cloud that has the object store."""
        if self.cloud is None:
            self.cloud = Cloud(self.home / "cloud")
            self.cloud.app.swift._store.set_container_meta(
                "AUTH_t", "c", {"X-Container-Meta-Temp-Url-Key": KEY})
        return self.cloud

    def break_store(self, **rule: Any) -> None:
        """Add a fault rule of the object store."""
        requests.post(f"{self.store().config.url}/_faults", json={"service": "object", **rule},
                      timeout=10).raise_for_status()

    def mend_store(self) -> None:
        """Remove all fault rules."""
        requests.delete(f"{self.store().config.url}/_faults", timeout=10).raise_for_status()

    def grant(self, prefix: str, base: str | None = None, *,
              lifetime: int = 600) -> m.ObjectStoreGrant:
        """Return leave to use the objects below a prefix.

        :param base: start of the URL if it is not the store's own
        """
        def query(method: str) -> Secret:
            return Secret(generate_temp_url(
                f"/v1/AUTH_t/c/{prefix}", int(time.time()) + lifetime, KEY, method,
                absolute=True, prefix=True, digest="sha256").partition("?")[2])

        return m.ObjectStoreGrant(
            container_url=f"{base or self.store().config.url}/object/v1/AUTH_t/c",
            prefix=prefix, get_query=query("GET"), put_query=query("PUT"), expires_at=0)

    def objects(self, prefix: str) -> list[str]:
        """Return the names of the stored objects below a prefix."""
        return [one.name for one in self.store().app.swift._store.objects(
            "AUTH_t", "c", prefix)]

    def backup(self, operation: str, grant: m.ObjectStoreGrant | None = None,
               segment_size: int = 1024 ** 2) -> None:
        """Ask the agent for a backup."""
        self.control.guest.create_backup(m.BackupRequest(
            operation_id=operation, step="create_backup", backup_id=operation,
            strategy=self.engine.strategy, grant=grant or self.grant(f"{operation}/"),
            segment_size=segment_size))


class Cutter:
    """A way to an HTTP server that breaks after some bytes of a connection.

    :param cuts: bytes from the client after which each connection that sends a body ends,
        in their order; None leaves one whole
    :param stall: True holds the connection silently instead of resetting it
    """

    def __init__(self, port: int, cuts: Sequence[int | None], *, stall: bool = False) -> None:
        self._port = port
        self._cuts = list(cuts)
        self._stall = stall
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._ended.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        limit = self._cuts.pop(0) if self._cuts else None
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            threading.Thread(target=self._copy, args=(server, client), daemon=True).start()
            passed = 0
            while data := client.recv(4096):
                passed += len(data)
                if limit is not None and passed > limit:
                    self.cut += 1
                    if self._stall:
                        self._ended.wait(30)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))
                    return
                server.sendall(data)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return
