"""Refusals before anything is made."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from trove_ng.standalone.launcher import preflight
from trove_ng.standalone.launcher.errors import LauncherError


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_another_system_than_linux_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(LauncherError, match="Linux only, not on Darwin"):
        preflight.check_machine()


def test_another_user_than_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LauncherError, match="sudo"):
        preflight.check_machine()


def test_a_taken_port_is_named_with_its_holder(listener: int) -> None:
    with pytest.raises(LauncherError) as caught:
        preflight.check_ports({"api": listener}, ["127.0.0.1"])
    assert f"Port {listener} (api)" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)


def test_free_ports_pass(listener: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    preflight.check_ports({"api": port}, ["127.0.0.1"])
    assert preflight.port_holder(port) == ""


def test_low_disk_is_refused_with_numbers(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1024**3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(LauncherError, match=r"Low disk: 1\.0 GiB"):
        preflight.check_disk(tmp_path / "not" / "made" / "yet")


def test_missing_programs_are_named_by_package(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program, path=None: (
        None if program in ("nft", "mkfs.xfs") else f"/bin/{program}"))
    with pytest.raises(LauncherError, match="apt-get install nftables xfsprogs"):
        preflight.check_programs()


def test_a_foreign_address_cannot_be_bound() -> None:
    with pytest.raises(LauncherError, match=r"203\.0\.113\.1"):
        preflight.check_bind("203.0.113.1")
