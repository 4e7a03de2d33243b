"""Starting and stopping system services, whoever supervises them here.

A service is named by its candidates, the likeliest first, because distributions name
one service differently (``mariadb``, ``mysql``, ``mysqld``).
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import stat
import time
import xmlrpc.client
from collections.abc import Sequence
from typing import Any, Protocol

from oslo_config import cfg

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.os import commands

LOG = logging.getLogger(__name__)

SYSTEMD_RUNTIME = "/run/systemd/system"
#: faults of supervisord's API
_BAD_NAME, _NOT_RUNNING, _ALREADY_STARTED = 10, 70, 60
#: states in which a supervised process lives, and in which it can be told to stop
_ALIVE = frozenset({"STARTING", "RUNNING", "STOPPING"})
_STOPPABLE = frozenset({"STARTING", "RUNNING", "BACKOFF"})
#: seconds within which one that ended by itself is started again; supervisord's times are whole
_RESTARTED_WITHIN = 3
POLL_SECONDS = 0.1


class ServiceError(GuestError):
    """A service could not be brought to the state asked for."""


class ServiceControl(Protocol):
    """Starts and stops services of this server; all calls may be repeated.

    Each takes the candidates of the service's name and raises :class:`ServiceError`
    if none of them exists or the service does not obey within ``timeout`` seconds.
    """

    def start(self, names: Sequence[str], timeout: float = 120) -> None:
        """Start; returns when the supervisor says that the process runs."""

    def stop(self, names: Sequence[str], timeout: float = 120) -> None:
        """Stop; returns when the process is gone."""

    def kill(self, names: Sequence[str]) -> None:
        """End the processes of a service that does not react."""

    def restart(self, names: Sequence[str], timeout: float = 120) -> None:
        """Stop if it runs, and start."""

    def is_running(self, names: Sequence[str]) -> bool:
        """Return True while the process lives; False also for an unknown service, and
        for one that ended and that its supervisor will start again."""

    def enable(self, names: Sequence[str]) -> None:
        """Have it started when the server boots."""

    def disable(self, names: Sequence[str]) -> None:
        """Have it not started when the server boots."""

    def recent_log(self, names: Sequence[str]) -> str:
        """Return the end of what the service wrote."""

    def log_path(self, names: Sequence[str]) -> str | None:
        """Return the file that what the service writes goes to; None if it goes to none."""


#: bytes of a service's log that are read
LOG_LIMIT = 64 * 1024


class SystemdControl:
    """Services as units of systemd.

    :param run: runs a program; :func:`~trove_ng.guestagent.os.commands.run`
    """

    def __init__(self, run: Any = commands.run) -> None:
        self._run = run

    def start(self, names: Sequence[str], timeout: float = 120) -> None:
        self._systemctl("start", names, timeout)

    def stop(self, names: Sequence[str], timeout: float = 120) -> None:
        self._systemctl("stop", names, timeout)

    def kill(self, names: Sequence[str]) -> None:
        self._run(["systemctl", "kill", "--signal=SIGKILL", self._unit(names)], timeout=60)

    def restart(self, names: Sequence[str], timeout: float = 120) -> None:
        self._systemctl("restart", names, timeout)

    def enable(self, names: Sequence[str]) -> None:
        self._systemctl("enable", names, 60)

    def disable(self, names: Sequence[str]) -> None:
        self._systemctl("disable", names, 60)

    def is_running(self, names: Sequence[str]) -> bool:
        try:
            unit = self._unit(names)
        except ServiceError:
            return False
        state = self._show(unit, "ActiveState")
        return (state in ("active", "activating", "reloading", "deactivating")
                and self._show(unit, "SubState") != "auto-restart")

    def recent_log(self, names: Sequence[str]) -> str:
        return str(self._run(
            ["journalctl", "--unit", self._unit(names), "--lines", "300", "--output", "cat",
             "--no-pager", "--quiet"], timeout=30).stdout)[-LOG_LIMIT:]

    def log_path(self, names: Sequence[str]) -> str | None:
        """Return None: it goes to the journal."""
        return None

    def _systemctl(self, verb: str, names: Sequence[str], timeout: float) -> None:
        unit = self._unit(names)
        try:
            self._run(["systemctl", verb, unit], timeout=timeout)
        except commands.CommandError as err:
            raise ServiceError(f"The service {unit} did not {verb}: {err.message}") from err

    def _unit(self, names: Sequence[str]) -> str:
        for name in names:
            unit = name if "." in name else f"{name}.service"
            if self._show(unit, "LoadState") == "loaded":
                return unit
        raise ServiceError(f"There is no service named {' or '.join(names)}.")

    def _show(self, unit: str, field: str) -> str:
        result = self._run(["systemctl", "show", "--property", field, "--value", unit],
                           timeout=30)
        return str(result.stdout).strip()


class SupervisorControl:
    """Services as programs of supervisord, over its unix socket.

    :param socket_path: where supervisord listens
    """

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path

    def start(self, names: Sequence[str], timeout: float = 120) -> None:
        name, state = self._find(names)
        deadline = time.monotonic() + timeout
        while state == "STOPPING":
            self._pause(name, state, deadline)
            _, state = self._find(names)
        if state not in ("RUNNING", "STARTING"):
            self._tell("startProcess", name, accept=_ALREADY_STARTED)
        self._wait_until_up(name, deadline)

    def stop(self, names: Sequence[str], timeout: float = 120) -> None:
        name, _ = self._find(names)
        deadline = time.monotonic() + timeout
        while (state := self._state_to_end(name)) is not None:
            if state in _STOPPABLE:
                self._tell("stopProcess", name, accept=_NOT_RUNNING)
            self._pause(name, state, deadline)

    def kill(self, names: Sequence[str]) -> None:
        try:
            self._call("signalProcess", self._find(names)[0], "KILL")
        except xmlrpc.client.Fault as err:
            if err.faultCode != _NOT_RUNNING:
                raise ServiceError(f"The service cannot be killed: {err.faultString}.") from err

    def restart(self, names: Sequence[str], timeout: float = 120) -> None:
        self.stop(names, timeout)
        self.start(names, timeout)

    def is_running(self, names: Sequence[str]) -> bool:
        try:
            return self._find(names)[1] in _ALIVE
        except ServiceError:
            return False

    def recent_log(self, names: Sequence[str]) -> str:
        # Not by supervisord: XML cannot hold what a service may write.
        path = self.log_path(names)
        try:
            with open(path, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_LIMIT))
                return log.read(LOG_LIMIT).decode(errors="replace")
        except OSError as err:
            raise ServiceError(f"The log {path} cannot be read: {err.strerror}.") from err

    def log_path(self, names: Sequence[str]) -> str:
        return str(self._call("getProcessInfo", self._find(names)[0])["stdout_logfile"])

    def enable(self, names: Sequence[str]) -> None:
        """Check that the service exists; at boot the agent itself starts it."""
        self._find(names)

    def disable(self, names: Sequence[str]) -> None:
        """Check that the service exists; at boot the agent itself leaves it stopped."""
        self._find(names)

    def _find(self, names: Sequence[str]) -> tuple[str, str]:
        """Return name and state of the first candidate that exists."""
        known = {}
        for info in self._call("getAllProcessInfo"):
            known[info["name"]] = (f"{info['group']}:{info['name']}", info["statename"])
        for name in names:
            if name in known:
                return known[name]
        raise ServiceError(f"There is no service named {' or '.join(names)}.")

    def _state_to_end(self, name: str) -> str | None:
        """Return the state of a process that lives or will; None: it stays ended.

        One that ended by itself is started again some moments later, and cannot be told
        before that it should not be.
        """
        info = self._call("getProcessInfo", name)
        state = str(info["statename"])
        soon = state == "EXITED" and 0 <= info["now"] - info["stop"] <= _RESTARTED_WITHIN
        return state if soon or state == "STOPPING" or state in _STOPPABLE else None

    def _wait_until_up(self, name: str, deadline: float) -> None:
        while (state := self._call("getProcessInfo", name)["statename"]) != "RUNNING":
            if state in ("BACKOFF", "FATAL", "EXITED", "UNKNOWN"):
                raise ServiceError(f"The service {name} ended at once.")
            self._pause(name, state, deadline)

    @staticmethod
    def _pause(name: str, state: str, deadline: float) -> None:
        if time.monotonic() >= deadline:
            raise ServiceError(f"The service {name} is {state} after the time given.")
        time.sleep(POLL_SECONDS)

    def _tell(self, method: str, name: str, *, accept: int) -> None:
        try:
            self._call(method, name, False)
        except xmlrpc.client.Fault as err:
            if err.faultCode != accept:
                raise ServiceError(f"The service {name}: {err.faultString}.") from err

    def _call(self, method: str, *arguments: Any) -> Any:
        proxy = xmlrpc.client.ServerProxy(
            "http://localhost/RPC2", transport=_UnixTransport(self._path), allow_none=True)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as err:
            if err.faultCode == _BAD_NAME:
                raise ServiceError(f"supervisord does not know {arguments[0]}.") from err
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as err:
            raise ServiceError(f"supervisord does not answer: {type(err).__name__}.") from err
        finally:
            proxy("close")()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _UnixConnection(self._path)


def get_service_control(conf: cfg.ConfigOpts) -> ServiceControl:
    """Return the control of the supervisor that runs here, or that is configured.

    :raises ServiceError: neither systemd nor supervisord is found
    """
    kind = conf.guest_agent.service_manager
    path = conf.guest_agent.supervisor_socket
    if kind == "auto":
        if os.path.isdir(SYSTEMD_RUNTIME):
            kind = "systemd"
        elif _is_socket(path):
            kind = "supervisor"
        else:
            raise ServiceError("Neither systemd nor supervisord runs on this server.")
    LOG.info("services are controlled by %s", kind)
    return SystemdControl() if kind == "systemd" else SupervisorControl(path)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
