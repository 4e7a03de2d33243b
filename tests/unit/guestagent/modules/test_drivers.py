"""The drivers of modules, with real files and programs."""

from __future__ import annotations

import getpass
import pathlib

import pytest

from tests.unit.guestagent.conftest import ToyManager
from trove_ng.common.errors import GuestError
from trove_ng.guestagent.modules import driver
from trove_ng.guestagent.modules.driver import Module, key_values
from trove_ng.guestagent.modules.new_relic import NewRelicLicense, Program
from trove_ng.guestagent.modules.ping import Ping
from trove_ng.guestagent.modules.vertica import VerticaLicense

ID = "00000000-0000-4000-8000-000000000001"
KEY = "0123456789abcdef0123456789abcdef01234567"


def module(tmp_path: pathlib.Path, contents: bytes) -> Module:
    path = tmp_path / "file.lic"
    path.write_bytes(contents)
    return Module(id=ID, name="n", path=path)


@pytest.mark.parametrize(("kind", "found"), [
    ("ping", Ping), ("new_relic_license", NewRelicLicense), ("vertica_license", VerticaLicense)])
def test_drivers_are_found_by_type(kind: str, found: type) -> None:
    assert driver.load(kind) is found


def test_a_type_without_a_driver_is_told() -> None:
    with pytest.raises(GuestError, match="no driver for modules of type nothing"):
        driver.load("nothing")


def test_lines_of_keys_and_values_are_read() -> None:
    assert key_values("a=1\n b : 'x=y'\n#c=2\nno\n=\n:\nurl=http://h:1") == {
        "a": "1", "b": "x=y", "url": "http://h:1"}


def test_ping_answers_with_its_message(manager: ToyManager, tmp_path: pathlib.Path) -> None:
    ping = Ping(manager.ctx)
    assert ping.apply(module(tmp_path, b"message=Hello there")) == "Hello there"
    assert ping.query(module(tmp_path, b"message = Hello")) == "Hello"


@pytest.mark.parametrize("contents", [b"", b"message=", b"other=1", b"\xff\xfe"])
def test_ping_without_a_message_fails(manager: ToyManager, tmp_path: pathlib.Path,
                                      contents: bytes) -> None:
    with pytest.raises(GuestError):
        Ping(manager.ctx).apply(module(tmp_path, contents))


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "newrelic-infra.yml"
    path.write_text("display_name: db\nlicense_key: old\nlog_level: info\n")
    return path


@pytest.fixture
def new_relic(manager: ToyManager, config: pathlib.Path, tmp_path: pathlib.Path,
              ) -> NewRelicLicense:
    programs = (Program(str(config), "license_key: {}", ("newrelic-infra",)),
                Program(str(tmp_path / "nrsysmond.cfg"), "license_key={}", ("nrsysmond",)))
    return NewRelicLicense(manager.ctx, programs, str(tmp_path / "no-such-program"))


@pytest.mark.parametrize("contents", [KEY, f"{KEY}\n", f"license_key={KEY}",
                                      f"license_key: '{KEY}'\nother: 1"])
def test_new_relics_agent_gets_its_key(new_relic: NewRelicLicense, config: pathlib.Path,
                                       tmp_path: pathlib.Path, contents: str) -> None:
    one = module(tmp_path, contents.encode())
    with pytest.raises(GuestError, match="another, licence key"):
        new_relic.query(one)
    for _ in range(2):
        message = new_relic.apply(one)
        assert config.read_text() == f"display_name: db\nlog_level: info\nlicense_key: {KEY}\n"
    assert config.stat().st_mode & 0o777 == 0o640
    assert KEY not in message
    assert new_relic.ctx.services.is_running(["newrelic-infra"])
    assert new_relic.query(one) == message
    new_relic.ctx.services.stop(["newrelic-infra"])
    with pytest.raises(GuestError, match="does not run"):
        new_relic.query(one)


def test_new_relics_key_is_taken_away(new_relic: NewRelicLicense, config: pathlib.Path,
                                      tmp_path: pathlib.Path) -> None:
    one = module(tmp_path, KEY.encode())
    new_relic.apply(one)
    new_relic.remove(one)
    assert config.read_text() == "display_name: db\nlog_level: info\n"
    assert not new_relic.ctx.services.is_running(["newrelic-infra"])
    new_relic.remove(one)


def test_another_key_than_ours_is_left_alone(new_relic: NewRelicLicense, config: pathlib.Path,
                                             tmp_path: pathlib.Path) -> None:
    before = config.read_text()
    new_relic.remove(module(tmp_path, KEY.encode()))
    assert config.read_text() == before


def test_the_older_agent_is_known_too(new_relic: NewRelicLicense, config: pathlib.Path,
                                      tmp_path: pathlib.Path) -> None:
    config.unlink()
    with pytest.raises(GuestError, match="not installed"):
        new_relic.apply(module(tmp_path, KEY.encode()))
    (tmp_path / "nrsysmond.cfg").write_text("loglevel=info\n")
    new_relic.apply(module(tmp_path, KEY.encode()))
    assert (tmp_path / "nrsysmond.cfg").read_text() == f"loglevel=info\nlicense_key={KEY}\n"


@pytest.mark.parametrize("contents", [b"", b"two words", b"\xff", b"license_key=$(rm -rf /)",
                                      f"{KEY}\nproxy: x".encode()])
def test_what_is_no_key_is_not_written(new_relic: NewRelicLicense, config: pathlib.Path,
                                       tmp_path: pathlib.Path, contents: bytes) -> None:
    before = config.read_text()
    with pytest.raises(GuestError):
        new_relic.apply(module(tmp_path, contents))
    assert config.read_text() == before


@pytest.fixture
def vertica(manager: ToyManager, tmp_path: pathlib.Path) -> VerticaLicense:
    client = tmp_path / "vsql"
    client.write_text(f"""#!/bin/sh
for last; do :; done
echo "$last" >> {tmp_path}/statements
[ ! -e {tmp_path}/refuse ] || exit 3
echo "  Success   it complies"
""")
    client.chmod(0o755)
    (tmp_path / "shared").mkdir()
    return VerticaLicense(manager.ctx, str(client), str(tmp_path / "shared"),
                          getpass.getuser())


def test_a_licence_is_handed_to_vertica(vertica: VerticaLicense, tmp_path: pathlib.Path,
                                        ) -> None:
    one = module(tmp_path, b"licence")
    assert vertica.apply(one) == vertica.query(one) == "Success it complies"
    copy = tmp_path / "shared" / f"trove-{ID}.lic"
    assert copy.read_bytes() == b"licence"
    assert (tmp_path / "statements").read_text().splitlines() == [
        f"SELECT INSTALL_LICENSE('{copy}')", "SELECT GET_COMPLIANCE_STATUS()"]
    with pytest.raises(GuestError, match="not the one"):
        vertica.query(module(tmp_path, b"another"))
    vertica.remove(one)
    assert not copy.exists()
    vertica.remove(one)


def test_a_licence_that_vertica_refuses_is_told(vertica: VerticaLicense,
                                                tmp_path: pathlib.Path) -> None:
    (tmp_path / "refuse").touch()
    with pytest.raises(GuestError, match="vsql ended with status 3"):
        vertica.apply(module(tmp_path, b"licence"))
