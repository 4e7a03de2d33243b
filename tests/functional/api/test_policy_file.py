"""An operator's policy file: it changes the defaults, also while the service runs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_policy import opts
from oslo_policy.policy import InvalidDefinitionError

from tests.functional.api.conftest import OWN, Api
from trove_ng.api.authorization import Authorizer

ONE = f"/instances/{OWN}1"
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, api_conf: cfg.ConfigOpts) -> Write:
    """Return what writes the policy file; each time it is newer."""
    path, times = tmp_path / "policy.yaml", iter(range(1000))
    opts.set_defaults(api_conf)
    api_conf.set_override("policy_file", str(path), group="oslo_policy")
    api_conf.set_override("policy_dirs", [str(tmp_path / "policy.d")], group="oslo_policy")

    def replace(text: str) -> None:
        path.write_text(text)
        moment = time.time() + next(times)
        os.utime(path, (moment, moment))

    return replace


def forget(app: Api) -> None:
    """Let the time pass that a decision is remembered."""
    app.services.authorizer._known.clear()


@pytest.fixture
def strict(write: Write) -> None:
    write('"instance:show": "rule:admin"\n"datastore:index": "role:member"\n')


def test_a_file_changes_the_defaults_that_it_names(strict: None, app: Api) -> None:
    assert app("GET", ONE).status_int == 403
    assert app("GET", ONE, token="admin").status_int == 200
    assert app("GET", "/datastores", token="reader").status_int == 403
    # what it does not name is as it was
    assert app("GET", "/instances", token="reader").status_int == 200


def test_a_fragment_is_read_too(write: Write, tmp_path: Path, api_conf: cfg.ConfigOpts,
                                ) -> None:
    write("{}\n")
    (tmp_path / "policy.d").mkdir()
    (tmp_path / "policy.d" / "dba.yaml").write_text('"flavor:index": "role:dba"\n')
    rules = Authorizer(api_conf)._enforcer.rules
    assert str(rules["flavor:index"]) == "role:dba"


def test_a_role_of_the_operator_is_given_in_one_place(write: Write, app: Api) -> None:
    assert app("GET", "/instances", token="roleless").status_int == 403
    write('"project_reader": "project_id:%(tenant)s"\n')
    forget(app)
    assert app("GET", "/instances", token="roleless").status_int == 200
    assert app("DELETE", ONE, token="roleless").status_int == 403


def test_a_file_never_opens_another_projects_resources(write: Write, app: Api) -> None:
    write('"instance:show": "@"\n"instance:delete": "@"\n')
    forget(app)
    for method in ("GET", "DELETE"):
        path = ONE.replace("0000", "f000", 1)
        assert app(method, path).status_int == 404


def test_a_changed_file_holds_without_a_restart(strict: None, write: Write, app: Api) -> None:
    assert app("GET", ONE).status_int == 403
    write('"datastore:index": "role:member"\n')
    forget(app)
    assert app("GET", ONE).status_int == 200


@pytest.mark.parametrize("broken", ['"instance:show": [\n', "- a list\n", "text"])
def test_what_held_holds_while_the_file_is_broken(
        strict: None, write: Write, app: Api, broken: str,
        caplog: pytest.LogCaptureFixture) -> None:
    write(broken)
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            forget(app)
            assert app("GET", ONE).status_int == 403
            assert app("GET", "/instances").status_int == 200
    assert "the policy file cannot be read" in caplog.text
    write('"instance:show": ""\n')
    forget(app)
    assert app("GET", ONE, token="reader").status_int == 200


@pytest.mark.parametrize("broken", [
    '"instance:show": [\n', '"instance:show": "rule:amdin"\n',
    '"admin": "rule:admin"\n'])
def test_a_service_does_not_start_with_a_broken_file(
        write: Write, api_conf: cfg.ConfigOpts, broken: str) -> None:
    write(broken)
    with pytest.raises((ValueError, InvalidDefinitionError)):
        Authorizer(api_conf)
