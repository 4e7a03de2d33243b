"""Sealed calls over an oslo.messaging transport, with everything that must be dropped."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from tests.functional.rpc.conftest import Ring
from tests.stores import add_version
from trove_ng.common.context import RequestContext
from trove_ng.common.crypto import SecretBox
from trove_ng.common.errors import Conflict, GuestError, GuestTimeout, NotFound, NotSupported
from trove_ng.common.secret import Secret
from trove_ng.db.models import Instance
from trove_ng.db.repositories import instance_keys
from trove_ng.db.session import Database
from trove_ng.rpc import keys, messages
from trove_ng.rpc.endpoint import Caller, Endpoint, Method
from trove_ng.rpc.guest import GuestClient, topic
from trove_ng.rpc.transport import SecureClient, start_server

INSTANCE = "11111111-2222-3333-4444-555555555555"


class Spy:
    """A transport's client that keeps what was sent instead of sending it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def cast(self, _context: dict[str, Any], _method: str, envelope: dict[str, Any]) -> None:
        self.sent.append(envelope)


@pytest.fixture
def provider() -> Ring:
    return Ring({INSTANCE: ["g" * 32], "other": ["o" * 32]})


def _list(caller: Caller, page: messages.PageRequest) -> messages.DatabasePage:
    assert caller.party == keys.API
    assert caller.context is not None
    return messages.DatabasePage(databases=[messages.DatabaseSpec(
        name=f"of-{caller.context.project_id}-{page.limit}")])


def _create(_caller: Caller, request: messages.DatabasesRequest) -> messages.Empty:
    if request.databases[0].name == "taken":
        raise Conflict("Database taken exists.")
    raise RuntimeError("the password is hunter2")


def _enable(_caller: Caller, request: messages.RootRequest) -> messages.UserSpec:
    return messages.UserSpec(name="root", password=request.password)


def _slow(_caller: Caller, _request: messages.Empty) -> messages.Flag:
    time.sleep(2)
    return messages.Flag(value=True)


TABLE = {
    "list_databases": Method(messages.PageRequest, messages.DatabasePage, _list),
    "create_databases": Method(messages.DatabasesRequest, messages.Empty, _create),
    "enable_root": Method(messages.RootRequest, messages.UserSpec, _enable),
    "is_root_enabled": Method(messages.Empty, messages.Flag, _slow),
}


@pytest.fixture
def endpoint(conf: cfg.ConfigOpts, transport: Any, provider: Ring) -> Iterator[Endpoint]:
    made = Endpoint(TABLE, keys.guest(INSTANCE), Ring({INSTANCE: provider.guests[INSTANCE]}),
                    conf.rpc_message_max_age)
    server = start_server(conf, transport, topic(INSTANCE), "one", made)
    yield made
    server.stop()
    server.wait()


@pytest.fixture
def client(conf: cfg.ConfigOpts, transport: Any, provider: Ring) -> GuestClient:
    return GuestClient(conf, transport, provider, keys.API, INSTANCE,
                       RequestContext(project_id="demo"))


def sealed(transport: Any, provider: keys.Keys, now: float | None = None,
           peer: str = keys.guest(INSTANCE)) -> dict[str, Any]:
    """Return the envelope of a valid call."""
    sender = SecureClient(transport, "t", provider, keys.API, peer,
                          now=lambda: time.time() if now is None else now)
    spy = Spy()
    sender._client = spy
    sender.cast("list_databases", messages.PageRequest(limit=1), RequestContext("demo"))
    return spy.sent[0]


def test_a_call_reaches_the_handler_with_its_context(
        endpoint: Endpoint, client: GuestClient) -> None:
    page = client.list_databases(messages.PageRequest(limit=7))
    assert [item.name for item in page.databases] == ["of-demo-7"]


def test_secrets_cross_and_nothing_of_the_message_is_readable(
        endpoint: Endpoint, client: GuestClient, transport: Any, provider: Ring) -> None:
    made = client.enable_root(messages.RootRequest(password=Secret("hunter2")))
    assert made.password == Secret("hunter2")
    shown = str(sealed(transport, provider))
    assert "list_databases" not in shown
    assert "demo" not in shown


def test_an_error_crosses_as_what_it_is(endpoint: Endpoint, client: GuestClient) -> None:
    with pytest.raises(Conflict, match="Database taken exists"):
        client.create_databases([messages.DatabaseSpec(name="taken")])


def test_an_unexpected_error_crosses_without_its_text(
        endpoint: Endpoint, client: GuestClient) -> None:
    with pytest.raises(GuestError) as caught:
        client.create_databases([messages.DatabaseSpec(name="x")])
    assert "hunter2" not in str(caught.value)
    assert "RuntimeError" in str(caught.value)


def test_an_unknown_method_is_told(endpoint: Endpoint, client: GuestClient) -> None:
    with pytest.raises(NotSupported, match="disable_root"):
        client.disable_root()


def test_no_answer_in_time_is_a_timeout_that_names_method_and_instance(
        endpoint: Endpoint, client: GuestClient, conf: cfg.ConfigOpts) -> None:
    conf.set_override("guest_call_timeout", 1)
    with pytest.raises(GuestTimeout, match=f"{INSTANCE} did not answer is_root_enabled"):
        client.is_root_enabled()


def test_an_instance_without_a_key_is_not_called(
        conf: cfg.ConfigOpts, transport: Any, provider: Ring) -> None:
    with pytest.raises(NotFound):
        GuestClient(conf, transport, provider, keys.API, "gone").rpc_ping()


@pytest.mark.parametrize("junk", [
    None, "text", [], {}, {"method": "list_databases", "args": {"limit": 1}}, {"v": 1}])
def test_plaintext_is_dropped(endpoint: Endpoint, junk: Any) -> None:
    assert endpoint.invoke(junk) is None
    assert endpoint.refused.counts["plaintext"] == 1


@pytest.mark.parametrize(("field", "value", "reason"), [
    ("from", keys.TASKMANAGER, "forged"),
    ("to", keys.guest("other"), "misdirected"),
    ("kid", "00" * 8, "unknown-key"),
    ("body", "AAAA", "forged"),
    ("nonce", "AAAAAAAAAAAAAAAA", "forged"),
    ("body", "not base64!", "forged"),
])
def test_a_changed_envelope_is_dropped(
        endpoint: Endpoint, transport: Any, provider: Ring,
        field: str, value: str, reason: str) -> None:
    changed = {**copy.deepcopy(sealed(transport, provider)), field: value}
    assert endpoint.invoke(changed) is None
    assert dict(endpoint.refused.counts) == {reason: 1}


def test_another_guest_cannot_speak_for_the_control_plane(
        endpoint: Endpoint, transport: Any) -> None:
    liar = Ring({INSTANCE: ["o" * 32]})
    assert endpoint.invoke(sealed(transport, liar)) is None
    assert endpoint.refused.counts["unknown-key"] == 1


def test_a_replay_is_dropped(endpoint: Endpoint, transport: Any, provider: Ring) -> None:
    envelope = sealed(transport, provider)
    assert endpoint.invoke(envelope) is not None
    assert endpoint.invoke(envelope) is None
    assert endpoint.refused.counts["replayed"] == 1


@pytest.mark.parametrize("age", [301, -301])
def test_a_stale_message_is_dropped(
        endpoint: Endpoint, transport: Any, provider: Ring, age: float) -> None:
    assert endpoint.invoke(sealed(transport, provider, time.time() - age)) is None
    assert endpoint.refused.counts["stale"] == 1


def test_an_old_key_is_understood_while_it_is_listed(
        endpoint: Endpoint, transport: Any, provider: Ring) -> None:
    endpoint._keys.guests[INSTANCE] = ["n" * 32, "g" * 32]  # type: ignore[attr-defined]
    assert endpoint.invoke(sealed(transport, provider)) is not None
    endpoint._keys.guests[INSTANCE] = ["n" * 32]  # type: ignore[attr-defined]
    assert endpoint.invoke(sealed(transport, provider)) is None


def test_an_answer_that_belongs_to_another_request_is_refused(
        endpoint: Endpoint, client: GuestClient, transport: Any, provider: Ring) -> None:
    old = endpoint.invoke(sealed(transport, provider))

    class Replayer:
        def prepare(self, **_kwargs: Any) -> Replayer:
            return self

        def call(self, *_args: Any, **_kwargs: Any) -> Any:
            return old

    client._client._client = Replayer()
    with pytest.raises(GuestTimeout, match="no valid answer"):
        client.list_databases(messages.PageRequest(limit=1))


def test_a_key_is_used_as_soon_as_it_is_made(transport: Any, database: Database) -> None:
    """That there was none is remembered, which keeps forged messages from the store."""
    with database.writer() as session:
        add_version(session)
        session.add(Instance(id=INSTANCE, name="db", tenant_id="t", flavor_id="1",
                             datastore_version_id="v"))
    box = SecretBox(["a-secret-for-tests"], instance_keys.PURPOSE)
    known = instance_keys.StoreKeys(database, box, ["k" * 32])
    with pytest.raises(NotFound, match="no key"):
        sealed(transport, known)
    with database.writer() as session:
        instance_keys.create(session, box, INSTANCE)
    assert sealed(transport, known)
