"""What is stored compressed and encrypted comes back, or the damage is told of the right thing."""

from __future__ import annotations

import base64
import io
import os
import pathlib
import threading

import msgspec
import pytest

from tests.unit.guestagent.storage.object_server import QUICK, ObjectServer, grant
from trove_ng.common.secret import Secret
from trove_ng.guestagent.storage import packing, swift, upload
from trove_ng.guestagent.storage.http import DamagedBackup
from trove_ng.rpc.messages import StoredBackup

KEY = Secret(base64.urlsafe_b64encode(bytes(range(32))).decode())
#: more than is read at once, several times
CONTENT = os.urandom(10_000_000)


def packed(store: ObjectServer, key: Secret | None, scratch: pathlib.Path) -> StoredBackup:
    writer = upload.SegmentWriter(grant(store), 1_000_000, scratch, patience=QUICK)
    packer = packing.Packer(writer, key)
    packer.write(CONTENT)
    packer.finish()
    return StoredBackup(
        strategy="s", segments=writer.segments, size=writer.stored, data_size=packer.read,
        checksum=swift.checksum(writer.segments))


@pytest.mark.parametrize("key", [None, KEY])
def test_what_was_packed_is_unpacked(
        store: ObjectServer, key: Secret | None, tmp_path: pathlib.Path) -> None:
    backup, sink, seen = packed(store, key, tmp_path), io.BytesIO(), list[int]()
    assert len(backup.segments) == 11
    store.breaks = [400_000, 600_000]
    packing.unpack(backup, grant(store), key, sink, QUICK, passed=seen.append)
    assert sink.getvalue() == CONTENT
    assert 0.99 * backup.size < sum(seen) <= backup.size
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("number", [0, 4, 10])
def test_changed_data_are_told_of_their_segment(
        store: ObjectServer, key: Secret | None, number: int, tmp_path: pathlib.Path) -> None:
    backup, sink = packed(store, key, tmp_path), io.BytesIO()
    name = backup.segments[number].name
    content = bytearray(store.objects[name])
    content[len(content) // 2] ^= 1
    store.objects[name] = bytes(content)
    with pytest.raises(DamagedBackup, match=f"checksum of {name} is wrong"):
        packing.unpack(backup, grant(store), key, sink, QUICK)
    # random data are not compressed: nothing behind the changed byte went on
    assert CONTENT.startswith(sink.getvalue()) or key is None


class Closed(io.BytesIO):
    """Takes some data only."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.tell() > 3_000_000:
            raise BrokenPipeError
        return super().write(data)


def test_a_sink_that_ends_is_told_as_such(store: ObjectServer, tmp_path: pathlib.Path) -> None:
    backup = packed(store, None, tmp_path)
    with pytest.raises(BrokenPipeError):
        packing.unpack(backup, grant(store), None, Closed(), QUICK)
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]
    # the end was not read for it
    assert not [one for one in store.requests if one[0] == "GET" and one[1].endswith("11")]


def test_more_than_was_recorded_is_not_passed_on(
        store: ObjectServer, tmp_path: pathlib.Path) -> None:
    backup, sink = packed(store, None, tmp_path), io.BytesIO()
    small = msgspec.structs.replace(backup, data_size=5_000_000)
    with pytest.raises(DamagedBackup, match="more than was recorded"):
        packing.unpack(small, grant(store), None, sink, QUICK)
    assert len(sink.getvalue()) <= 5_000_000


def test_who_gives_up_is_heard_while_the_store_is_read(
        store: ObjectServer, tmp_path: pathlib.Path) -> None:
    backup, asked = packed(store, None, tmp_path), list[int]()

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError):
        packing.unpack(backup, grant(store), None, io.BytesIO(), QUICK, check=check)
