from __future__ import annotations

from typing import Any

import pytest
from oslo_config import cfg

from trove_ng.common.errors import Conflict, GuestTimeout
from trove_ng.conf import rpc as options
from trove_ng.rpc import guest
from trove_ng.rpc import messages as m

STEP = m.StepRequest(operation_id="o", step="s")
VOLUME = m.VolumeSpec(device="/dev/vdb", mount_point="/data")


class Line:
    """A way to an agent that answers after some calls."""

    def __init__(self, silent: int, answer: Any = None) -> None:
        self.silent = silent
        self.answer = answer
        self.timeouts: list[float] = []

    def call(self, _method: str, _request: Any, _kind: Any, timeout: float, _context: Any,
             ) -> Any:
        self.timeouts.append(timeout)
        if len(self.timeouts) <= self.silent:
            raise GuestTimeout("no answer")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def client(line: Line, monkeypatch: pytest.MonkeyPatch) -> guest.GuestClient:
    monkeypatch.setattr(guest, "SecureClient", lambda *_args: line)
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([], default_config_files=[])
    conf.set_override("guest_call_timeout", 60)
    conf.set_override("guest_long_call_timeout", 150)
    return guest.GuestClient(conf, None, None, "me", "i")  # type: ignore[arg-type]


def test_a_step_is_asked_for_again_until_its_time_is_up(
        monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(2, m.Empty())
    client(line, monkeypatch).stop_db(STEP)
    assert line.timeouts == [60, 60, 30]
    line = Line(3)
    with pytest.raises(GuestTimeout):
        client(line, monkeypatch).stop_db(STEP)
    assert line.timeouts == [60, 60, 30]


def test_an_error_of_the_agent_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(1, Conflict("busy"))
    with pytest.raises(Conflict):
        client(line, monkeypatch).restart(STEP)
    assert line.timeouts == [60, 60]


def test_a_call_that_is_no_step_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(1)
    with pytest.raises(GuestTimeout):
        client(line, monkeypatch).resize_fs(VOLUME)
    assert line.timeouts == [150]
    line = Line(1)
    with pytest.raises(GuestTimeout):
        client(line, monkeypatch).rpc_ping()
    assert line.timeouts == [60]
