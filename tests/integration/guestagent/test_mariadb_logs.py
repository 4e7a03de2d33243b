"""The logs of a real MariaDB, published in a real object store."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Any

import pytest

from tests.integration.guestagent.conftest import wait_for
from tests.integration.guestagent.store import grant
from tests.integration.guestagent.test_mariadb import (  # noqa: F401 - fixtures
    APP,
    Server,
    server,
)
from trove_ng.common.errors import BadRequest, NotFound
from trove_ng.common.secret import Secret
from trove_ng.datastores import guest_logs
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m
from trove_ng.standalone.minicloud.swift import Swift
from trove_ng.standalone.minicloud.swift_store import StoredObject

PLACE = guest_logs.Place("i", "mariadb", "general")


def switch(server: Server, name: str, enabled: bool, **more: Any) -> None:  # noqa: F811
    server.manager.switch_log(lm.LogSwitch(name=name, enabled=enabled, **more))


def states(server: Server, *marks: lm.LogMark) -> dict[str, lm.LogState]:  # noqa: F811
    request = lm.LogsRequest(marks=list(marks))
    return {one.name: one for one in server.manager.list_logs(request).logs}


def publish(server: Server, url: str, mark: lm.LogMark | None = None,  # noqa: F811
            **more: Any) -> lm.LogPublished:
    return server.manager.publish_log(lm.LogPublishRequest(
        name="general", kind="USER", grant=grant(url, PLACE.stem), folder=PLACE.folder,
        metafile=PLACE.metafile, mark=mark, **{"chunk_size": 1000, **more}))


def parts(swift: Swift) -> list[StoredObject]:
    """Return the published parts in the order of their names."""
    return swift._store.objects("AUTH_t", "c", PLACE.folder)


def published(swift: Swift) -> bytes:
    """Return the concatenated parts."""
    return b"".join((swift._store._files / one.file).read_bytes() for one in parts(swift))


def test_logs_of_a_new_server_are_off_and_its_error_log_tells(
        server: Server) -> None:  # noqa: F811
    found = states(server)
    assert sorted(found) == ["error", "general", "guest", "slow_query"]
    assert [name for name, one in found.items() if one.enabled] == ["error", "guest"]
    assert found["error"].size > 0
    assert found["general"].size == found["slow_query"].size == 0


def test_the_log_of_all_statements_holds_the_owners_and_not_the_agents(
        server: Server) -> None:  # noqa: F811
    switch(server, "general", True)
    server.query("SELECT 'mine-1'", *APP)
    server.manager.create_users(m.UsersRequest(users=[
        m.UserSpec(name="late", password=Secret("late-Secret-1"), databases=["shop"])]))
    server.manager.change_passwords(m.UsersRequest(users=[
        m.UserSpec(name="late", password=Secret("late-Secret-2"))]))
    text = server.paths.general_log.read_text()
    assert "mine-1" in text
    assert "late" not in text
    assert server.paths.general_log.stat().st_mode & 0o007 == 0

    # over a restart
    server.manager.restart_db()
    assert states(server)["general"].enabled
    server.query("SELECT 'mine-2'", *APP)
    assert "mine-2" in server.paths.general_log.read_text()
    switch(server, "general", False)
    server.query("SELECT 'mine-3'", *APP)
    server.manager.restart_db()
    server.query("SELECT 'mine-4'", *APP)
    text = server.paths.general_log.read_text()
    assert "mine-3" not in text
    assert "mine-4" not in text
    assert not states(server)["general"].enabled


def test_a_slow_statement_is_logged_from_the_time_that_was_asked_for(
        server: Server) -> None:  # noqa: F811
    switch(server, "slow_query", True, long_query_time=0.05)
    server.query("SELECT 'quick'", *APP)
    server.query("SELECT 'slow', SLEEP(0.2)", *APP)
    # it is written after the answer
    wait_for(lambda: "'slow'" in server.paths.slow_log.read_text())
    assert "quick" not in server.paths.slow_log.read_text()
    server.manager.restart_db()
    assert float(server.query("SELECT @@global.long_query_time", *APP)[0][0]) == 0.05


def test_the_owners_time_is_taken_and_the_agents_password_is_in_no_log(
        make: Any) -> None:  # noqa: F811
    one: Server = make("one")
    one.prepare(overrides={"slow_query_log": True, "long_query_time": 0}, users=[
        m.UserSpec(name="u", password=Secret("users-Secret-1"))])
    assert states(one)["slow_query"].enabled
    switch(one, "slow_query", True, long_query_time=10)
    one.query("SELECT 'each'", "u", "users-Secret-1")
    # it is written after the answer
    wait_for(lambda: "'each'" in one.paths.slow_log.read_text())
    text = one.paths.slow_log.read_text()
    assert "users-Secret-1" not in text
    assert one.manager.admin.credentials()[1].reveal() not in text


def test_a_log_is_switched_while_the_server_is_down(server: Server) -> None:  # noqa: F811
    server.manager.stop_db()
    switch(server, "general", True)
    server.manager.start_db()
    server.query("SELECT 'mine-1'", *APP)
    assert "mine-1" in server.paths.general_log.read_text()


def test_only_logs_of_users_are_switched(server: Server) -> None:  # noqa: F811
    for name in ("error", "none", "guest"):
        with pytest.raises((BadRequest, NotFound)):
            switch(server, name, False)


def test_a_log_is_published_and_a_rotated_one_is_noticed(
        server: Server, store: tuple[str, Swift]) -> None:  # noqa: F811
    url, swift = store
    switch(server, "general", True)
    for number in range(50):
        server.query(f"SELECT 'row {number}'", *APP)
    path = server.paths.general_log
    mark = publish(server, url).mark
    assert mark is not None
    assert published(swift) == path.read_bytes()[:mark.position]
    assert b"row 49" in published(swift)
    assert len(parts(swift)) > 3
    assert sum(int(one.meta["X-Object-Meta-Lines"]) for one in parts(swift)) == mark.lines

    server.query("SELECT 'row more'", *APP)
    assert states(server, mark)["general"].continues
    mark = publish(server, url, mark, expire_after=1000).mark
    assert mark is not None
    assert published(swift) == path.read_bytes()[:mark.position]
    newest = parts(swift)[-1]
    assert newest.delete_at == pytest.approx(time.time() + 1000, abs=60)

    # the agent puts the file aside; the server begins the new one with the same lines
    server.manager._logs.trim(100, server.manager.reopen_logs)
    assert path.with_name("general.log.1").exists()
    server.query("SELECT 'anew'", *APP)
    assert path.read_bytes().splitlines()[0] == (
        path.with_name("general.log.1").read_bytes().splitlines()[0])
    assert "anew" in path.read_text()
    assert not states(server, mark)["general"].continues
    assert publish(server, url, mark).rotated
    assert published(swift).count(b"row 49") == 1


def test_a_server_whose_supervisor_keeps_no_log_writes_its_errors_itself(
        make: Any, home: pathlib.Path) -> None:  # noqa: F811
    one: Server = make("one")
    one.process.log_path = lambda names: None  # type: ignore[method-assign]
    one.manager.server_logs._paths = dataclasses.replace(
        one.paths, error_log=str(home / "errors/error.log"))
    one.prepare()
    errors = home / "errors/error.log"
    assert "ready for connections" in errors.read_text()
    assert states(one)["error"].size == errors.stat().st_size
    # and what it says there is the cause that is told
    one.manager.stop_db()
    (one.paths.data / "ibdata1").write_bytes(b"\1" * 12 * 1024 ** 2)
    with pytest.raises(Exception, match="the files of the database are damaged"):
        one.manager.start_db()
