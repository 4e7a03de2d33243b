"""Fetching, trying, keeping and taking back releases of the agent."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.wheels import make_wheel, served
from trove_ng.common.errors import GuestError, UnprocessableEntity
from trove_ng.guestagent import releases as module
from trove_ng.guestagent.releases import RELEASE, Choice, Releases
from trove_ng.rpc.machine_messages import AgentRelease


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return as_release(tmp_path, "")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory and its URL."""
    folder = tmp_path / "shop"
    folder.mkdir()
    with served(folder) as url:
        yield folder, url


def as_release(tmp_path: Path, name: str) -> Releases:
    return Releases(tmp_path / "releases", "mariadb", {**os.environ, RELEASE: name})


def wanted(shop: tuple[Path, str], version: str, sha256: str) -> AgentRelease:
    return AgentRelease(operation_id="op", step="install", version=version, sha256=sha256,
                        location=f"{shop[1]}/package.whl?x=1")


def install(releases: Releases, shop: tuple[Path, str], version: str = "9.9") -> None:
    releases.install(wanted(shop, version, make_wheel(shop[0] / "package.whl", version)))


class Became(Exception):
    """The process became another one."""


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What a process would become, and the alarm that it has."""
    seen: dict[str, Any] = {"alarm": None}

    def execve(program: str, command: list[str], environ: dict[str, str]) -> None:
        seen.update(program=program, command=command, environ=environ)
        raise Became

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(signal, "alarm", lambda seconds: seen.update(alarm=seconds))
    yield seen


def test_a_release_is_tried_once_and_kept_when_it_is_confirmed(
        tmp_path: Path, releases: Releases, shop: tuple[Path, str],
        become: dict[str, Any]) -> None:
    releases.become(["--x"], 7)
    assert "environ" not in become
    install(releases, shop)
    assert releases.trial == "9.9"
    with pytest.raises(Became):
        releases.become(["--x"], 7)
    assert become["alarm"] == 7
    assert become["command"][1:] == ["-P", "-m", "trove_ng.cmd.guestagent", "--x"]
    assert become["environ"][RELEASE] == "9.9"
    assert become["environ"]["PYTHONPATH"].split(":")[0] == str(tmp_path / "releases/9.9")
    new = Releases(tmp_path / "releases", "mariadb", become["environ"])
    new.become(["--x"], 7)
    assert become["environ"].get("PYTHONPATH") == os.environ.get("PYTHONPATH")
    with pytest.raises(UnprocessableEntity):
        releases.confirm("9.9")
    new.confirm("9.9")
    new.confirm("9.9")
    assert (become["alarm"], new.trial) == (0, "")
    become["alarm"] = None
    with pytest.raises(Became):
        releases.become([], 7)
    assert (become["alarm"], become["environ"][RELEASE]) == (None, "9.9")
    with pytest.raises(UnprocessableEntity, match="already"):
        install(new, shop)


def test_a_release_that_is_not_confirmed_is_not_started_again(
        tmp_path: Path, releases: Releases, shop: tuple[Path, str],
        become: dict[str, Any]) -> None:
    install(releases, shop, "9.8")
    assert releases.choose() == Choice("", "9.8", tried=False)
    as_release(tmp_path, "9.8").confirm("9.8")
    install(releases, shop, "9.9")
    assert releases.choose().trial == "9.9"
    assert releases.choose() == Choice("9.8")
    assert releases.trial == ""


def test_a_release_is_taken_back(tmp_path: Path, releases: Releases, shop: tuple[Path, str],
                                 become: dict[str, Any]) -> None:
    install(releases, shop)
    assert not releases.discard()
    assert not (tmp_path / "releases/9.9").exists()
    install(releases, shop)
    releases.choose()
    new = as_release(tmp_path, "9.9")
    assert new.discard()
    with pytest.raises(Became):
        new.start_over(["python", "program", "--x"])
    assert become["command"] == [sys.executable, "program", "--x"]
    assert RELEASE not in become["environ"]
    assert releases.choose() == Choice()


@pytest.mark.parametrize(("changes", "version", "why"), [
    ({}, "9.8", "is of version 9.9"),
    ({"guestagent/bus.py": "import nothing_like_this"}, "9.9", "does not work"),
    ({"../outside": ""}, "9.9", "not the agent's"),
    ({"../other/__init__.py": ""}, "9.9", "not the agent's")])
def test_a_package_that_is_no_good_changes_nothing(
        tmp_path: Path, releases: Releases, shop: tuple[Path, str], changes: dict[str, str],
        version: str, why: str) -> None:
    digest = make_wheel(shop[0] / "package.whl", "9.9", changes)
    with pytest.raises(GuestError, match=why):
        releases.install(wanted(shop, version, digest))
    assert releases.choose() == Choice()
    assert list((tmp_path / "releases").iterdir()) == []


def test_only_what_was_meant_is_unpacked(
        releases: Releases, shop: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop[0] / "package.whl"
    digest = make_wheel(path, "9.9")
    with pytest.raises(GuestError, match="checksum"):
        releases.install(wanted(shop, "9.9", "0" * 64))
    path.write_bytes(b"no archive")
    with pytest.raises(GuestError, match="unpacked"):
        releases.install(wanted(shop, "9.9", hashlib.sha256(path.read_bytes()).hexdigest()))
    path.unlink()
    with pytest.raises(GuestError, match="404"):
        releases.install(wanted(shop, "9.9", digest))
    with pytest.raises(UnprocessableEntity):
        releases.install(wanted(shop, "../9.9", digest))
    monkeypatch.setattr(module, "_LARGEST", 1000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("trove_ng/large", b"0" * 2000)
    with pytest.raises(GuestError, match="too large"):
        releases.install(wanted(shop, "9.9", hashlib.sha256(path.read_bytes()).hexdigest()))
    make_wheel(path, "9.9")
    with pytest.raises(GuestError, match="too large"):
        releases.install(wanted(shop, "9.9", digest))
