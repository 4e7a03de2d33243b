"""Logs from a file on a server to what the released client shows, through a real object store.

Between them: our API, our client of the object store, the agent's part, and signed URLs.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from swiftclient import client
from troveclient import exceptions
from troveclient.v1.instances import Instances

from tests.functional.api.conftest import (  # noqa: F401 - fixtures
    MINE,
    OWN,
    Api,
    api_conf,
    app,
)
from tests.functional.minicloud.conftest import Cloud
from trove_ng.cloud.calls import Calls
from trove_ng.cloud.swift import ObjectStore
from trove_ng.common.clock import SystemClock
from trove_ng.guestagent.logs import LogFile, Logs
from trove_ng.guestagent.storage.http import Patience
from trove_ng.rpc import log_messages as m

ONE = f"{OWN}1"


class Agent:
    """The part of an agent that the API asks for logs."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.enabled = {"general": True, "slow_query": False}
        self.path = folder / "general.log"
        self._logs = Logs(lambda: {
            "general": LogFile(self.path, self.enabled["general"]),
            "slow_query": LogFile(folder / "slow.log", self.enabled["slow_query"]),
            "error": LogFile(folder / "error.log")}, SystemClock(), Patience(tries=2))

    def list_logs(self, marks: list[m.LogMark]) -> list[m.LogState]:
        return self._logs.states(marks)

    def switch_log(self, switch: m.LogSwitch) -> None:
        self.enabled[switch.name] = switch.enabled

    def publish_log(self, request: m.LogPublishRequest) -> m.LogPublished:
        return self._logs.publish(request)


class Answer:
    """What python-troveclient looks at of an answer."""

    def __init__(self, status: int) -> None:
        self.status_code = status


class Http:
    """python-troveclient's way to the API of the test."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.client = self

    def get(self, url: str) -> tuple[Answer, Any]:
        answer = self._api("GET", url)
        return Answer(answer.status_int), answer.json

    def post(self, url: str, body: Any) -> tuple[Answer, Any]:
        answer = self._api("POST", url, body)
        return Answer(answer.status_int), answer.json


@dataclasses.dataclass
class World:
    """What a test works with.

    :param swift: the account of the instance's owner
    """

    api: Api
    agent: Agent
    swift: Any
    client: Instances

    def names(self, prefix: str = "") -> list[str]:
        return [one["name"] for one in self.swift.get_container(
            "database_logs", prefix=prefix)[1]]


@pytest.fixture
def world(app: Api, cloud: Cloud, tmp_path: pathlib.Path) -> Iterator[World]:  # noqa: F811
    agent = Agent(tmp_path)
    session = cloud.session("trove")
    objects = ObjectStore(session, "RegionOne", "public", Calls("object store", 2), 30)
    app.conf.set_override("guest_log_limit", 1024)
    app.guest.store = objects  # type: ignore[assignment]
    for name in ("list_logs", "switch_log", "publish_log"):
        setattr(app.guest, name, getattr(agent, name))
    own = session.get_endpoint(service_type="object-store", interface="public")
    swift = client.Connection(
        preauthurl=own.replace(session.get_project_id(), MINE),
        preauthtoken=session.get_token(), retries=0)
    yield World(app, agent, swift, Instances(Http(app)))


def rows(count: int, start: int = 0) -> str:
    return "".join(f"{one:05d} Query SELECT 'ü {one}'\n" for one in range(start, start + count))


def tail(world: World, lines: int) -> str:
    return "".join(world.client.log_generator(ONE, "general", lines, world.swift)())


def test_a_log_is_tailed_and_saved_by_the_released_client(world: World,
                                                          tmp_path: pathlib.Path) -> None:
    world.agent.path.write_text(rows(200))
    log = world.client.log_action(ONE, "general", publish=True)
    assert (log.status, log.published, log.pending) == (
        "Published", world.agent.path.stat().st_size, 0)
    parts = world.names(f"{ONE}/mariadb-general/")
    assert len(parts) > 4
    assert f"{ONE}/mariadb-general_metafile" in world.names()
    headers = world.swift.head_object("database_logs", parts[0])
    assert int(headers["x-object-meta-lines"]) > 20
    assert "x-delete-at" in headers

    assert tail(world, 0) == rows(200)
    assert tail(world, 3) == rows(3, 197)
    assert tail(world, 60).splitlines()[-60:] == rows(60, 140).splitlines()
    world.client._get_swift_client = lambda: world.swift  # type: ignore[method-assign]
    saved = world.client.log_save(world.client.resource_class(
        world.client, {"id": ONE}), "general", filename=str(tmp_path / "saved"))
    assert pathlib.Path(saved).read_text() == rows(200)

    with world.agent.path.open("a") as more:
        more.write(rows(5, 200))
    log = world.client.log_show(ONE, "general")
    assert (log.status, log.pending) == ("Partial", len(rows(5, 200).encode()))
    assert tail(world, 1) == rows(1, 199)
    world.client.log_action(ONE, "general", publish=True)
    assert tail(world, 1) == rows(1, 204)
    assert tail(world, 0) == rows(205)


def test_a_rotated_log_is_published_anew(world: World) -> None:
    world.agent.path.write_text(rows(100))
    world.client.log_action(ONE, "general", publish=True)
    old = world.names()
    world.agent.path.write_text(rows(150, 1000))
    assert world.client.log_show(ONE, "general").status == "Rotated"
    assert world.names() == old
    assert world.client.log_action(ONE, "general", publish=True).status == "Published"
    assert tail(world, 0) == rows(150, 1000)
    assert set(world.names(f"{ONE}/mariadb-general/")).isdisjoint(old)


def test_a_discarded_log_is_gone(world: World) -> None:
    world.agent.path.write_text(rows(100))
    world.client.log_action(ONE, "general", publish=True)
    log = world.client.log_action(ONE, "general", discard=True)
    assert (log.status, log.published, log.container) == ("Ready", 0, "None")
    assert world.names() == []
    with pytest.raises(exceptions.GuestLogNotFoundError):
        tail(world, 5)


def test_a_project_that_never_published_is_left_as_it_is(world: World) -> None:
    logs = {log.name: log for log in world.client.log_list(ONE)}
    assert sorted(logs) == ["error", "general", "slow_query"]
    assert logs["general"].container == "None"
    assert world.swift.get_account()[1] == []
    with pytest.raises(exceptions.GuestLogNotFoundError):
        tail(world, 5)


def test_what_the_owner_writes_over_a_metafile_does_no_harm(world: World) -> None:
    world.agent.path.write_text(rows(100))
    world.client.log_action(ONE, "general", publish=True)
    name = f"{ONE}/mariadb-general_metafile"
    for content in (b"", b"{", b"x" * 100_000, b'{"log_name": "general"}'):
        world.swift.put_object("database_logs", name, content)
        assert world.client.log_show(ONE, "general").published == 0
    assert world.client.log_action(ONE, "general", publish=True).status == "Published"
    assert tail(world, 0) == rows(100)


def test_binary_data_in_a_statement_does_not_stop_the_client(world: World) -> None:
    world.agent.path.write_bytes(b"1 Query INSERT '\xff\xfe\xe4'\n2 Query SELECT 1\n")
    world.client.log_action(ONE, "general", publish=True)
    assert tail(world, 0) == "1 Query INSERT '\\xff\\xfe\\xe4'\n2 Query SELECT 1\n"
