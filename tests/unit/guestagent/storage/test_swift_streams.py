"""Segments that go to and come from an object store whose connections break."""

from __future__ import annotations

import hashlib
import http.client
import threading
from typing import Any

import msgspec
import pytest

from tests.unit.guestagent.storage.object_server import QUICK, Fault, ObjectServer, grant
from trove_ng.guestagent.storage import swift, upload
from trove_ng.guestagent.storage.http import DamagedBackup, Patience, SeemsDamaged, StorageError
from trove_ng.rpc.messages import Segment, StoredBackup


def writing(store: ObjectServer, size: int = 1000, **more: Any) -> upload.SegmentWriter:
    return upload.SegmentWriter(grant(store), size, store.scratch, patience=QUICK, **more)


def stored(store: ObjectServer, content: bytes, size: int = 1000) -> StoredBackup:
    writer = writing(store, size)
    writer.write(content)
    writer.close()
    return StoredBackup(strategy="s", segments=writer.segments, size=writer.stored,
                        checksum=swift.checksum(writer.segments))


CONTENT = bytes(range(256)) * 10


def test_what_is_written_is_cut_into_segments_and_read_again(store: ObjectServer) -> None:
    backup = stored(store, CONTENT)
    assert [one.size for one in backup.segments] == [1000, 1000, 560]
    assert list(store.objects) == [one.name for one in backup.segments]
    assert backup.segments[0].sha256 == hashlib.sha256(CONTENT[:1000]).hexdigest()
    assert backup.segments[0].md5 == hashlib.md5(CONTENT[:1000]).hexdigest()
    assert b"".join(swift.read(backup, grant(store), QUICK)) == CONTENT


def test_nothing_is_sent_beyond_the_end_of_a_segment(
        store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is sent more than was announced may break the connection."""
    bodies: list[int] = []
    send = http.client.HTTPConnection.send

    def count(self: http.client.HTTPConnection, data: Any) -> None:
        if not bytes(data).startswith(b"PUT "):
            bodies.append(len(data))
        send(self, data)

    monkeypatch.setattr(http.client.HTTPConnection, "send", count)
    backup = stored(store, CONTENT)
    assert bodies == [one.size for one in backup.segments] == [1000, 1000, 560]


def test_small_writes_fill_a_segment_exactly(store: ObjectServer) -> None:
    writer = writing(store)
    for start in range(0, 2000, 7):
        writer.write(CONTENT[start:min(start + 7, 2000)])
    writer.close()
    assert [one.size for one in writer.segments] == [1000, 1000]
    assert b"".join(store.objects.values()) == CONTENT[:2000]


def test_nothing_written_stores_nothing(store: ObjectServer) -> None:
    writer = writing(store)
    writer.write(b"")
    writer.close()
    assert writer.segments == []
    assert store.requests == []


def test_a_broken_connection_is_continued_where_it_broke(store: ObjectServer) -> None:
    backup = stored(store, CONTENT, 10_000)
    store.requests.clear()
    store.breaks = [700, 0, 300]
    assert b"".join(swift.read(backup, grant(store), QUICK)) == CONTENT
    assert [wanted for _, _, wanted in store.requests] == [
        None, "bytes=700-", "bytes=700-", "bytes=1000-"]


def test_a_store_that_gives_no_more_is_given_up(store: ObjectServer) -> None:
    backup = stored(store, CONTENT, 10_000)
    store.breaks = [700, *[0] * 50]
    got = bytearray()
    with pytest.raises(StorageError, match="does not give"):
        for piece in swift.read(backup, grant(store), QUICK):
            got += piece
    assert got == CONTENT[:700]


def test_a_store_without_ranges_does_not_repeat_data(store: ObjectServer) -> None:
    backup = stored(store, CONTENT, 10_000)
    store.breaks, store.ignore_range = [700], True
    got = bytearray()
    with pytest.raises(StorageError):
        for piece in swift.read(backup, grant(store), QUICK):
            got += piece
    assert got == CONTENT[:700]


@pytest.mark.parametrize("damage", ["flip", "longer", "shorter"])
def test_a_segment_that_changed_is_found(store: ObjectServer, damage: str) -> None:
    backup = stored(store, CONTENT)
    name = backup.segments[1].name
    content = store.objects[name]
    store.objects[name] = {"flip": bytes([content[0] ^ 1]) + content[1:],
                           "longer": content + b"x", "shorter": content[:-1]}[damage]
    with pytest.raises(StorageError, match=name):
        list(swift.read(backup, grant(store), QUICK))


def test_another_list_of_segments_is_refused_before_anything_is_read(
        store: ObjectServer) -> None:
    backup = stored(store, CONTENT)
    store.requests.clear()
    swapped = msgspec.structs.replace(backup, segments=backup.segments[::-1])
    with pytest.raises(StorageError, match="list of segments"):
        list(swift.read(swapped, grant(store), QUICK))
    assert store.requests == []


def test_a_refused_grant_ends_it_at_once_and_is_not_shown(store: ObjectServer) -> None:
    backup = stored(store, CONTENT)
    store.requests.clear()
    with pytest.raises(StorageError, match="401") as caught:
        list(swift.read(backup, grant(store, "sig=stale"), QUICK))
    assert len(store.requests) == 1
    assert "sig" not in str(caught.value)


def test_an_object_that_arrived_otherwise_fails(store: ObjectServer) -> None:
    store.etag = "0" * 32
    with pytest.raises(StorageError, match="other data"):
        stored(store, CONTENT)


@pytest.mark.parametrize("after", [0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize(("status", "why"), [
    (413, "quota"), (507, "is full"), (401, "expired"), (404, "does not exist")])
def test_the_answer_of_a_store_that_refuses_is_told_at_once(
        store: ObjectServer, after: float, status: int, why: str) -> None:
    store.put_faults = [None, Fault(after, status)]
    with pytest.raises(StorageError, match=rf"{status} to backup_1/00000002: .*{why}") as caught:
        stored(store, CONTENT)
    assert "sig" not in str(caught.value)
    assert [name for _, name, _ in store.requests] == ["backup_1/00000001", "backup_1/00000002"]
    assert list(store.objects) == ["backup_1/00000001"]


@pytest.mark.parametrize("after", [0, 0.01, 0.5, 0.99, None])
@pytest.mark.parametrize("status", [None, 500, 503, 408])
def test_a_segment_that_broke_is_sent_again_under_its_name(
        store: ObjectServer, after: float | None, status: int | None) -> None:
    store.put_faults = [None, Fault(after, status), Fault(after, status)]
    backup = stored(store, CONTENT)
    assert [name[-1] for _, name, _ in store.requests] == ["1", "2", "2", "2", "3"]
    assert b"".join(swift.read(backup, grant(store), QUICK)) == CONTENT


def test_a_store_that_takes_nothing_is_given_up(store: ObjectServer) -> None:
    store.put_faults = [Fault(0.5) for _ in range(9)]
    with pytest.raises(StorageError, match="did not take backup_1/00000001 in 4 attempts"):
        stored(store, CONTENT)
    assert len(store.requests) == 4
    assert store.objects == {}


def test_a_store_that_hangs_costs_an_attempt(store: ObjectServer) -> None:
    end = threading.Event()
    store.put_faults = [Fault(1, hang=end)]
    try:
        backup = stored(store, CONTENT)
    finally:
        end.set()
    assert b"".join(swift.read(backup, grant(store), QUICK)) == CONTENT


def test_who_writes_may_give_up_while_the_store_hangs(store: ObjectServer) -> None:
    end = threading.Event()
    store.put_faults = [Fault(1, hang=end)]

    def given_up() -> None:
        raise InterruptedError("enough")

    writer = upload.SegmentWriter(
        grant(store), 1000, store.scratch, check=given_up, patience=Patience(silence=60))
    try:
        with pytest.raises(InterruptedError):
            writer.write(CONTENT)
        writer.abort()  # would wait a minute if it did not wake the sender
    finally:
        end.set()
    assert list(store.scratch.iterdir()) == []


def test_a_segment_is_written_while_the_one_before_waits_for_the_store(
        store: ObjectServer) -> None:
    end = threading.Event()
    store.put_faults = [Fault(1, hang=end)]
    writer = upload.SegmentWriter(grant(store), 1000, store.scratch,
                                  patience=Patience(silence=60, first_wait=0.01))
    # neither of the two waits for the store
    writer.write(CONTENT[:1000])
    writer.write(CONTENT[1000:1999])
    end.set()
    writer.write(CONTENT[1999:])
    writer.close()
    assert b"".join(store.objects.values()) == CONTENT


def test_a_full_root_disk_fails_the_upload_and_says_so(store: ObjectServer) -> None:
    writer = writing(store)
    writer._filling.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(StorageError, match=r"root disk .*: no space left on device"):
        writer.write(CONTENT)
    writer.abort()
    assert store.objects == {}


@pytest.mark.parametrize(("limit", "expected", "free", "size"), [
    (2048, 10, 100_000, 64),            # a small backup: small segments
    (2048, 500_000, 100_000, 1000),     # a large one: not more than a manifest holds
    (2048, 5_000_000, 100_000, 2048),   # what the control plane wants is the most
    (2048, 500_000, 400, 100),          # a small disk
    (2048, 500_000, 0, 1)])             # a full one: it is tried
def test_a_segment_is_as_small_as_backup_and_disk_allow(
        limit: int, expected: int, free: int, size: int) -> None:
    mb = 1024 ** 2
    assert upload.segment_size(limit * mb, expected * mb, free * mb) == size * mb


def test_a_backup_has_no_more_segments_than_a_manifest_holds(
        store: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MOST_SEGMENTS", 2)
    with pytest.raises(StorageError, match="more than 2 segments"):
        stored(store, CONTENT)


@pytest.mark.parametrize("damage", ["flip", "longer", "cut", "empty", "missing", "swapped"])
def test_what_the_store_has_is_looked_at_before_anything_is_read(
        store: ObjectServer, damage: str) -> None:
    backup = stored(store, CONTENT)
    swift.verify(backup, grant(store), QUICK)
    name = backup.segments[1].name
    content = store.objects[name]
    if damage == "missing":
        del store.objects[name]
    else:
        store.objects[name] = {
            "flip": content[:-1] + b"!", "longer": content + b"x", "cut": content[:-1],
            "empty": b"", "swapped": store.objects[backup.segments[0].name]}[damage]
    store.requests.clear()
    with pytest.raises(SeemsDamaged, match=f"damaged: {name}"):
        swift.verify(backup, grant(store), QUICK)
    assert {method for method, _, _ in store.requests} == {"HEAD"}


def test_only_the_segments_of_some_bytes_are_checked(store: ObjectServer) -> None:
    backup = stored(store, CONTENT)
    name = backup.segments[1].name
    store.objects[name] = b"!" + store.objects[name][1:]
    store.requests.clear()
    for first, last in ((0, 999), (2000, 2559), (2559, 99999), (99999, 99999)):
        swift.check_segments_between(backup, grant(store), first, last, QUICK)
    for first, last in ((1000, 1000), (1999, 2000), (0, 2559)):
        with pytest.raises(DamagedBackup, match=f"checksum of {name}") as caught:
            swift.check_segments_between(backup, grant(store), first, last, QUICK)
        assert not isinstance(caught.value, SeemsDamaged)
    assert [asked[-1] for _, asked, _ in store.requests] == ["1", "3", "3", "2", "2", "1", "2"]


@pytest.mark.parametrize("change", [
    {"segments": []}, {"size": 1}, {"checksum": "0" * 64}])
def test_a_damaged_record_is_refused_before_the_store_is_asked(
        store: ObjectServer, change: dict[str, Any]) -> None:
    damaged = msgspec.structs.replace(stored(store, CONTENT), **change)
    store.requests.clear()
    with pytest.raises(StorageError, match="damaged"):
        swift.verify(damaged, grant(store), QUICK)
    with pytest.raises(StorageError, match="damaged"):
        list(swift.read(damaged, grant(store), QUICK))
    assert store.requests == []


@pytest.mark.parametrize("size", [0, 999, 1001])
def test_a_record_with_another_name_md5_or_size_of_a_segment_is_found(
        store: ObjectServer, size: int) -> None:
    backup = stored(store, CONTENT)
    changes: tuple[dict[str, Any], ...] = (
        {"name": "backup_1/00000009"}, {"md5": "0" * 32})
    for change in changes:
        wrong = [msgspec.structs.replace(backup.segments[0], **change), *backup.segments[1:]]
        with pytest.raises(StorageError, match=wrong[0].name):
            swift.verify(msgspec.structs.replace(backup, segments=wrong), grant(store), QUICK)
    wrong = [msgspec.structs.replace(backup.segments[0], size=size), *backup.segments[1:]]
    damaged = msgspec.structs.replace(
        backup, segments=wrong, size=sum(one.size for one in wrong))
    with pytest.raises(StorageError, match="damaged: backup_1/00000001"):
        swift.verify(damaged, grant(store), QUICK)


def test_a_grant_for_reading_does_not_write(store: ObjectServer) -> None:
    read_only = msgspec.structs.replace(grant(store), put_query=None)
    with pytest.raises(StorageError, match="does not allow"):
        upload.SegmentWriter(read_only, 1000, store.scratch)
    with pytest.raises(StorageError, match="at least one byte"):
        upload.SegmentWriter(grant(store), 0, store.scratch)


def test_the_checksum_of_a_whole_depends_on_the_order() -> None:
    one, two = (Segment(name=str(number), size=1, md5="", sha256=str(number) * 64)
                for number in (1, 2))
    assert swift.checksum([one, two]) != swift.checksum([two, one])
    assert swift.checksum([one, two]) == hashlib.sha256(
        ("1" * 64 + "2" * 64).encode()).hexdigest()
