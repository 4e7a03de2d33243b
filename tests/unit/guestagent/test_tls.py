"""What a server shows its clients: changes, repeats, and the ways back."""

from __future__ import annotations

import os
import pathlib

import pytest

from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.common.secret import Secret
from trove_ng.guestagent.tls import TlsStore
from trove_ng.rpc.tls_messages import TlsEntry, TlsRequest


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "tls"


@pytest.fixture
def store(folder: pathlib.Path) -> TlsStore:
    return TlsStore(lambda: folder, "")


def wanted(operation: str, mode: str | None = "basic") -> TlsRequest:
    if mode is None:
        return TlsRequest(operation_id=operation, step="tls")
    return TlsRequest(
        operation_id=operation, step="tls", mode=mode, certificate=f"certificate {operation}",
        key=Secret(f"key {operation}"), authority=f"authority {operation}")


def shown(store: TlsStore) -> tuple[str, str] | None:
    found = store.in_force()
    return None if found is None else (found.mode, found.certificate.read_text())


def test_a_new_server_speaks_no_tls(store: TlsStore) -> None:
    assert store.in_force() is None
    assert store.state().current == TlsEntry()
    assert store.state().previous is None
    with pytest.raises(UnprocessableEntity, match="Nothing was in force before"):
        store.roll_back("op")


def test_a_certificate_is_put_in_force_below_one_path(
        store: TlsStore, folder: pathlib.Path) -> None:
    store.change(wanted("one"))
    first = store.in_force()
    store.change(wanted("two", "enforced"))
    second = store.in_force()
    assert first is not None and second is not None
    assert first[1:] == second[1:]
    assert (second.mode, second.strict, first.strict) == ("enforced", True, False)
    assert [path.read_text() for path in second[1:]] == [
        "certificate two", "key two", "authority two"]
    assert {path.stat().st_mode & 0o777 for path in second[1:]} == {0o640}
    assert store.state().previous == TlsEntry(
        mode="basic", certificate="certificate one", authority="authority one")
    assert "key" not in repr(store.state())


def test_a_mode_needs_all_three_texts(store: TlsStore) -> None:
    with pytest.raises(BadRequest, match="needs a certificate, its key"):
        store.change(TlsRequest(operation_id="op", step="tls", mode="basic"))
    assert store.in_force() is None


def test_a_repeat_changes_nothing(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    again = TlsRequest(operation_id="two", step="tls", mode="basic", certificate="another",
                       key=Secret("k"), authority="a")
    store.change(again)
    assert shown(store) == ("basic", "certificate two")
    store.roll_back("three")
    store.roll_back("three")
    assert shown(store) == ("basic", "certificate one")


def test_the_way_back_leads_back_again(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("off", None))
    assert shown(store) is None
    store.roll_back("back")
    assert shown(store) == ("basic", "certificate one")
    store.roll_back("again")
    assert shown(store) is None


def test_before_the_first_change_there_was_no_tls(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.roll_back("back")
    assert shown(store) is None


def test_undoing_takes_back_what_the_operation_did_and_nothing_else(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    store.undo("never begun")
    assert shown(store) == ("basic", "certificate two")
    store.change(wanted("three"))
    store.undo("three")
    store.undo("three")
    assert shown(store) == ("basic", "certificate two")
    before = store.state().previous
    assert before is not None and before.certificate == "certificate one"


def test_what_was_cut_off_is_done_again(store: TlsStore, folder: pathlib.Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    store.change(wanted("one"))

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "symlink", die)
        store.change(wanted("two"))
    store.change(wanted("two"))
    assert shown(store) == ("basic", "certificate two")


def test_keys_that_nobody_goes_back_to_are_removed(
        store: TlsStore, folder: pathlib.Path) -> None:
    for number in range(5):
        store.change(wanted(f"op{number}"))
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "live", "op2", "op3", "op4"}
    store.forget()
    assert not folder.exists()
    assert store.in_force() is None
