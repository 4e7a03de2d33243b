"""Segments that go to and come from an object store whose connections break."""

from __future__ import annotations

import hashlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from trove_ng.common.secret import Secret
from trove_ng.guestagent.storage import swift
from trove_ng.rpc.messages import ObjectStoreGrant, Segment, StoredBackup


class ObjectServer(ThreadingHTTPServer):
    """Holds objects; its faults are set by the test."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        #: bytes that an answer gives before its connection breaks, one per GET
        self.breaks: list[int] = []
        self.put_status = 201
        self.etag: str | None = None
        self.ignore_range = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/AUTH_t/c"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ObjectServer

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _object(self) -> tuple[str, str]:
        parts = urlsplit(self.path)
        return parts.path.removeprefix("/v1/AUTH_t/c/"), parts.query

    def do_PUT(self) -> None:  # noqa: N802
        name, query = self._object()
        self.server.requests.append(("PUT", name, None))
        if query != "sig=put" or self.server.put_status != 201:
            self.close_connection = True
            self._answer(401 if query != "sig=put" else self.server.put_status)
            return
        content = bytearray()
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.server.objects[name] = bytes(content)
        self._answer(201, etag=self.server.etag or hashlib.md5(content).hexdigest())

    def do_GET(self) -> None:  # noqa: N802
        name, query = self._object()
        wanted = self.headers.get("Range")
        self.server.requests.append(("GET", name, wanted))
        if query != "sig=get" or name not in self.server.objects:
            self._answer(401 if query != "sig=get" else 404)
            return
        start = 0
        if wanted and not self.server.ignore_range:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        content = self.server.objects[name][start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.server.breaks:
            content = content[:self.server.breaks.pop(0)]
            self.close_connection = True
        self.wfile.write(content)

    def _answer(self, status: int, etag: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()


@pytest.fixture
def store() -> Iterator[ObjectServer]:
    server = ObjectServer()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    socketserver.TCPServer.server_close(server)
    thread.join()


def grant(store: ObjectServer, query: str = "sig=") -> ObjectStoreGrant:
    return ObjectStoreGrant(
        container_url=store.url, prefix="backup_1/", get_query=Secret(f"{query}get"),
        put_query=Secret(f"{query}put"), expires_at=0)


def stored(store: ObjectServer, content: bytes, size: int = 1000) -> StoredBackup:
    writer = swift.SegmentWriter(grant(store), size)
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
    assert b"".join(swift.read(backup, grant(store))) == CONTENT


def test_small_writes_fill_a_segment_exactly(store: ObjectServer) -> None:
    writer = swift.SegmentWriter(grant(store), 1000)
    for start in range(0, 2000, 7):
        writer.write(CONTENT[start:min(start + 7, 2000)])
    writer.close()
    assert [one.size for one in writer.segments] == [1000, 1000]
    assert b"".join(store.objects.values()) == CONTENT[:2000]


def test_nothing_written_stores_nothing(store: ObjectServer) -> None:
    writer = swift.SegmentWriter(grant(store), 1000)
    writer.write(b"")
    writer.close()
    assert writer.segments == []
    assert store.requests == []


def test_a_broken_connection_is_continued_where_it_broke(store: ObjectServer) -> None:
    backup = stored(store, CONTENT, 10_000)
    store.requests.clear()
    store.breaks = [700, 0, 300]
    assert b"".join(swift.read(backup, grant(store))) == CONTENT
    assert [wanted for _, _, wanted in store.requests] == [
        None, "bytes=700-", "bytes=700-", "bytes=1000-"]


def test_a_store_that_gives_no_more_is_given_up(store: ObjectServer,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    backup = stored(store, CONTENT, 10_000)
    monkeypatch.setattr(swift.time, "sleep", lambda _seconds: None)
    store.breaks = [700, *[0] * 50]
    got = bytearray()
    with pytest.raises(swift.StorageError, match="does not give"):
        for piece in swift.read(backup, grant(store)):
            got += piece
    assert got == CONTENT[:700]


def test_a_store_without_ranges_does_not_repeat_data(store: ObjectServer,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    backup = stored(store, CONTENT, 10_000)
    monkeypatch.setattr(swift.time, "sleep", lambda _seconds: None)
    store.breaks, store.ignore_range = [700], True
    got = bytearray()
    with pytest.raises(swift.StorageError):
        for piece in swift.read(backup, grant(store)):
            got += piece
    assert got == CONTENT[:700]


@pytest.mark.parametrize("damage", ["flip", "longer", "shorter"])
def test_a_segment_that_changed_is_found(store: ObjectServer, damage: str,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    backup = stored(store, CONTENT)
    monkeypatch.setattr(swift.time, "sleep", lambda _seconds: None)
    name = backup.segments[1].name
    content = store.objects[name]
    store.objects[name] = {"flip": bytes([content[0] ^ 1]) + content[1:],
                           "longer": content + b"x", "shorter": content[:-1]}[damage]
    with pytest.raises(swift.StorageError, match=name):
        list(swift.read(backup, grant(store)))


def test_another_list_of_segments_is_refused_before_anything_is_read(
        store: ObjectServer) -> None:
    backup = stored(store, CONTENT)
    store.requests.clear()
    swapped = msgspec.structs.replace(backup, segments=backup.segments[::-1])
    with pytest.raises(swift.StorageError, match="list of segments"):
        list(swift.read(swapped, grant(store)))
    assert store.requests == []


def test_a_refused_grant_ends_it_at_once_and_is_not_shown(store: ObjectServer) -> None:
    backup = stored(store, CONTENT)
    store.requests.clear()
    with pytest.raises(swift.StorageError, match="401") as caught:
        list(swift.read(backup, grant(store, "sig=stale")))
    assert len(store.requests) == 1
    assert "sig" not in str(caught.value)


def test_an_object_that_arrived_otherwise_fails(store: ObjectServer) -> None:
    store.etag = "0" * 32
    with pytest.raises(swift.StorageError, match="other data"):
        stored(store, CONTENT)


def test_the_answer_of_a_store_that_refuses_is_told(store: ObjectServer) -> None:
    store.put_status = 507
    with pytest.raises(swift.StorageError, match=r"507|broke"):
        stored(store, CONTENT)


def test_a_grant_for_reading_does_not_write(store: ObjectServer) -> None:
    read_only = msgspec.structs.replace(grant(store), put_query=None)
    with pytest.raises(swift.StorageError, match="does not allow"):
        swift.SegmentWriter(read_only, 1000)
    with pytest.raises(swift.StorageError, match="at least one byte"):
        swift.SegmentWriter(grant(store), 0)


def test_the_checksum_of_a_whole_depends_on_the_order() -> None:
    one, two = (Segment(name=str(number), size=1, md5="", sha256=str(number) * 64)
                for number in (1, 2))
    assert swift.checksum([one, two]) != swift.checksum([two, one])
    assert swift.checksum([one, two]) == hashlib.sha256(
        ("1" * 64 + "2" * 64).encode()).hexdigest()
