"""Requests are remembered over a restart, for as long as they could be replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from trove_ng.guestagent.requests import RequestFile
from trove_ng.rpc.freshness import Freshness, Seen
from trove_ng.rpc.refusals import Rejected

NONCE = "ab" * 16


def fresh(path: Path, now: float) -> Freshness:
    return Freshness(300, lambda: now, journal=RequestFile(path, 600, lambda: now))


def test_a_request_is_refused_after_a_restart(tmp_path: Path) -> None:
    fresh(tmp_path / "requests", 1000.0).check("taskmanager", 1000.0, NONCE)
    again = fresh(tmp_path / "requests", 1010.0)
    with pytest.raises(Rejected, match="replayed"):
        again.check("taskmanager", 1000.0, NONCE)
    again.check("api", 1000.0, NONCE)


def test_what_is_too_old_to_be_replayed_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    fresh(path, 1000.0).check("taskmanager", 1000.0, NONCE)
    assert RequestFile(path, 600, lambda: 1601.0).load() == []
    assert path.read_bytes() == b""


def test_a_line_that_was_cut_off_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    one = RequestFile(path, 600, lambda: 0.0)
    one.add(Seen(1.0, "api", b"x" * 16))
    with open(path, "ab") as out:
        out.write(b'[1.0,"api"')
    assert one.load() == [Seen(1.0, "api", b"x" * 16)]


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    now = [0.0]
    one = RequestFile(path, 600, lambda: now[0])
    for number in range(20_000):
        now[0] = float(number)
        one.add(Seen(now[0], "api", b"x" * 16))
    assert len(path.read_bytes().splitlines()) <= 5_001


def test_a_full_disk_does_not_silence_the_agent(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = RequestFile(tmp_path / "not" / "there", 600, lambda: 0.0)
    one.add(Seen(1.0, "api", b"x" * 16))
    assert "not remembered" in caplog.text
