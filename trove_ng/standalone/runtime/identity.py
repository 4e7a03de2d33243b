"""Which process is meant: a pid alone may be somebody else's by now."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process for its whole life: pid, start in clock ticks, boot of the machine."""

    pid: int
    start: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the identity of a running process.

        :raises ProcessLookupError: there is none
        """
        state, start = _stat(pid)
        if state in "ZX":
            raise ProcessLookupError(pid)
        return cls(pid, start, _BOOT_ID.read_text().strip())

    @classmethod
    def load(cls, path: Path) -> ProcessIdentity | None:
        """Read what :meth:`save` wrote; None when there is nothing usable."""
        try:
            found = json.loads(path.read_text())
            return cls(int(found["pid"]), int(found["start"]), str(found["boot_id"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write it so that a reader never sees half of it."""
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(path)

    def alive(self) -> bool:
        """Whether that very process still runs (a zombie does not)."""
        try:
            return ProcessIdentity.of(self.pid) == self
        except ProcessLookupError:
            return False

    def end(self, grace: float) -> bool:
        """Ask the process to end, then kill it; return whether it ended by itself.

        :param grace: seconds between the request and the kill; 0 kills at once
        """
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive():
                return True
            if grace > 0:
                _send(handle, signal.SIGTERM)
                if _gone(handle, grace):
                    return True
            _send(handle, signal.SIGKILL)
            _gone(handle, 30)
            return False
        finally:
            os.close(handle)


def _stat(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    # the command in parentheses may hold spaces and parentheses
    fields = text[text.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def _send(handle: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def _gone(handle: int, seconds: float) -> bool:
    return bool(select.select([handle], [], [], seconds)[0])
