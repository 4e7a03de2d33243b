"""What a server shows its clients: changes, repeats, and the ways back."""

from __future__ import annotations

import os
import pathlib

import msgspec
import pytest

from trove_ng.common.clock import utcnow
from trove_ng.common.errors import BadRequest, UnprocessableEntity
from trove_ng.domain.certificates import Authority, create_authority, describe
from trove_ng.guestagent.tls import TlsStore
from trove_ng.rpc.tls_messages import TlsEntry, TlsRequest


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "tls"


@pytest.fixture
def store(folder: pathlib.Path) -> TlsStore:
    return TlsStore(lambda: folder, "")


AUTHORITY = Authority(*create_authority("Tests", 2, utcnow()))


def wanted(operation: str, mode: str | None = "basic") -> TlsRequest:
    """Return a request whose certificate has the operation's name."""
    if mode is None:
        return TlsRequest(operation_id=operation, step="tls")
    made = AUTHORITY.issue(operation, [], 1, utcnow())
    return TlsRequest(operation_id=operation, step="tls", mode=mode, key=made.key,
                      certificate=made.certificate, authority=made.authority)


def shown(store: TlsStore) -> tuple[str, str] | None:
    """Return mode and name of the certificate in force."""
    found = store.in_force()
    return None if found is None else (
        found.mode, describe(found.certificate.read_text()).common_name)


def test_a_new_server_speaks_no_tls(store: TlsStore) -> None:
    assert store.in_force() is None
    assert store.state().current == TlsEntry()
    assert store.state().previous is None
    with pytest.raises(UnprocessableEntity, match="Nothing was in force before"):
        store.roll_back("op")


def test_a_certificate_is_put_in_force_below_one_path(
        store: TlsStore, folder: pathlib.Path) -> None:
    one, two = wanted("one"), wanted("two", "enforced")
    store.change(one)
    first = store.in_force()
    store.change(two)
    second = store.in_force()
    assert first is not None and second is not None
    assert first[1:] == second[1:]
    assert (second.mode, second.strict, first.strict) == ("enforced", True, False)
    assert two.key is not None
    assert [path.read_text() for path in second[1:]] == [
        two.certificate, two.key.reveal(), two.authority]
    assert {path.stat().st_mode & 0o777 for path in second[1:]} == {0o640}
    assert store.state().previous == TlsEntry(
        mode="basic", certificate=one.certificate, authority=one.authority)
    assert "PRIVATE" not in repr(store.state())


def test_a_mode_needs_all_three_texts(store: TlsStore) -> None:
    with pytest.raises(BadRequest, match="needs a certificate, its key"):
        store.change(TlsRequest(operation_id="op", step="tls", mode="basic"))
    assert store.in_force() is None


def test_a_repeat_changes_nothing(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    store.change(msgspec.structs.replace(wanted("another"), operation_id="two"))
    assert shown(store) == ("basic", "two")
    store.roll_back("three")
    store.roll_back("three")
    assert shown(store) == ("basic", "one")


def test_the_way_back_leads_back_again(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("off", None))
    assert shown(store) is None
    store.roll_back("back")
    assert shown(store) == ("basic", "one")
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
    assert shown(store) == ("basic", "two")
    store.change(wanted("three"))
    store.undo("three")
    store.undo("three")
    assert shown(store) == ("basic", "two")
    before = store.state().previous
    assert before is not None and describe(before.certificate).common_name == "one"


def test_a_way_back_can_be_undone_too(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    store.roll_back("back")
    store.undo("back")
    store.undo("back")
    assert shown(store) == ("basic", "two")
    store.roll_back("again")
    assert shown(store) == ("basic", "one")


def test_an_undo_that_was_cut_off_is_done_again(
        store: TlsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "symlink", die)
        store.undo("two")
    store.undo("two")
    assert shown(store) == ("basic", "one")


def test_what_no_server_takes_is_refused_before_anything_is_changed(
        store: TlsStore, folder: pathlib.Path) -> None:
    store.change(wanted("one"))
    good, other = wanted("two"), wanted("other")
    for bad in (msgspec.structs.replace(good, key=other.key),
                msgspec.structs.replace(good, certificate="none"),
                msgspec.structs.replace(good, authority="none")):
        with pytest.raises(BadRequest, match="cannot be used by a server"):
            store.change(bad)
    assert shown(store) == ("basic", "one")
    assert not (folder / "two").exists()


def die(*_args: object) -> None:
    raise KeyboardInterrupt


def test_what_was_cut_off_is_done_again(store: TlsStore, folder: pathlib.Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    store.change(wanted("one"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "symlink", die)
        store.change(wanted("two"))
    store.change(wanted("two"))
    assert shown(store) == ("basic", "two")


def test_keys_that_nobody_goes_back_to_are_removed(
        store: TlsStore, folder: pathlib.Path) -> None:
    for number in range(5):
        store.change(wanted(f"op{number}"))
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "live", "op2", "op3", "op4"}
    store.forget()
    assert not folder.exists()
    assert store.in_force() is None


def renewal(operation: str) -> TlsRequest:
    return msgspec.structs.replace(wanted(operation), renewal=True)


def test_a_renewal_takes_the_place_of_the_one_before(
        store: TlsStore, folder: pathlib.Path) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    store.change(renewal("three"))
    store.change(renewal("three"))
    assert shown(store) == ("basic", "three")
    store.change(renewal("four"))
    assert {one.name for one in folder.iterdir() if one.is_dir()} == {
        "one", "three", "four", "live"}
    store.roll_back("back")
    assert shown(store) == ("basic", "one")
    store.roll_back("again")
    assert shown(store) == ("basic", "four")


def test_a_renewal_is_undone(store: TlsStore) -> None:
    store.change(wanted("one"))
    store.change(wanted("two"))
    store.change(renewal("three"))
    store.undo("three")
    store.undo("three")
    assert shown(store) == ("basic", "two")
    before = store.state().previous
    assert before is not None and describe(before.certificate).common_name == "one"


def test_what_a_source_is_verified_with_outlives_changes(
        store: TlsStore, folder: pathlib.Path) -> None:
    assert store.trust("") is None
    assert store.trusted is None
    for text in ("PEM", "another"):
        place = store.trust(text)
        assert place == store.trusted == folder / "source.pem"
        assert place.read_text() == text
        assert place.stat().st_mode & 0o777 == 0o640
    for operation, mode in (("one", "basic"), ("off", None)):
        store.change(wanted(operation, mode))
        assert store.trusted is not None
    assert store.trust("") is None
    assert not (folder / "source.pem").exists()
    # the data of another server forget whom that followed
    store.trust("PEM")
    store.forget()
    assert store.trusted is None
