"""``trove-manage`` and ``trove-status`` as programs, with configuration files."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
PASSWORD = "not-to-be-seen"


class Machine:
    """A directory with a configuration, and programs that use it."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "trove.conf"
        self.directory = directory / "trove.conf.d"
        self.directory.mkdir()
        self.configure(f"sqlite:///{directory}/store.db")

    def configure(self, connection: str) -> None:
        self.file.write_text(
            "[DEFAULT]\ntaskmanager_rpc_encr_key = one\ninst_rpc_key_encr_key = two\n"
            f"[database]\nconnection = {connection}\n")

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / program, "--config-file", self.file, "--config-dir", self.directory, *words],
            capture_output=True, text=True, timeout=60)

    def manage(self, *words: str) -> str:
        done = self.run("trove-manage", *words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def check(self) -> tuple[int, str]:
        done = self.run("trove-status", "upgrade", "check")
        return done.returncode, " ".join(done.stdout.replace("|", " ").split())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_from_an_empty_store_to_one_that_is_ready(machine: Machine) -> None:
    code, text = machine.check()
    assert (code, "db_sync" in text) == (2, True)
    assert machine.manage("db_sync").startswith("the schema is at")
    machine.manage("datastore_update", "mariadb", "")
    machine.manage("datastore_version_update", "mariadb", "10.11", "mariadb", "", "", "1",
                   "--image-tags", "trove,mariadb", "--version", "10.11")
    machine.manage("datastore_update", "mariadb", "10.11")
    machine.manage("db_load_datastore_config_parameters", "mariadb", "10.11")
    code, text = machine.check()
    assert code == 0
    for check in ("Store", "Schema", "RPC keys", "Datastore managers"):
        assert f"Check: {check} Result: Success" in text


def test_a_manager_that_is_not_installed_is_a_warning(machine: Machine, tmp_path: Path) -> None:
    import sqlite3

    machine.manage("db_sync")
    machine.manage("datastore_update", "mariadb", "")
    machine.manage("datastore_version_update", "mariadb", "10.11", "mariadb", "i", "", "1")
    with sqlite3.connect(tmp_path / "store.db") as store:
        store.execute("UPDATE datastore_versions SET manager = 'gone'")
    code, text = machine.check()
    assert (code, "gone" in text) == (1, True)


def test_options_of_the_directory_count(machine: Machine) -> None:
    (machine.directory / "own.conf").write_text("[DEFAULT]\ninst_rpc_key_encr_key =\n")
    machine.manage("db_sync")
    code, text = machine.check()
    assert (code, "Not configured: inst_rpc_key_encr_key" in text) == (2, True)


@pytest.mark.parametrize("url", [
    f"mysql+pymysql://u:{PASSWORD}@127.0.0.1:1/x",
    f"postgresql+psycopg2://u:{PASSWORD}@127.0.0.1:1/x",
    "sqlite:////no/such/directory/store.db", "nonsense"])
def test_a_store_that_is_away_is_told_at_once(machine: Machine, url: str) -> None:
    machine.configure(url)
    begin = time.monotonic()
    done = machine.run("trove-manage", "db_sync")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("trove-manage: the store refused")
    code, text = machine.check()
    assert (code, "It does not answer" in text) == (2, True)
    assert PASSWORD not in done.stderr + text
    # oslo.db's own patience is 100 s
    assert time.monotonic() - begin < 30


def test_a_configuration_that_cannot_be_read(machine: Machine) -> None:
    machine.file.unlink()
    done = machine.run("trove-manage", "db_version")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert machine.run("trove-status", "upgrade", "check").returncode == 255


def test_a_wrong_command_line(machine: Machine) -> None:
    assert machine.run("trove-manage", "no_such_command").returncode == 2
    assert machine.run("trove-manage", "datastore_update").returncode == 2
