"""Every secret that agents are sent, whatever the message, is found nowhere else.

What is looked for is read from the types of the messages: those of later ones are looked for,
too, and a field that no scenario fills fails the test.
"""

from __future__ import annotations

import contextlib
import io
import json
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from oslo_messaging._drivers.impl_fake import FakeDriver

from tests.functional.control_plane.conftest import ControlPlane
from tests.functional.control_plane.scenarios import SCENARIOS
from tests.functional.control_plane.test_secrets import as_services_log, shapes
from tests.functional.control_plane.world import World, wait_for
from trove_ng.common.secret import Secret
from trove_ng.db.repositories import operations
from trove_ng.db.session import Database
from trove_ng.rpc.guest import GUEST_METHODS

#: fields that no run-book sends, and the tests that look for them as this one does
ELSEWHERE = {
    "KeyRequest.key": "rpc/test_rotation.py",
    "ArchiveRequest.key": "control_plane/test_secrets_of_archives.py",
    "LogReplay.keys": "control_plane/test_secrets_of_archives.py",
}


def kinds(declared: Any) -> Iterator[Any]:
    """Yield the types that a declaration is made of."""
    yield declared
    for one in typing.get_args(declared):
        yield from kinds(one)


def fields(message: Any, known: set[Any] | None = None) -> set[str]:
    """Return the fields that hold secrets of a message and of those in it."""
    known, found = known if known is not None else set(), set()
    if message in known:
        return found
    known.add(message)
    for name, declared in typing.get_type_hints(message).items():
        for kind in kinds(declared):
            if kind is Secret:
                found.add(f"{message.__name__}.{name}")
            elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                found |= fields(kind, known)
    return found


def secrets(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield field and text of the secrets in a message."""
    if isinstance(value, Secret):
        yield field, value.reveal()
    elif isinstance(value, msgspec.Struct):
        for one in value.__struct_fields__:
            yield from secrets(getattr(value, one), f"{type(value).__name__}.{one}")
    elif isinstance(value, list | tuple):
        for one in value:
            yield from secrets(one, field)
    elif isinstance(value, dict):
        for one in value.values():
            yield from secrets(one, field)


class Heard:
    """What agents were sent, and what was written and said meanwhile."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.log = io.StringIO()
        self.sent: list[str] = []
        self.answers: list[str] = []
        self.words: dict[str, set[str]] = {}

    def learn(self) -> None:
        for agent in self.plane.hypervisor.agents.values():
            for _name, message in agent.asked:
                for field, text in secrets(message):
                    self.words.setdefault(field, set()).add(text)

    def found(self) -> dict[str, list[str]]:
        """Return place → fields whose secrets are in it."""
        places = {"log": self.log.getvalue(), "messages": "\n".join(self.sent),
                  "store": dump(self.plane.db), "answers": "\n".join(self.answers)}
        assert all(places.values())
        return {place: hits for place, text in places.items() if (hits := sorted(
            field for field, words in self.words.items()
            if any(form in text for word in words for form in shapes(word))))}


def dump(database: Database) -> str:
    """Return all that a store in a file has."""
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        return "\n".join(raw.iterdump())


def sniff_at(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    """Add what is sent over the bus to a list, with the answers."""
    send = FakeDriver.send

    def sniff(driver: Any, target: Any, ctxt: Any, message: Any, *args: Any, **more: Any) -> Any:
        answer = send(driver, target, ctxt, message, *args, **more)
        sent.append(json.dumps([str(target), ctxt, message, answer]))
        return answer

    monkeypatch.setattr(FakeDriver, "send", sniff)


@contextlib.contextmanager
def listening(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """Write down what is said while the block runs."""
    made, request = Heard(plane), plane.request
    sniff_at(monkeypatch, made.sent)

    def ask(method: str, path: str, *args: Any, **more: Any) -> Any:
        answer = request(method, path, *args, **more)
        # who enables root is told its password, also at the creation
        if not (method == "POST" and path.endswith(("/root", "/instances"))):
            made.answers.append(f"{method} {path}: {answer.headers} {answer.text}")
        return answer

    monkeypatch.setattr(plane, "request", ask)
    with as_services_log(made.log):
        yield made


@pytest.fixture
def heard(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    conf = world.plane.conf
    conf.set_override("backup_encryption", True)
    with listening(world.plane, monkeypatch) as made:
        yield made
    conf.clear_override("backup_encryption")


def use(world: World) -> None:
    """Ask for what no run-book is needed for."""
    ident = world.instance()
    world.plane.request("POST", f"/instances/{ident}/users", {"users": [
        {"name": "one", "password": "Made-up-4-users", "databases": []}]}, status=202)
    world.plane.request("PUT", f"/instances/{ident}/users/one", {"user": {
        "password": "Made-up-4-change"}}, status=202)
    world.plane.request("POST", f"/instances/{ident}/root", {"password": "Made-up-4-root"},
                        status=200)


@pytest.mark.timeout(300)
def test_what_agents_are_sent_is_found_nowhere_else(world: World, heard: Heard) -> None:
    use(world)
    world.plane.conf.set_override("root_on_create", ["mariadb"])
    created = world.new_instance()
    world.plane.conf.clear_override("root_on_create")
    world.finish(world.live(created))
    for action, scenario in SCENARIOS.items():
        resource_id, operation_id = scenario.begin(world)
        row = world.finish(operation_id)
        assert row.status == operations.SUCCEEDED, (action, row.error)
        heard.learn()
        assert scenario.check(world, resource_id, operation_id)
        world.tidy()
    declared = set().union(*(fields(method.request) for method in GUEST_METHODS.values()))
    assert set(heard.words) == declared - set(ELSEWHERE)
    assert set(ELSEWHERE) <= declared
    assert heard.found() == {}


def test_the_search_finds_what_is_there(world: World, heard: Heard) -> None:
    use(world)
    wait_for(lambda: (heard.learn(), heard.words)[1], "something to look for")
    heard.sent.append(next(iter(heard.words["UserSpec.password"])))
    assert heard.found() == {"messages": ["UserSpec.password"]}
