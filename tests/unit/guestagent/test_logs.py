"""Logs: parts, what a rotated file is noticed by, keeping files small."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import pathlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trove_ng.common.errors import Conflict, GuestError, NotFound
from trove_ng.common.secret import Secret
from trove_ng.datastores import guest_logs
from trove_ng.guestagent import logs as guestlogs
from trove_ng.guestagent.logs import LogFile, Logs
from trove_ng.guestagent.storage.http import Patience, StorageError
from trove_ng.rpc import log_messages as lm
from trove_ng.rpc import messages as m

PLACE = guest_logs.Place("i", "mariadb", "general")
#: what a server begins each new file with
HEADER = b"mariadbd, Version: 10.11. started with:\nTime\tId Command\tArgument\n"


class Store(ThreadingHTTPServer):
    """Keeps objects and their headers, in the order in which they came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.order: list[str] = []
        #: answers to the next requests instead of keeping what comes; None: it is kept
        self.answers: list[int | None] = []
        self.wait: threading.Event | None = None

    @property
    def grant(self) -> m.ObjectStoreGrant:
        return m.ObjectStoreGrant(
            container_url=f"http://127.0.0.1:{self.server_address[1]}/v1/AUTH_t/c",
            prefix=PLACE.stem, get_query=Secret("g"), put_query=Secret("sig=put"),
            expires_at=2 ** 40)

    @property
    def parts(self) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(PLACE.folder))

    def text(self) -> bytes:
        return b"".join(self.objects[name] for name in self.parts)

    def mark(self) -> lm.LogMark | None:
        return guest_logs.parse(self.objects[PLACE.metafile], "general")


class Handler(BaseHTTPRequestHandler):
    server: Store

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_PUT(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.wait is not None:
            self.server.wait.wait(10)
        parts = urlsplit(self.path)
        assert parts.query == "sig=put"
        assert self.headers["ETag"] == hashlib.md5(body).hexdigest()
        status = (self.server.answers.pop(0) if self.server.answers else None) or 201
        if status == 201:
            name = unquote(parts.path).removeprefix("/v1/AUTH_t/c/")
            self.server.objects[name] = body
            self.server.headers[name] = dict(self.headers)
            self.server.order.append(name)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


class StoppedClock:
    """Stands still unless it is told."""

    def __init__(self) -> None:
        self.time = datetime.datetime(2026, 3, 1, 12)
        self.passed = 0.0

    def now(self) -> datetime.datetime:
        return self.time

    def monotonic(self) -> float:
        self.passed += 1
        return self.passed

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody waits")


@pytest.fixture
def store() -> Iterator[Store]:
    server = Store()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "general.log"


@pytest.fixture
def logs(path: pathlib.Path) -> Logs:
    return Logs(lambda: {"general": LogFile(path)}, StoppedClock(),
                Patience(tries=2, first_wait=0.01))


def request(store: Store, mark: lm.LogMark | None = None, **more: Any) -> lm.LogPublishRequest:
    return lm.LogPublishRequest(
        name="general", kind="USER", grant=store.grant, folder=PLACE.folder,
        metafile=PLACE.metafile, mark=mark, **{"chunk_size": 1000, "seconds": 1e6, **more})


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(b"%06d Query SELECT %d\n" % (one, one)
                    for one in range(start, start + count))


def test_a_log_is_published_in_parts_of_whole_lines(store: Store, logs: Logs,
                                                    path: pathlib.Path) -> None:
    path.write_bytes(lines(500))
    done = logs.publish(request(store, expire_after=77))
    assert done.mark is not None
    assert done.mark.position == path.stat().st_size
    assert store.text() == path.read_bytes()
    assert len(store.parts) > 10
    for name in store.parts:
        part = store.objects[name]
        assert 500 < len(part) <= 1000 or name == store.parts[-1]
        assert part.endswith(b"\n")
        assert store.headers[name]["X-Object-Meta-Lines"] == str(part.count(b"\n"))
        assert store.headers[name]["X-Delete-After"] == "77"
    assert store.headers[PLACE.metafile]["X-Delete-After"] == "77"
    # names sort as the parts came, although the clock stood still
    assert [one for one in store.order if one != PLACE.metafile] == store.parts
    assert store.parts[0] == "i/mariadb-general/log-2026-03-01T12:00:00.000000"
    told = json.loads(store.objects[PLACE.metafile])
    assert (told["log_name"], told["log_type"], told["log_file"]) == (
        "general", "USER", str(path))
    assert (told["log_size"], told["log_lines"]) == (path.stat().st_size, 500)


def test_without_an_expiry_parts_stay(store: Store, logs: Logs, path: pathlib.Path) -> None:
    path.write_bytes(lines(1))
    logs.publish(request(store))
    assert all("X-Delete-After" not in one for one in store.headers.values())


def test_publishing_again_stores_what_is_new_only(store: Store, logs: Logs,
                                                  path: pathlib.Path) -> None:
    path.write_bytes(lines(3))
    first = logs.publish(request(store)).mark
    assert store.mark() == first
    assert logs.publish(request(store, first)).mark == first
    assert len(store.parts) == 1
    with path.open("ab") as more:
        more.write(lines(2, 3) + b"an unfinished li")
    second = logs.publish(request(store, first)).mark
    assert second is not None
    assert store.text() == lines(5)
    assert second.lines == 5
    assert second.position == len(lines(5))


def test_a_part_whose_end_nobody_wrote_is_stored_under_the_same_name(
        store: Store, logs: Logs, path: pathlib.Path) -> None:
    path.write_bytes(lines(3))
    # the metafile announces, the part is stored, and then nothing is stored any more
    store.answers = [None, None, 503, 503]
    with pytest.raises(StorageError):
        logs.publish(request(store))
    left = store.mark()
    assert left is not None
    assert (left.position, len(store.parts)) == (0, 1)
    with path.open("ab") as more:
        more.write(lines(2, 3))
    logs.publish(request(store, left))
    assert store.text() == lines(5)
    assert store.parts == [f"{PLACE.folder}{left.next_object}"]


def test_when_the_time_is_over_the_rest_waits(store: Store, logs: Logs,
                                              path: pathlib.Path) -> None:
    path.write_bytes(lines(500))
    mark = None
    for times in range(1, 4):
        mark = logs.publish(request(store, mark, seconds=0)).mark
        assert mark is not None
        assert len(store.parts) == times
    assert 0 < mark.position < path.stat().st_size
    assert path.read_bytes().startswith(store.text())


def test_a_file_that_begins_anew_is_noticed_though_its_first_lines_are_the_same(
        store: Store, logs: Logs, path: pathlib.Path) -> None:
    path.write_bytes(HEADER + lines(500))
    mark = logs.publish(request(store)).mark
    assert mark is not None
    stored = dict(store.objects)
    for content in (b"", HEADER, HEADER + lines(600, 7), lines(501)):
        path.write_bytes(content)
        state, = logs.states([mark])
        assert (state.continues, state.size) == (False, len(content))
        again = logs.publish(request(store, mark))
        assert again == lm.LogPublished(mark=mark, rotated=True)
    path.unlink()
    assert logs.publish(request(store, mark)).rotated
    assert store.objects == stored


@pytest.mark.parametrize("mark", [None, lm.LogMark(name="general")])
def test_a_log_without_data_is_no_news(store: Store, logs: Logs, path: pathlib.Path,
                                       mark: lm.LogMark | None) -> None:
    for make in (lambda: None, lambda: path.write_bytes(b"")):
        make()
        state, = logs.states([] if mark is None else [mark])
        assert (state.size, state.continues, state.enabled) == (0, True, True)
        assert logs.publish(request(store, mark)) == lm.LogPublished(mark=mark)
    assert store.objects == {}


def test_one_publishes_at_a_time(store: Store, logs: Logs, path: pathlib.Path) -> None:
    path.write_bytes(lines(3))
    store.wait = threading.Event()
    thread = threading.Thread(target=logs.publish, args=(request(store),))
    thread.start()
    try:
        with pytest.raises(Conflict):
            while True:
                logs.publish(request(store, lm.LogMark(name="general", position=2 ** 40)))
    finally:
        store.wait.set()
        thread.join(10)
    assert store.text() == lines(3)


def test_what_the_store_refuses_is_told_without_the_signature(
        store: Store, logs: Logs, path: pathlib.Path) -> None:
    path.write_bytes(lines(3))
    store.answers = [401]
    with pytest.raises(StorageError, match="401") as caught:
        logs.publish(request(store))
    assert "sig=put" not in str(caught.value)


def test_an_unknown_log_is_not_published(store: Store, path: pathlib.Path) -> None:
    with pytest.raises(NotFound):
        Logs(dict, StoppedClock(), Patience()).publish(request(store))


def test_a_link_in_the_place_of_a_log_is_not_followed(
        store: Store, logs: Logs, path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("key = 1\n")
    path.symlink_to(tmp_path / "secret")
    for use in (lambda: logs.publish(request(store)), lambda: logs.states([]),
                lambda: guestlogs.tail(path, 10)):
        with pytest.raises(GuestError):
            use()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(GuestError, match="not a file"):
        logs.states([])
    assert store.objects == {}


@given(data=st.one_of(
    st.binary(max_size=300), st.text(max_size=200).map(str.encode),
    st.lists(st.text(max_size=20)).map(lambda all_: "\n".join(all_).encode())),
    limit=st.integers(4, 64))
def test_parts_are_text_and_hold_all(data: bytes, limit: int) -> None:
    position, shown = 0, b""
    while True:
        piece = data[position:position + limit]
        taken, part = guestlogs.cut(piece, limit, whole=position + len(piece) >= len(data))
        if not taken:
            break
        assert piece.startswith(taken)
        assert len(part) <= limit
        part.decode()
        position, shown = position + len(taken), shown + part
    # what is left is a line without an end
    assert b"\n" not in data[position:]
    assert len(data) - position <= limit
    if data == data.decode(errors="replace").encode():
        assert shown == data[:position]


def test_what_is_no_text_is_shown_as_such() -> None:
    data = b"INSERT \xff\x00\xe4\n"
    assert guestlogs.cut(data, 100, whole=True) == (data, b"INSERT \\xff\x00\\xe4\n")


def test_a_file_that_grew_is_put_aside_in_the_place_of_the_last(
        logs: Logs, path: pathlib.Path) -> None:
    opened: list[bool] = []
    path.write_bytes(b"x" * 10)
    logs.trim(10, lambda: opened.append(True))
    assert opened == []
    for letter in (b"a", b"b"):
        path.write_bytes(letter * 11)
        logs.trim(10, lambda: opened.append(True))
        assert not path.exists()
        assert path.with_name("general.log.1").read_bytes() == letter * 11
    assert opened == [True, True]


def test_a_file_stays_if_the_database_does_not_open_a_new_one(
        logs: Logs, path: pathlib.Path) -> None:
    def fail() -> None:
        raise GuestError("it hangs")

    path.write_bytes(b"x" * 11)
    with pytest.raises(GuestError):
        logs.trim(10, fail)
    assert path.read_bytes() == b"x" * 11


def test_a_file_of_somebody_else_is_left_alone(path: pathlib.Path) -> None:
    path.write_bytes(b"x" * 11)
    Logs(lambda: {"guest": LogFile(path, ours=False)}, StoppedClock(), Patience()).trim(
        10, lambda: pytest.fail("nothing was moved"))
    assert path.exists()


GOOD = lm.LogMark(name="general", position=9, lines=1, digest="d",
                 last_object="log-2026-03-01T12:00:00.000000")


def test_a_metafile_is_read_as_it_was_written() -> None:
    assert guest_logs.parse(guest_logs.render(GOOD, "USER", "/x"), "general") == GOOD


def _without(key: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda told: {name: value for name, value in told.items() if name != key}


@pytest.mark.parametrize("spoil", [
    lambda told: {**told, "log_size": -1}, lambda told: {**told, "log_size": "9"},
    lambda told: {**told, "log_next_object": "../../other"},
    lambda told: {**told, "log_last_object": "log-2026-13-01T12:00:00.000000"},
    lambda told: {**told, "log_last_object": "log-2026-03-01"},
    lambda told: {**told, "log_name": "slow_query"}, lambda told: [told], lambda told: 7,
    _without("log_size"), _without("log_hash")])
def test_a_metafile_that_somebody_wrote_otherwise_is_none(
        spoil: Callable[[dict[str, Any]], Any]) -> None:
    told = json.loads(guest_logs.render(GOOD, "USER", "/x"))
    assert guest_logs.parse(json.dumps(spoil(told)).encode(), "general") is None
    assert guest_logs.parse(b"\xff{", "general") is None


def test_a_clock_that_was_set_back_does_not_change_the_order() -> None:
    early = datetime.datetime(2020, 1, 1)
    name = guest_logs.object_name(early, GOOD.last_object)
    assert name == "log-2026-03-01T12:00:00.000001"
    assert guest_logs.object_name(early) == "log-2020-01-01T00:00:00.000000"
