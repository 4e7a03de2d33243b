"""The services of an all-in-one under one supervisord."""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import Layout
from trove_ng.standalone.runtime.identity import ProcessIdentity

_RUNNING = "RUNNING"
_LAST_LINES = 15
#: a service that died as often while it was awaited is given up
_TRIES = 3


@dataclass(frozen=True)
class Program:
    """A service: what runs, as whom, and how long it may take to stop (seconds)."""

    name: str
    command: Sequence[str]
    user: str = "root"
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "/"
    stop_seconds: int = 20


def render(layout: Layout, programs: Sequence[Program]) -> str:
    """Return supervisord's configuration.

    Nothing starts by itself, because there is an order; what was started is
    started again when it dies.
    """
    sections = [
        f"[unix_http_server]\nfile={layout.socket}\nchmod=0700\n",
        "[supervisord]\nuser=root\nnodaemon=false\n"
        f"logfile={layout.log}/supervisord.log\nlogfile_maxbytes=10MB\nlogfile_backups=1\n"
        f"pidfile={layout.socket.parent}/supervisord.pid\nchildlogdir={layout.log}\n",
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
        f"[supervisorctl]\nserverurl=unix://{layout.socket}\n",
        *(_section(layout, program) for program in programs),
    ]
    return "\n".join(sections).replace("\t", " ")


def _section(layout: Layout, program: Program) -> str:
    lines = [
        f"[program:{program.name}]",
        f"command={_escape(shlex.join(program.command))}",
        f"directory={program.directory}",
        f"user={program.user}",
        "autostart=false",
        "autorestart=true",
        "startsecs=1",
        "startretries=5",
        "stopsignal=TERM",
        f"stopwaitsecs={program.stop_seconds}",
        "stopasgroup=false",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={layout.log}/{program.name}.log",
        "stdout_logfile_maxbytes=20MB",
        "stdout_logfile_backups=2",
    ]
    if program.environment:
        pairs = ",".join(f'{key}="{value}"' for key, value in program.environment.items())
        lines.append(f"environment={_escape(pairs)}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("%", "%%")


class Supervisor:
    """The supervisord of an all-in-one.

    :param layout: where its configuration and socket are
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def running(self) -> bool:
        """Whether it answers."""
        try:
            self._call("getState")
        except LauncherError:
            return False
        return True

    def begin(self) -> None:
        """Start supervisord in the background; running already, it reads new programs."""
        if self.running():
            self._update()
            return
        self._layout.socket.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c",
             str(self._layout.supervisord_conf)],
            capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL,
            env={"PATH": _path(), "LANG": "C.UTF-8", "HOME": "/root"})
        if done.returncode:
            raise LauncherError(f"supervisord does not start: {done.stderr or done.stdout}")
        wait_until(self.running, 10, "supervisord")

    def start(self, name: str) -> None:
        """Start a service unless it runs; do not wait for it."""
        if self.states().get(name, ("", 0))[0] in (_RUNNING, "STARTING"):
            return
        self._call("startProcess", name, False)

    def stop(self, name: str) -> None:
        """Stop a service and wait for its end; stopped already is no error."""
        if self.states().get(name, ("", 0))[0] in (_RUNNING, "STARTING", "BACKOFF"):
            with contextlib.suppress(LauncherError):
                self._call("stopProcess", name, True)

    def states(self) -> dict[str, tuple[str, int]]:
        """Return state and pid of every service."""
        return {each["name"]: (each["statename"], each["pid"])
                for each in self._call("getAllProcessInfo")}

    def wait_ready(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until a service answers.

        :raises LauncherError: it gave up or took too long; with the end of its log
        """
        pids: set[int] = set()

        def done() -> bool:
            state, pid = self.states()[name]
            pids.update({pid} - {0})
            if state == "FATAL" or len(pids) > _TRIES:
                raise LauncherError(f"{name} does not start.{self.last_lines(name)}")
            return state in (_RUNNING, "STARTING") and ready()

        try:
            wait_until(done, seconds, name)
        except TimeoutError:
            raise LauncherError(
                f"{name} was not ready after {seconds:.0f} s.{self.last_lines(name)}") from None

    def last_lines(self, name: str) -> str:
        """Return the end of a service's log, and where it is."""
        path = self._layout.log / f"{name}.log"
        try:
            lines = path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        except OSError:
            lines = []
        return "\n".join(["", f"The end of {path}:", *(f"    {line}" for line in lines)])

    def end(self) -> None:
        """Stop supervisord and wait until its process is gone."""
        pid_file = self._layout.socket.parent / "supervisord.pid"
        try:
            identity = ProcessIdentity.of(int(pid_file.read_text()))
        except (OSError, ValueError):
            return
        if self.running():
            self._call("shutdown")
            wait_until(lambda: not identity.alive(), 60, "the end of supervisord")

    def _update(self) -> None:
        added, changed, removed = self._call("reloadConfig")[0]
        for name in (*changed, *removed):
            self._call("stopProcessGroup", name)
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._layout.socket}")
        try:
            with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            raise LauncherError(f"supervisord: {method}: {fault.faultString}") from fault
        except (OSError, http.client.HTTPException) as error:
            raise LauncherError(f"supervisord does not answer: {error}") from error


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition.

    :raises TimeoutError: naming what was waited for
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {seconds:.0f} s")
        time.sleep(0.1)


def _path() -> str:
    return os.pathsep.join([
        str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath),
        "/usr/local/sbin", "/usr/sbin", "/sbin"])
