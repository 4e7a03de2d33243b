"""Modules at the command line."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.functional.api.conftest import HELLO, OWN, Api, module_state
from tests.functional.osc.conftest import OpenStack
from trove_ng.common.secret import Secret


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A module's file."""
    made = tmp_path / "hello.txt"
    made.write_bytes(base64.b64decode(HELLO))
    return str(made)


def test_a_module_from_its_making_to_its_end(openstack: OpenStack, file: str) -> None:
    made = openstack("database", "module", "create", "greeting", "ping", file,
                     "--description", "says hello", "--datastore", "mariadb",
                     "--apply-order", "3", "--live-update")
    assert (made["name"], made["type"], made["datastore"], made["apply_order"],
            made["live_update"], made["auto_apply"]) == (
                "greeting", "ping", "mariadb", 3, True, False)
    assert "contents" not in made
    assert openstack("database", "module", "show", "greeting") == made
    listed = openstack("database", "module", "list", "--datastore", "mariadb")
    assert [one["ID"] for one in listed if one["Name"] == "greeting"] == [made["id"]]
    changed = openstack("database", "module", "set", made["id"], "--name", "other",
                        "--apply-order", "0", "--all-datastore-versions")
    assert (changed["name"], changed["apply_order"], changed["md5"]) == (
        "other", 0, made["md5"])
    openstack.does("database", "module", "delete", "other")
    assert openstack.fails("database", "module", "show", "other") == (
        "There is no module 'other'.")


def test_options_of_administrators(openstack: OpenStack, file: str) -> None:
    words = ("database", "module", "create", "all", "ping", file, "--all-tenants",
             "--auto-apply", "--hidden", "--priority-apply")
    assert "HTTP 403" in openstack.fails(*words)
    made = openstack(*words, token="admin")
    assert (made["auto_apply"], made["visible"], made["priority_apply"]) == (
        True, False, True)
    changed = openstack("database", "module", "set", "all", "--no-auto-apply", "--visible",
                        token="admin")
    assert (changed["auto_apply"], changed["visible"]) == (False, True)


def test_what_the_service_refuses_is_told_with_its_words(
        openstack: OpenStack, file: str, tmp_path: Path) -> None:
    said = openstack.fails("database", "module", "create", "x", "no spaces", file)
    assert "HTTP 400" in said
    assert "module_type" in said
    assert openstack.fails("database", "module", "set", f"{OWN}4").startswith("Nothing is to")
    said = openstack.fails("database", "module", "create", "x", "ping", str(tmp_path / "none"))
    assert "cannot be read" in said
    said = openstack.fails("database", "module", "delete", "none", "neither")
    assert said.splitlines() == ["none: There is no module 'none'.",
                                 "neither: There is no module 'neither'."]


def test_modules_of_an_instance(openstack: OpenStack, app: Api, tmp_path: Path) -> None:
    applied = openstack("database", "instance", "set", "module", f"{OWN}1", f"{OWN}4")
    assert [(one["Name"], one["Status"]) for one in applied] == [("hello", "OK")]
    known = openstack("database", "module", "list", "instance", f"{OWN}1")
    assert [one["ID"] for one in known] == [f"{OWN}4"]
    having = openstack("database", "instance", "list", "module", f"{OWN}4")
    assert [one["ID"] for one in having] == [f"{OWN}1"]
    counted = openstack("database", "instance", "list", "module", f"{OWN}4", "--count")
    assert [one["Instance Count"] for one in counted] == [1]
    asked = openstack("database", "instance", "list", "module", f"{OWN}1", "--status")
    assert [one["Message"] for one in asked] == ["Hello"]
    saved = openstack("database", "instance", "show", "module", f"{OWN}1",
                      "--directory", str(tmp_path), "--prefix", "my-")
    assert [one["File"] for one in saved] == [str(tmp_path / "my-all-all-hello.lic")]
    assert (tmp_path / "my-all-all-hello.lic").read_bytes() == base64.b64decode(HELLO)
    openstack.does("database", "instance", "remove", "module", f"{OWN}1", f"{OWN}4")
    assert openstack("database", "module", "list", "instance", f"{OWN}1") == []
    assert [name for name, _ in app.guest.asked] == ["module_apply", "module_remove"]


def test_a_name_from_a_server_does_not_lead_out_of_the_directory(
        openstack: OpenStack, app: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = module_state(f"{OWN}4", contents=Secret(HELLO), filename="../../outside.lic")
    monkeypatch.setattr(app.guest, "module_list", lambda _query: [state], raising=False)
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    saved = openstack("database", "instance", "show", "module", f"{OWN}1",
                      "--directory", str(inside))
    assert [one["File"] for one in saved] == [str(inside / "outside.lic")]
    assert not (tmp_path / "outside.lic").exists()


def test_a_module_is_applied_again(openstack: OpenStack, app: Api) -> None:
    openstack("database", "instance", "set", "module", f"{OWN}1", f"{OWN}4")
    openstack.does("database", "module", "reapply", f"{OWN}4", "--batch-size", "5",
                   "--delay", "2", "--force")
    assert len(app.waker.woken) == 1
    shown = openstack("database", "operation", "show", app.waker.woken[0])
    assert shown["action"] == "module.reapply"
