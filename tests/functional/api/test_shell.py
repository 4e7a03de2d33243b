"""Commands of the released ``trove`` shell that operators and older scripts use.

The shell runs in this process; only its connection is another one.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.api.conftest import FOREIGN, MINE, OTHER, OWN, RULE, Api
from tests.functional.api.released import Client

ONE = f"{OWN}1"
MODULE = f"{OWN}4"
Run = Callable[..., str]


class Raising(Client):
    """Answers that are errors are raised, as the client's own connection does."""

    def _ask(self, method: str, url: str, body: Any = None) -> tuple[Any, Any]:
        from troveclient import exceptions

        answer, found = super()._ask(method, url, body)
        if answer.status_int >= 400:
            raise exceptions.from_response(types.SimpleNamespace(
                status_code=answer.status_int, headers=answer.headers, text=answer.text,
                json=lambda: found), found, url)
        return answer, found

    def authenticate(self) -> None:
        """Nothing: the token is known."""

    def get_database_api_version_from_endpoint(self) -> str:
        return "1.0"


@pytest.fixture
def trove(app: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
          ) -> Run:
    """Run a command of the shell; return what it prints."""
    from troveclient import client, shell
    from troveclient.v1 import client as v1

    def run(*arguments: str, token: str = "mine") -> str:
        def connect(*_args: Any, **_options: Any) -> Any:
            made = v1.Client("u", "p", "p", "http://api", bypass_url="http://api")
            made.client = Raising(app, token)
            return made

        monkeypatch.setattr(client, "Client", connect)
        shell.OpenStackTroveShell().main([
            "--os-username", "u", "--os-password", "p", "--os-project-name", "p",
            "--os-auth-url", "http://api", "--bypass-url", "http://api", *arguments])
        return capsys.readouterr().out

    return run


def test_modules(app: Api, trove: Run, tmp_path: Path) -> None:
    file = tmp_path / "hello.txt"
    file.write_text("message=Hi")
    made = trove("module-create", "greeting", "ping", str(file), "--live_update",
                 "--datastore", "mariadb", "--datastore_version", "10.11",
                 "--description", "says hi", "--apply_order", "3")
    assert "greeting" in made and "10.11" in made
    assert "greeting" in trove("module-list")
    assert "greeting" in trove("module-list", "--datastore", "mariadb")
    assert "says hi" in trove("module-show", "greeting")
    assert "renamed" in trove("module-update", "greeting", "--name", "renamed",
                              "--no_live_update")
    trove("module-delete", "renamed")
    assert "renamed" not in trove("module-list")


def test_modules_of_operators(app: Api, trove: Run, tmp_path: Path) -> None:
    file = tmp_path / "hello.txt"
    file.write_text("message=Hi")
    trove("module-create", "ours", "ping", str(file), "--all_tenants", "--auto_apply",
          "--hidden", "--priority_apply", token="admin")
    assert "ours" not in trove("module-list")
    assert "ours" in trove("module-list", token="admin")
    trove("module-update", "ours", "--no_auto_apply", "--no_hidden", "--no_priority_apply",
          "--all_datastores", token="admin")
    assert "ours" in trove("module-list")


def test_modules_of_instances(app: Api, trove: Run, tmp_path: Path) -> None:
    assert "hello" in trove("module-apply", "db1", "hello")
    assert "hello" in trove("module-list-instance", "db1")
    assert "OK" in trove("module-query", "db1")
    folder = tmp_path / "got"
    folder.mkdir()
    trove("module-retrieve", "db1", "--directory", str(folder), "--prefix", "p")
    saved, = folder.iterdir()
    assert saved.read_bytes() == b"message=Hello"
    assert "db1" in trove("module-instances", "hello")
    assert "hello" in trove("module-instance-count", "hello")
    trove("module-reapply", "hello", "--batch_size", "5", "--delay", "2", "--force")
    assert len(app.waker.woken) == 1
    trove("module-remove", "db1", "hello")
    assert "hello" not in trove("module-list-instance", "db1")


def test_an_instance_with_modules(app: Api, trove: Run) -> None:
    assert "BUILD" in trove("create", "new", "1", "--size", "1", "--module", "hello",
                            "--datastore", "mariadb", "--datastore_version", "10.11")
    assert len(app.waker.woken) == 1


def test_metadata(trove: Run) -> None:
    ident = f"{OWN}2"
    assert "shop" in trove("metadata-create", ident, "team", "shop")
    assert "shop" in trove("metadata-show", ident, "team")
    trove("metadata-edit", ident, "team", "wiki")
    trove("metadata-update", ident, "team", "owner", "alice")
    listed = trove("metadata-list", ident)
    assert "owner" in listed and "alice" in listed and "team" not in listed
    trove("metadata-delete", ident, "owner")
    assert "alice" not in trove("metadata-list", ident)


def test_security_groups(app: Api, trove: Run) -> None:
    assert ONE in trove("secgroup-list")
    assert f"trove-{ONE}" in trove("secgroup-show", ONE)
    assert "10.0.0.0/8" in trove("secgroup-list-rules", ONE)
    assert "192.168.0.0/24" in trove("secgroup-add-rule", ONE, "192.168.0.0/24")
    assert len(app.waker.woken) == 1


def test_a_rule_of_a_security_group_is_deleted(app: Api, trove: Run) -> None:
    trove("secgroup-delete-rule", f"{ONE}-{RULE}")
    assert len(app.waker.woken) == 1


def test_quotas_and_limits(trove: Run) -> None:
    assert "50" in trove("quota-update", OTHER, "volumes", "50", token="admin")
    assert "50" in trove("quota-show", OTHER, token="admin")
    assert "volumes" in trove("quota-show", MINE)
    assert "max_volumes" in trove("limit-list")


def test_what_a_project_may_not_is_told(trove: Run) -> None:
    from troveclient import exceptions

    with pytest.raises(exceptions.Forbidden):
        trove("quota-update", MINE, "volumes", "50")
    with pytest.raises(exceptions.NotFound):
        trove("metadata-list", f"{FOREIGN}1")


def test_flavors_and_volume_types(trove: Run) -> None:
    of = ("--datastore_type", "mariadb", "--datastore_version_id", "v")
    assert "db.small" in trove("flavor-list") and "db.small" in trove("flavor-list", *of)
    assert "db.tiny" in trove("flavor-show", "1")
    assert "lvm" in trove("volume-type-list") and "lvm" in trove("volume-type-list", *of)
    assert "lvm" in trove("volume-type-show", "vt")


def test_clusters_are_listed(trove: Run) -> None:
    assert "ID" in trove("cluster-list")
