"""Indexes, ports, settings and files of an all-in-one."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from trove_ng.standalone.launcher import layout
from trove_ng.standalone.launcher.credentials import NAMES, Credentials, write_private
from trove_ng.standalone.launcher.errors import LauncherError
from trove_ng.standalone.launcher.layout import Layout, Settings


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layout, "REGISTRY", tmp_path / "registry")
    return tmp_path / "registry"


def made(path: Path, index: int) -> Layout:
    one = Layout(path)
    one.make()
    one.save_settings(Settings(index, "127.0.0.1", "sqlite://"))
    return one


def test_blocks_of_ports_do_not_overlap() -> None:
    taken: set[int] = set()
    for index in range(200):
        ports = set(Settings(index, "127.0.0.1", "").ports.values())
        assert len(ports) == 8
        assert not ports & taken
        taken |= ports
    assert max(taken) < 32768, "beyond are the ports that the kernel gives away"


def test_the_default_all_in_one_has_the_port_that_clients_expect() -> None:
    settings = Settings(layout.claim_index(layout.DEFAULT_STATE_DIR), "127.0.0.1", "")
    assert settings.api_url == "http://127.0.0.1:8779"
    assert settings.cidr == "10.77.0.0/24"


def test_each_region_has_a_network_of_its_own() -> None:
    names = ("East", "West", "North")
    taken = {network for index in range(200)
             for both in Settings(index, "", "", names).networks.values()
             for network in both}
    assert len(taken) == 1200
    assert Settings(3, "", "", names).networks == {
        "East": (("10.77.3.0/24", "10.77.3.1"), ("10.78.3.0/24", "10.78.3.1")),
        "West": (("10.97.3.0/24", "10.97.3.1"), ("10.98.3.0/24", "10.98.3.1")),
        "North": (("10.99.3.0/24", "10.99.3.1"), ("10.100.3.0/24", "10.100.3.1"))}


def test_settings_of_before_there_were_regions_are_read(tmp_path: Path) -> None:
    one = made(tmp_path / "one", 1)
    one.settings_file.write_text('{"index": 1, "bind": "", "database_url": "sqlite://"}')
    assert one.settings().regions == ("RegionOne",)
    one.save_settings(Settings(1, "", "", ("RegionOne", "RegionTwo")))
    assert one.settings().regions == ("RegionOne", "RegionTwo")
    assert one.settings().region == "RegionOne"


@pytest.mark.parametrize(("wanted", "known", "why"), [
    (["../x"], (), "is no name of a region"), ([""], (), "is no name of a region"),
    (["A", "a"], (), "named twice"), ([f"R{one}" for one in range(9)], (), "up to 8"),
    (["RegionTwo"], ("RegionOne",), "they stay"),
    (["RegionTwo", "RegionOne"], ("RegionOne",), "they stay"),
    (["RegionOne"], ("RegionOne", "RegionTwo"), "they stay")])
def test_regions_that_cannot_be_made_are_refused(
        wanted: list[str], known: tuple[str, ...], why: str) -> None:
    with pytest.raises(LauncherError, match=why):
        layout.check_regions(wanted, known)


def test_regions_are_added_to_those_that_there_are() -> None:
    assert layout.check_regions(["RegionOne"]) == ("RegionOne",)
    assert layout.check_regions(["RegionOne", "West-2"], ("RegionOne",)) == (
        "RegionOne", "West-2")


def test_listening_everywhere_is_reached_on_loopback() -> None:
    assert Settings(0, "0.0.0.0", "").api_url == "http://127.0.0.1:8779"


def test_a_state_directory_keeps_its_index(tmp_path: Path) -> None:
    first = layout.claim_index(tmp_path / "one")
    made(tmp_path / "one", first)
    assert layout.claim_index(tmp_path / "one") == first
    assert layout.claim_index(tmp_path / "one", first) == first


def test_two_state_directories_never_share_an_index(tmp_path: Path) -> None:
    first = layout.claim_index(tmp_path / "one")
    made(tmp_path / "one", first)
    with pytest.raises(LauncherError, match="one"):
        layout.claim_index(tmp_path / "two", first)


def test_the_index_of_a_removed_all_in_one_is_free(tmp_path: Path) -> None:
    one = made(tmp_path / "one", layout.claim_index(tmp_path / "one"))
    index = one.settings().index
    one.settings_file.unlink()
    assert layout.claim_index(tmp_path / "two", index) == index


def test_a_released_index_is_free(tmp_path: Path) -> None:
    index = layout.claim_index(tmp_path / "one")
    made(tmp_path / "one", index)
    layout.release_index(tmp_path / "one", index)
    assert layout.claim_index(tmp_path / "two", index) == index


def test_a_directory_with_other_things_is_refused() -> None:
    # pytest's own directory may be too long for a socket's path
    with tempfile.TemporaryDirectory(prefix="t") as name:
        home = Path(name)
        (home / "thesis.txt").touch()
        with pytest.raises(LauncherError, match="neither empty"):
            Layout(home).make()
        assert (home / "thesis.txt").exists()


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="too long"):
        Layout(tmp_path / ("x" * 90)).make()


def test_without_an_all_in_one_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="'up' makes one"):
        Layout(tmp_path).settings()


def test_settings_come_back_as_saved(tmp_path: Path) -> None:
    one = made(tmp_path / "one", 7)
    assert one.settings() == Settings(7, "127.0.0.1", "sqlite://")
    assert stat.S_IMODE(one.settings_file.stat().st_mode) == 0o600


def test_one_command_at_a_time_works_on_an_all_in_one(tmp_path: Path) -> None:
    one, other = Layout(tmp_path / "one"), Layout(tmp_path / "other")
    with one.lock():
        with other.lock():
            pass
        with pytest.raises(LauncherError, match="Another"), one.lock():
            pass
    with one.lock():
        pass


def test_secrets_are_made_once_and_for_root_only(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    first, second = Credentials(path), Credentials(path)
    first.load()
    second.load()
    assert [first[name] for name in NAMES] == [second[name] for name in NAMES]
    assert len({first[name].reveal() for name in NAMES}) == len(NAMES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_secret_is_added_to_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    old = Credentials(path)
    old.load(NAMES[:1])
    new = Credentials(path)
    new.load()
    assert new[NAMES[0]] == old[NAMES[0]]
    assert new[NAMES[1]].reveal()


def test_a_private_file_has_its_mode_even_when_it_was_open_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "secret")
    assert path.read_text() == "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
