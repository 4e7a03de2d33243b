"""The API's real process and raw bytes: what the HTTP server itself makes of them."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.mariadb import free_port
from tests.stores import Stores

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[int]:
    """The port of a running ``trove-api``."""
    home = tmp_path_factory.mktemp("api")
    with stores.empty("sqlite", home) as url:
        yield from _serve(home, url)


def _serve(home: Path, store: str) -> Iterator[int]:
    found = free_port()
    file = home / "trove.conf"
    file.write_text(
        "[DEFAULT]\ntaskmanager_rpc_encr_key = one\ninst_rpc_key_encr_key = two\n"
        f"bind_host = 127.0.0.1\nbind_port = {found}\ntrove_api_workers = 1\n"
        f"[database]\nconnection = {store}\n"
        "[keystone_authtoken]\nwww_authenticate_uri = http://127.0.0.1:1/\n"
        "auth_url = http://127.0.0.1:1/\nauth_type = password\nusername = trove\n"
        "password = x\nproject_name = service\nuser_domain_id = default\n"
        "project_domain_id = default\n")
    process = subprocess.Popen([BIN / "trove-api", "--config-file", file],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", found), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)
        yield found
        # nothing that was sent ended it
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(30)


def send(port: int, data: bytes) -> bytes:
    """Send bytes; return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.settimeout(60)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def statuses(answer: bytes) -> list[int]:
    """Return the status of each answer in what came."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def request(first: str, *headers: str, body: bytes = b"") -> bytes:
    lines = "\r\n".join([first, "Host: api", *headers, "", ""])
    return lines.encode("latin-1") + body


def test_head_leaves_the_connection_in_order(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for path, status in (("/", 200), ("/v1.0/openapi.json", 200), ("/v1.0/x/instances", 401),
                         ("/v1.0", 200)):
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (status, b"")
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status
        assert answer.read()
    connection.close()


def test_the_document_is_at_its_address(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v1.0/openapi.json")
    document = json.loads(connection.getresponse().read())
    assert document["servers"] == [{"url": f"http://127.0.0.1:{port}"}]
    connection.close()


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
POST = "POST /v1.0/x/instances HTTP/1.1"
JSON = "Content-Type: application/json"


@pytest.mark.parametrize("data", [
    request(POST, JSON, "Transfer-Encoding: chunked", body=CHUNKS),
    request(POST, JSON, "Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKS),
    request(POST, JSON, "Content-Length: 5", "Content-Length: 6", body=b"{}{}{}"),
    request(POST, JSON, "Content-Length: -5", body=b"{}"),
    request(POST, JSON, "Content-Length: 999999999999999999999", body=b"{}"),
    request(POST, JSON, "Content-Length: 9999999", body=b"{}"),
    request(POST, JSON, "Transfer-Encoding: xchunked", body=CHUNKS),
    request(POST, JSON, "Transfer-Encoding : chunked", body=CHUNKS),
    request("GET /v1.0 HTTP/1.1", "X-Long: " + "x" * 100000),
    request("GET /v1.0 HTTP/1.1", *[f"X-{number}: 1" for number in range(200)]),
    request("GET /" + "x" * 20000 + " HTTP/1.1"), request("GET /\x00 HTTP/1.1"),
    request("GET / HTTP/9.9"), request("G\x01T / HTTP/1.1"), b"\x16\x03\x01\x02\x00", b"\r\n\r\n",
    request("GET / HTTP/1.1", "X: a\x00b"), request("GET / HTTP/1.1", " folded: x"),
])
def test_bytes_that_are_no_plain_request_are_refused(port: int, data: bytes) -> None:
    found = statuses(send(port, data))
    # a second answer would be to what the first request hid
    assert len(found) <= 1
    assert all(400 <= status < 500 or status in (501, 505) for status in found), found
    assert statuses(send(port, request("GET / HTTP/1.1", "Connection: close"))) == [200]


@pytest.mark.parametrize("path", [
    "/v1.0/x%0d%0aSet-Cookie:%20a=b", "/%0d%0aX-Injected:%201", "/v1.0/x/instances?a=%0d%0aX:1",
    "/v1.0/%2e%2e/%2e%2e/etc/passwd", "http://other/v1.0/x", "//other/v1.0"])
def test_a_path_never_becomes_a_header(port: int, path: str) -> None:
    answer = send(port, request(f"GET {path} HTTP/1.1", "Connection: close",
                                "X-Auth-Token: a", "X-Openstack-Request-Id: req-forged"))
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert statuses(answer)[0] in (400, 401, 404, 503)
    assert b"\r\nx-injected" not in head
    assert b"\r\nset-cookie" not in head
    assert b"req-forged" not in head
