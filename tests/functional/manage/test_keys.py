"""Commands about keys, on a real store, with an agent on the bus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.manage.conftest import Operator
from tests.stores import add_version
from trove_ng.common.crypto import SecretBox
from trove_ng.common.states import BackupState
from trove_ng.db.models import Backup, Instance, Module
from trove_ng.db.repositories import instance_keys
from trove_ng.db.repositories.sealed import BACKUPS
from trove_ng.db.session import Database
from trove_ng.guestagent.keys import AgentKeys
from trove_ng.operations import modules
from trove_ng.rpc import guest, keys, messages
from trove_ng.rpc.endpoint import Endpoint, Method
from trove_ng.rpc.transport import get_transport, start_server


@pytest.fixture
def born_with(operator: Operator, database: Database) -> dict[str, str]:
    """Instance id → the key it was made with; two live ones and a deleted one."""
    operator.conf.set_override("guest_call_timeout", 1)
    get_transport(operator.conf, "fake://")  # registers the option
    operator.conf.set_override("transport_url", "fake://")
    box = SecretBox(operator.conf.inst_rpc_key_encr_key, instance_keys.PURPOSE)
    with database.writer() as session:
        add_version(session)
        for ident in ("up", "down", "deleted"):
            session.add(Instance(id=ident, name=ident, tenant_id="t", flavor_id="1",
                                 datastore_version_id="v", deleted=ident == "deleted"))
            session.flush()
        return {ident: instance_keys.create(session, box, ident)
                for ident in ("up", "down", "deleted")}


@pytest.fixture
def agent(operator: Operator, born_with: dict[str, str],
          tmp_path: Path) -> Iterator[AgentKeys]:
    """The keys of the agent of ``up``, which listens."""
    mine = AgentKeys([born_with["up"]], "up", tmp_path / "keys.json")
    server = start_server(
        operator.conf, get_transport(operator.conf), guest.topic("up"), "up", Endpoint(
            {"change_key": Method(messages.KeyRequest, messages.Empty,
                                  lambda _caller, request: mine.change(request))},
            keys.guest("up"), mine, 300))
    yield mine
    server.stop()
    server.wait()


def test_guests_get_new_keys_and_those_that_do_not_answer_are_named(
        operator: Operator, born_with: dict[str, str], agent: AgentKeys) -> None:
    assert "1 guests keep their keys" in operator.fails("instance_keys_rotate")
    first, last = operator.said
    assert first.startswith("down: guest:down did not answer change_key")
    assert last.startswith("1 of 2 guests use a new key; the old one is refused in 900")
    assert agent.secrets("up")[0] != born_with["up"]
    assert agent.secrets("up")[1] == born_with["up"]
    assert not any(born_with["up"] in line or agent.secrets("up")[0] in line
                   for line in operator.said)


def test_one_guest_is_chosen_by_its_id(operator: Operator, agent: AgentKeys) -> None:
    said = operator.does("instance_keys_rotate", "--instance", "up", "--grace", "300")
    assert said == ["1 of 1 guests use a new key; the old one is refused in 300 seconds"]
    assert "keep their keys" in operator.fails("instance_keys_rotate", "--instance", "up")
    assert "understood until" in operator.said[0]


def test_keys_are_shown_by_name_with_what_is_sealed(
        operator: Operator, born_with: dict[str, str]) -> None:
    old, = operator.conf.inst_rpc_key_encr_key
    operator.conf.set_override("inst_rpc_key_encr_key", ["the-next-one", old])
    said = operator.does("keys_show")
    assert [line.split("  ")[-1] for line in said[2:]] == [
        "0 keys of guests, 0 keys of backups, secrets of 0 operations, 0 modules",
        "3 keys of guests, 0 keys of backups, secrets of 0 operations, 0 modules"]
    assert not any(old in line or "the-next-one" in line for line in said)
    operator.does("instance_keys_reseal")
    assert operator.does("keys_show")[2].endswith(
        "3 keys of guests, 0 keys of backups, secrets of 0 operations, 0 modules")
    operator.conf.set_override("inst_rpc_key_encr_key", [old])
    assert "3 rows are sealed with a key that is not configured" in operator.fails("keys_show")


def test_another_key_is_no_change_of_a_backup(operator: Operator, database: Database) -> None:
    old, = operator.conf.inst_rpc_key_encr_key
    new = "the-next-one"
    with database.writer() as session:
        session.add(Backup(
            id="b", name="b", tenant_id="t", state=BackupState.COMPLETED, sealed_key=SecretBox(
                [old], instance_keys.PURPOSE).seal("key", BACKUPS.bound("b"))))
        session.flush()
        before = session.get_one(Backup, "b").updated
    operator.conf.set_override("inst_rpc_key_encr_key", [new, old])
    assert "1 keys of backups" in operator.does("instance_keys_reseal")[-2]
    with database.reader() as session:
        row = session.get_one(Backup, "b")
        assert SecretBox([new], instance_keys.PURPOSE).open(
            row.sealed_key or "", BACKUPS.bound("b")) == "key"
        # lists are ordered by it
        assert row.updated == before


def test_the_contents_of_modules_are_sealed_with_new_keys(
        operator: Operator, database: Database) -> None:
    conf = operator.conf
    with database.writer() as session:
        session.add(Module(id="m", name="m", type="ping", md5="0" * 32,
                           contents=modules.box(conf).seal("text", "m")))
        session.flush()
        before = session.get(Module, "m").updated
    old, = conf.inst_rpc_key_encr_key
    # neither without a key of their own ..
    conf.set_override("inst_rpc_key_encr_key", ["the-next-one", old])
    assert operator.does("keys_show")[3].endswith(" 1 modules")
    assert operator.does("instance_keys_reseal")[-1] == (
        "1 modules are sealed with the newest inst_rpc_key_encr_key")
    conf.set_override("inst_rpc_key_encr_key", ["the-next-one"])
    # .. nor with one
    conf.set_override("module_aes_cbc_key", ["modules-own"])
    assert [line.split("  ")[-1] for line in operator.does("keys_show")[-2:]] == [
        "0 keys of guests, 0 keys of backups, secrets of 0 operations, 1 modules",
        "0 modules"]
    assert operator.does("instance_keys_reseal")[-1] == (
        "1 modules are sealed with the newest module_aes_cbc_key")
    conf.set_override("inst_rpc_key_encr_key", ["another"])
    with database.reader() as session:
        row = session.get(Module, "m")
        assert modules.box(conf).open(row.contents, "m") == "text"
        assert row.updated == before
    conf.set_override("module_aes_cbc_key", [])
    assert "1 rows are sealed with a key that is not configured" in operator.fails("keys_show")
    assert "A key cannot be read" in operator.fails("instance_keys_reseal")
