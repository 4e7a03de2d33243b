"""Keys are changed while messages flow both ways; none is lost and none refused."""

from __future__ import annotations

import datetime
import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy import event

from tests.functional.control_plane.test_secrets import as_services_log, shapes
from tests.functional.control_plane.test_secrets_of_messages import dump, sniff_at
from tests.scrape import RefusalsHeard
from tests.stores import add_version
from trove_ng.common.clock import utcnow
from trove_ng.common.crypto import DecryptError, SecretBox
from trove_ng.common.errors import Conflict, GuestTimeout
from trove_ng.common.secret import Secret
from trove_ng.common.states import ServiceStatus
from trove_ng.db.models import DatastoreVersion, Instance, Operation
from trove_ng.db.repositories import instance_keys, sealed
from trove_ng.db.session import Database
from trove_ng.guestagent.keys import AgentKeys
from trove_ng.manage.key_rotation import Rotation
from trove_ng.rpc import guest as guest_rpc
from trove_ng.rpc import keys, messages
from trove_ng.rpc.conductor import ConductorClient
from trove_ng.rpc.endpoint import Caller, Endpoint, Method
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.taskmanager import TaskManagerClient
from trove_ng.rpc.transport import get_transport, start_server

INSTANCE = "11111111-1111-4111-8111-111111111111"
GRACE = 600
PURPOSE = instance_keys.PURPOSE


class Crash(Exception):
    """The operator's command is killed."""


class Lab:
    """An agent, a conductor, an API and a taskmanager, each with its own memory of keys."""

    def __init__(self, conf: cfg.ConfigOpts, database: Database, folder: Path,
                 url: str = "fake://") -> None:
        self.conf, self.db, self.folder = conf, database, folder
        self.box = SecretBox(conf.inst_rpc_key_encr_key, PURPOSE)
        self.transport = get_transport(conf, url)
        self.later = 0.0
        self.refused: list[str] = []
        self.beats: list[int] = []
        self.wakes: list[str] = []
        with database.writer() as session:
            add_version(session)
            session.add(Instance(id=INSTANCE, name="i", tenant_id="t", flavor_id="1",
                                 datastore_version_id="v"))
            session.flush()
            self.born_with = instance_keys.create(session, self.box, INSTANCE)
        self._servers: list[Any] = []
        self.boot()
        self.conductor_keys = self.store_keys()
        self.serve("trove-conductor", keys.CONDUCTOR, self.conductor_keys, {
            "heartbeat": Method(messages.Heartbeat, messages.Empty, self._beat)})

    def now(self) -> float:
        return time.time() + self.later

    def store_keys(self, *control: str) -> instance_keys.StoreKeys:
        return instance_keys.StoreKeys(
            self.db, self.box, control or ("control",),
            clock=lambda: utcnow() + datetime.timedelta(seconds=self.later))

    def boot(self) -> None:
        """Begin a life of the agent, on the disk of the one before."""
        self.agent_keys = AgentKeys([self.born_with], INSTANCE, self.folder / "keys.json",
                                    self.now)

    def serve_agent(self) -> Any:
        return self.serve(guest_rpc.topic(INSTANCE), keys.guest(INSTANCE), _Current(self), {
            "rpc_ping": Method(messages.Empty, messages.Flag,
                               lambda _caller, _request: messages.Flag(value=True)),
            "change_key": Method(messages.KeyRequest, messages.Empty,
                                 lambda _caller, request: self.agent_keys.change(request))})

    def serve(self, topic: str, me: str, provider: Any, table: Any) -> Any:
        server = start_server(self.conf, self.transport, topic, f"s{len(self._servers)}",
                              Endpoint(table, me, provider, 300,
                                       recorder=RefusalsHeard(self.refused)))
        self._servers.append(server)
        return server

    def _beat(self, _caller: Caller, beat: messages.Heartbeat) -> messages.Empty:
        self.beats.append(beat.sequence)
        return messages.Empty()

    def client(self, provider: Any, me: str = keys.TASKMANAGER) -> GuestClient:
        return GuestClient(self.conf, self.transport, provider, me, INSTANCE)

    def rotation(self) -> Rotation:
        return Rotation(
            self.db, self.box, lambda _ident, given: self.client(given), GRACE,
            lambda: utcnow() + datetime.timedelta(seconds=self.later))

    def ring(self) -> instance_keys.Ring:
        with self.db.reader() as session:
            found = instance_keys.ring(session, self.box, INSTANCE)
        assert found is not None
        return found

    def stop(self) -> None:
        for server in self._servers:
            server.stop()
            server.wait()


class _Current:
    """The keys of the agent's present life."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def secrets(self, instance_id: str | None) -> Any:
        return self._lab.agent_keys.secrets(instance_id)


@pytest.fixture
def lab(store_conf: cfg.ConfigOpts, database: Database, tmp_path: Path) -> Iterator[Lab]:
    store_conf.set_override("guest_call_timeout", 5)
    made = Lab(store_conf, database, tmp_path / "agent")
    made.serve_agent()
    yield made
    made.stop()


def under_load(lab: Lab, change: Callable[[], None], senders: list[Callable[[int], None]],
               least: int = 30) -> list[int]:
    """Send without a pause while something is changed; return how many each sent."""
    end = threading.Event()
    failures: list[BaseException] = []
    sent = [0] * len(senders)

    def run(place: int) -> None:
        try:
            for number in itertools.count(1):
                senders[place](number)
                sent[place] = number
                if end.is_set():
                    return
        except BaseException as err:  # noqa: BLE001  looked at below
            failures.append(err)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(senders))]
    for one in threads:
        one.start()
    try:
        _until(lambda: min(sent) >= least or failures)
        change()
        before = list(sent)
        _until(lambda: failures or all(
            now >= then + least for now, then in zip(sent, before, strict=True)))
    finally:
        end.set()
        for one in threads:
            one.join(20)
    assert failures == []
    return sent


def _until(probe: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _senders(lab: Lab, *provider: Any) -> list[Callable[[int], None]]:
    api = lab.client(provider[0] if provider else lab.store_keys(), keys.API)
    taskmanager = lab.client(provider[1] if provider else lab.store_keys())
    reports = ConductorClient(lab.transport, _Current(lab), INSTANCE)

    def beat(number: int) -> None:
        reports.heartbeat(messages.Heartbeat(
            status=ServiceStatus.HEALTHY, sequence=number, sent_at=1.0))
        time.sleep(0.002)  # more than one guest's share of messages would be refused

    return [lambda _number: _true(api.rpc_ping()), lambda _number: _true(
        taskmanager.rpc_ping()), beat]


def _true(answer: bool) -> None:
    assert answer


def test_a_guests_key_is_changed_under_load(lab: Lab) -> None:
    def change() -> None:
        for _ in range(3):
            lab.rotation().run(INSTANCE)
            # in the grace, what was sent before arrives, and memories are renewed
            for _ in range(2):
                at = max(lab.beats) + 20
                _until(lambda at=at: at in lab.beats)  # type: ignore[misc]
                for one in services:
                    one.forget(INSTANCE)
            lab.later += GRACE + 1

    services = [lab.store_keys(), lab.store_keys(), lab.conductor_keys]
    sent = under_load(lab, change, _senders(lab, *services))
    _until(lambda: len(lab.beats) == sent[2])
    assert sorted(lab.beats) == list(range(1, sent[2] + 1))
    assert lab.refused == []
    assert lab.ring().current != lab.born_with
    assert lab.agent_keys.secrets(INSTANCE)[0] == lab.ring().current


def test_a_new_key_is_found_nowhere_else(
        lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    log = io.StringIO()
    sniff_at(monkeypatch, sent)
    with as_services_log(log):
        lab.rotation().run(INSTANCE)
        assert lab.client(lab.store_keys()).rpc_ping()
    places = {"log": log.getvalue(), "messages": "\n".join(sent), "store": dump(lab.db)}
    assert all(places.values())
    new = lab.agent_keys.secrets(INSTANCE)[0]
    assert new != lab.born_with
    for key in (new, lab.born_with):
        assert {place for place, text in places.items()
                if any(form in text for form in shapes(key))} == set()


def test_an_old_key_is_refused_after_the_grace_by_both_ends(lab: Lab) -> None:
    lab.rotation().run(INSTANCE)
    old = Known(lab.born_with, lab.ring().current)
    assert lab.client(old).rpc_ping()
    ConductorClient(lab.transport, old, INSTANCE).heartbeat(
        messages.Heartbeat(status=ServiceStatus.HEALTHY, sequence=1, sent_at=1.0))
    _until(lambda: lab.beats == [1])
    lab.later = GRACE + 1
    lab.conf.set_override("guest_call_timeout", 1)
    # the clocks of freshness did not move, so that the key alone is what is old
    with pytest.raises(GuestTimeout):
        lab.client(old).rpc_ping()
    ConductorClient(lab.transport, old, INSTANCE).heartbeat(
        messages.Heartbeat(status=ServiceStatus.HEALTHY, sequence=2, sent_at=1.0))
    _until(lambda: lab.refused == ["unknown-key", "unknown-key"])
    assert lab.beats == [1]
    assert lab.client(lab.store_keys()).rpc_ping()


class Known:
    """Some secrets, of which the first seals."""

    def __init__(self, *known: str) -> None:
        self._known = known

    def secrets(self, instance_id: str | None) -> tuple[str, ...]:
        return self._known


CRASHES = ["before the guest is told", "after the guest is told",
           "before it forgets", "after it forgets"]


@pytest.mark.parametrize("crash", CRASHES)
def test_a_rotation_that_is_cut_off_costs_nothing_and_is_ended_by_the_next(
        lab: Lab, crash: str) -> None:
    place = CRASHES.index(crash)

    class Cut:
        """A client whose process dies before or after one of its calls."""

        def __init__(self, provider: Any) -> None:
            self._client = lab.client(provider)

        def change_key(self, request: messages.KeyRequest) -> None:
            mine = (request.forget_after is None) == (place < 2)
            if mine and place % 2 == 0:
                raise Crash
            self._client.change_key(request)
            if mine:
                raise Crash

    def change() -> None:
        cut = Rotation(lab.db, lab.box, lambda _ident, given: Cut(given),  # type: ignore[arg-type,return-value]
                       GRACE)
        with pytest.raises(Crash):
            cut.run(INSTANCE)
        # much later, and with new lives of everything
        if place < 3:
            lab.later = 10 * GRACE
        lab.boot()
        assert lab.client(lab.store_keys()).rpc_ping()
        lab.conductor_keys.forget(INSTANCE)
        lab.rotation().run(INSTANCE)

    sent = under_load(lab, change, _senders(lab)[2:])
    _until(lambda: len(lab.beats) == sent[0])
    assert lab.refused == []
    ring = lab.ring()
    assert ring.following is None
    assert ring.previous == lab.born_with
    assert ring.until is not None
    assert lab.client(lab.store_keys()).rpc_ping()


def test_a_key_is_not_changed_again_while_the_one_before_is_understood(lab: Lab) -> None:
    lab.rotation().run(INSTANCE)
    with pytest.raises(Conflict, match="changed already"):
        lab.rotation().run(INSTANCE)


def test_a_guest_that_came_back_with_its_old_key_is_given_the_new_one_again(
        lab: Lab) -> None:
    """The disk of its server was replaced in the middle of a rotation."""
    lab.conf.set_override("guest_call_timeout", 1)
    rotation = lab.rotation()
    rotation._forget = lambda *_: None  # type: ignore[method-assign]
    rotation.run(INSTANCE)
    (lab.folder / "keys.json").unlink()
    lab.boot()
    assert lab.agent_keys.secrets(INSTANCE) == (lab.born_with,)
    lab.rotation().run(INSTANCE)
    lab.later = GRACE + 1
    assert lab.agent_keys.secrets(INSTANCE) == (lab.ring().current,) != (lab.born_with,)
    assert lab.client(lab.store_keys()).rpc_ping()


def test_a_guest_that_an_operation_works_on_keeps_its_key(lab: Lab) -> None:
    def work(live_key: str | None) -> None:
        with lab.db.writer() as session:
            session.merge(Operation(
                id=INSTANCE, action="instance.rebuild", resource_type="instance",
                resource_id=INSTANCE, live_key=live_key, tenant_id="t", status="RUNNING"))

    before = lab.ring()
    work(INSTANCE)
    with pytest.raises(Conflict, match=r"instance\.rebuild"):
        lab.rotation().run(INSTANCE)
    assert lab.ring() == before
    # one that begins meanwhile: the old key is understood until the next run
    work(None)
    rotation = lab.rotation()
    forget = rotation._forget
    rotation._forget = lambda *given: (work(INSTANCE), forget(*given))  # type: ignore
    with pytest.raises(Conflict):
        rotation.run(INSTANCE)
    assert (lab.ring().previous, lab.ring().until) == (lab.born_with, None)
    work(None)
    lab.rotation().run(INSTANCE)
    assert lab.ring().until is not None


def test_an_agent_that_is_killed_knows_its_new_key(lab: Lab) -> None:
    lab.rotation().run(INSTANCE)
    lab.boot()
    assert lab.agent_keys.secrets(INSTANCE) == (lab.ring().current, lab.born_with)
    lab.later = GRACE + 1
    lab.boot()
    assert lab.agent_keys.secrets(INSTANCE) == (lab.ring().current,)
    assert (lab.folder / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_key_is_on_the_disk_before_it_is_used(
        lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from trove_ng.guestagent.os import files

    def full(*_args: Any, **_more: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        lab.agent_keys.change(messages.KeyRequest(key=Secret("new")))
    assert lab.agent_keys.secrets(INSTANCE) == (lab.born_with,)


def test_a_damaged_file_leaves_the_configured_key(lab: Lab) -> None:
    (lab.folder).mkdir(exist_ok=True)
    (lab.folder / "keys.json").write_text("{")
    lab.boot()
    assert lab.agent_keys.secrets(INSTANCE) == (lab.born_with,)


def test_a_key_that_came_with_a_new_configuration_is_used(lab: Lab) -> None:
    lab.rotation().run(INSTANCE)
    again = AgentKeys(["of a rebuilt server"], INSTANCE, lab.folder / "keys.json")
    assert again.secrets(INSTANCE)[0] == "of a rebuilt server"


def test_the_control_planes_key_is_changed_under_load(lab: Lab) -> None:
    """In three rolls, as the operator's guide has it; processes restart in any order."""
    sets = {name: ["old"] for name in ("api", "one", "two")}

    class Restarted:
        def __init__(self, name: str) -> None:
            self._name = name

        def secrets(self, _instance_id: str | None) -> list[str]:
            return sets[self._name]

    def wake(_caller: Caller, message: messages.Wake) -> messages.Empty:
        lab.wakes.append(message.operation_id)
        return messages.Empty()

    for name in ("one", "two"):
        lab.serve("taskmanager", keys.TASKMANAGER, Restarted(name),
                  {"wake": Method(messages.Wake, messages.Empty, wake)})
    api = TaskManagerClient(lab.transport, Restarted("api"))

    def change() -> None:
        for step, order in zip((["old", "new"], ["new", "old"], ["new"]),
                               itertools.permutations(sets), strict=False):
            for name in order:
                at = len(lab.wakes)
                sets[name] = step
                _until(lambda at=at: len(lab.wakes) > at + 5)  # type: ignore[misc]
            # what was sent before is taken before the next roll begins

    def send(number: int) -> None:
        api.wake(str(number))
        time.sleep(0.001)

    sent, = under_load(lab, change, [send])
    _until(lambda: len(lab.wakes) == sent)
    assert lab.refused == []
    assert sets["api"] == ["new"]


def test_the_key_of_the_store_is_changed_under_load(lab: Lab) -> None:
    """Services seal and open with two generations while the rows are sealed anew."""
    old, new = "instance-key-for-tests", "the-next-one"
    boxes = {name: SecretBox([old], PURPOSE) for name in ("api", "taskmanager")}

    def make(number: int) -> None:
        """What a create and a call do: seal a key, and open all."""
        with lab.db.writer() as session:
            ident = f"i{number}"
            version = session.get(DatastoreVersion, "v")
            assert version is not None
            session.add(Instance(id=ident, name="i", tenant_id="t", flavor_id="1",
                                 datastore_version_id="v"))
            session.flush()
            instance_keys.create(session, boxes["taskmanager"], ident)
        with lab.db.reader() as session:
            assert instance_keys.read(session, boxes["api"], ident)
            assert instance_keys.read(session, boxes["api"], INSTANCE)

    def change() -> None:
        for keys_ in ([old, new], [new, old]):
            for name in boxes:
                boxes[name] = SecretBox(keys_, PURPOSE)
                time.sleep(0.05)
        with lab.db.writer() as session:
            sealed.GUESTS.reseal(session, boxes["api"])
            names = sealed.GUESTS.sealed_with(session)
        assert list(names) == [SecretBox([new], PURPOSE).names[0]]
        for name in boxes:
            boxes[name] = SecretBox([new], PURPOSE)

    under_load(lab, change, [make], least=5)
    with lab.db.reader() as session, pytest.raises(DecryptError):
        instance_keys.read(session, SecretBox([old], PURPOSE), INSTANCE)


def test_forged_messages_do_not_cost_a_query_each(lab: Lab) -> None:
    now = [0.0]
    provider = instance_keys.StoreKeys(lab.db, lab.box, ["c"], now=lambda: now[0])
    queries: list[str] = []
    event.listen(lab.db.engine, "before_cursor_execute",
                 lambda _c, _cursor, statement, *_rest: queries.append(statement))
    for _ in range(100):
        assert keys.find(provider, INSTANCE, "a kid that nobody has") is None
        assert keys.find(provider, "unknown", "a kid that nobody has") is None
    assert len([one for one in queries if "instance_keys" in one]) == 3
    now[0] += 1
    keys.find(provider, INSTANCE, "a kid that nobody has")
    assert len([one for one in queries if "instance_keys" in one]) == 4


def test_what_a_guest_remembers_shows_no_more_than_it_must(lab: Lab) -> None:
    lab.rotation().run(INSTANCE)
    kept = json.loads((lab.folder / "keys.json").read_text())
    assert [one["secret"] for one in kept["keys"]] == [lab.ring().current, lab.born_with]
    assert len(kept["replaced"]) == 1
