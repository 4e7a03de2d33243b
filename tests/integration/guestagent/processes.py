"""A database server as a child of the test; it obeys its manager as a service does."""

from __future__ import annotations

import pathlib
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from trove_ng.guestagent.os.services import ServiceError
from trove_ng.rpc import messages as m


class Process:
    """Takes the place of the services of a machine.

    :param argv: the server's program
    :param log: file that gets what it writes
    :param stop_signal: that ends it
    :param how: more arguments of Popen
    """

    def __init__(self, argv: Sequence[str], log: pathlib.Path,
                 stop_signal: int = signal.SIGTERM, **how: Any) -> None:
        self._argv, self._log, self._how = list(argv), log, how
        self._stop_signal = stop_signal
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, names: Sequence[str], timeout: float = 120) -> None:
        if not self.is_running(names):
            with self._log.open("ab") as log:
                self.child = subprocess.Popen(
                    self._argv, stdout=log, stderr=subprocess.STDOUT, **self._how)

    def stop(self, names: Sequence[str], timeout: float = 120) -> None:
        if self.child is not None:
            self.child.send_signal(self._stop_signal)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired as err:
                raise ServiceError("The server does not end.") from err

    def kill(self, names: Sequence[str]) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait(10)

    def restart(self, names: Sequence[str], timeout: float = 120) -> None:
        self.stop(names, timeout)
        self.start(names, timeout)

    def is_running(self, names: Sequence[str]) -> bool:
        return self.child is not None and self.child.poll() is None

    def enable(self, names: Sequence[str]) -> None:
        """The test starts it."""

    disable = enable

    def log_path(self, names: Sequence[str]) -> str | None:
        return str(self._log)

    def recent_log(self, names: Sequence[str]) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Nothing:
    """Takes reports."""

    def heartbeat(self, heartbeat: m.Heartbeat) -> None:
        """Nobody listens."""

    report_step = heartbeat
