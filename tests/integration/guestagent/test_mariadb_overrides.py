"""Settings of configuration groups on a real MariaDB: all that can be is changed at once."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.guestagent.test_mariadb import Server
from tests.integration.guestagent.test_mariadb_parameters import TEXTS
from trove_ng.common.errors import GuestError
from trove_ng.datastores import base
from trove_ng.guestagent.datastores.experimental.mariadb.dialect import MariaDbDialect
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m

pytestmark = [pytest.mark.integration, pytest.mark.skipif(
    os.geteuid() != 0, reason="the server runs as its own user, which only root can do")]

RULES = base.get("mariadb").parameters("10.11")
RESTART = [one.name for one in RULES if one.restart_required]


VALUES = {
    **TEXTS, "key_buffer_size": 8388608, "innodb_log_file_size": 33554432}
TEMPLATE = base.get("mariadb").config(512)["mysqld"]
#: a server that was started without a limit cannot begin to count
NEEDS_RESTART = {"max_user_connections"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # a socket's path is short
    with tempfile.TemporaryDirectory(prefix="tr-") as folder:
        pathlib.Path(folder).chmod(0o755)
        made = Server(pathlib.Path(folder) / "s")
        made.prepare(overrides={"wait_timeout": 111})
        yield made
        made.manager.stop_db()


def apply(server: Server, **values: Any) -> bool:
    return server.manager.apply_overrides(m.OverridesRequest(
        operation_id="o", step="s", values=values, restart=RESTART))


def variable(server: Server, name: str) -> Any:
    with server.manager.server.session() as session:
        (value,), = session.run(f"SELECT @@GLOBAL.{name}")
    return value


def test_prepare_brings_the_settings_into_force(server: Server) -> None:
    assert variable(server, "wait_timeout") == 111


def test_a_setting_is_changed_at_once_and_kept_over_a_restart(server: Server) -> None:
    assert apply(server, wait_timeout=222, max_connections=77) is False
    for _ in range(2):
        assert variable(server, "wait_timeout") == 222
        assert variable(server, "max_connections") == 77
        server.manager.restart_db()


def test_a_setting_that_is_dropped_is_what_it_would_be_without(server: Server) -> None:
    apply(server, wait_timeout=222, max_connections=77)
    assert apply(server) is False
    for _ in range(2):
        # the server's own, and that of our template
        assert variable(server, "wait_timeout") == 28800
        assert variable(server, "max_connections") == base.get("mariadb").config(512)[
            "mysqld"]["max_connections"]
        server.manager.restart_db()


def test_a_setting_that_needs_a_restart_waits_for_it(server: Server) -> None:
    apply(server)
    before = variable(server, "back_log")
    assert apply(server, back_log=99) is True
    assert variable(server, "back_log") == before
    server.manager.restart_db()
    assert variable(server, "back_log") == 99


@pytest.mark.parametrize(("values", "name"), [
    ({"wait_timeout": 5, "of_another_release": 1}, "of_another_release"),
    ({"innodb_flush_method": "zz"}, "innodb_flush_method")])
def test_a_server_is_not_made_with_what_it_would_not_start_with(
        make: Any, values: dict[str, Any], name: str) -> None:
    one: Server = make("refusing")
    with pytest.raises(GuestError, match=f"refuses the value of {name}[.]"):
        one.prepare(overrides=values)
    assert not one.paths.data.exists()


def test_what_a_stopped_server_would_not_start_with_is_refused(server: Server) -> None:
    apply(server, wait_timeout=222)
    server.manager.stop_db()
    with pytest.raises(GuestError, match="refuses the value of of_another_release"):
        apply(server, wait_timeout=333, of_another_release=1)
    apply(server, wait_timeout=444)
    server.manager.start_db()
    assert variable(server, "wait_timeout") == 444


def test_settings_that_are_refused_leave_those_of_before(server: Server) -> None:
    apply(server, wait_timeout=333)
    with pytest.raises(GuestError, match="character_set_server"):
        apply(server, binlog_cache_size=8192, character_set_server="klingon",
              wait_timeout=444)
    assert variable(server, "wait_timeout") == 333
    assert variable(server, "binlog_cache_size") == 32768
    server.manager.restart_db()
    assert variable(server, "wait_timeout") == 333


def test_settings_are_written_for_a_server_that_is_down(server: Server) -> None:
    apply(server)
    server.manager.stop_db()
    assert apply(server, wait_timeout=555, back_log=98) is True
    server.manager.start_db()
    assert (variable(server, "wait_timeout"), variable(server, "back_log")) == (555, 98)


def test_an_agent_that_ended_in_between_does_the_rest(server: Server,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    apply(server, wait_timeout=666, max_connections=77)

    def die(_values: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(server.manager.configuration, "set_overrides", die)
        with pytest.raises(SystemExit):
            apply(server, wait_timeout=777)
    assert apply(server, wait_timeout=777) is False
    assert variable(server, "max_connections") != 77
    server.manager.restart_db()
    assert variable(server, "wait_timeout") == 777


def test_the_agents_password_does_not_expire(server: Server) -> None:
    apply(server, default_password_lifetime=1)
    with server.manager.server.session() as session:
        (shown,), = session.run("SHOW CREATE USER os_admin@localhost")
    assert shown.endswith("PASSWORD EXPIRE NEVER")
    apply(server)


def test_settings_beside_those_of_the_user_stay(server: Server) -> None:
    changes = pathlib.Path(server.paths.changes)
    system = {path.name: path.read_text() for path in changes.glob("20-*")}
    assert system
    apply(server, innodb_buffer_pool_size=67108864)
    apply(server)
    assert {path.name: path.read_text() for path in changes.glob("20-*")} == system
    assert not list(changes.glob("50-*"))


def test_what_the_agent_set_for_good_is_not_the_users_to_change(server: Server) -> None:
    apply(server)
    server.manager.set_log(lm.LogSwitch(name="slow_query", enabled=True, long_query_time=5))
    try:
        apply(server, slow_query_log=False, long_query_time=7)
        for _ in range(2):
            assert variable(server, "slow_query_log") == 1
            assert variable(server, "long_query_time") == 7
            server.manager.restart_db()
        apply(server)
        assert variable(server, "long_query_time") == 5
    finally:
        server.manager.set_log(
            lm.LogSwitch(name="slow_query", enabled=False, long_query_time=5))


@pytest.mark.parametrize("one", [one for one in RULES if not one.restart_required],
                         ids=lambda one: one.name)
def test_every_dynamic_setting_is_set_and_set_back(server: Server, one: base.Parameter) -> None:
    apply(server)
    before = variable(server, one.name)
    value: Any = {"boolean": True, "integer": one.low, "float": one.low}.get(one.kind)
    value = one.choices[-1] if one.choices else VALUES.get(one.name, value)
    later = one.name in NEEDS_RESTART
    assert apply(server, **{one.name: value}) is later
    sized = one.name in MariaDbDialect.self_sized and one.name not in TEMPLATE
    assert apply(server) is (later or sized)
    if sized:
        server.manager.restart_db()
    assert variable(server, one.name) == before
