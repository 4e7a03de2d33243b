"""Requests that are odd as HTTP: methods, paths, headers, encodings of bodies."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.functional.api.conftest import MINE, OWN, Api

ONE = f"/instances/{OWN}1"
BASE = f"/v1.0/{MINE}"
BODY = json.dumps({"instance": {"name": "renamed"}}).encode()


def ask(app: Api, method: str, path: str, data: bytes = b"", **more: str) -> Any:
    """Call the application as a server does.

    :param path: as it is in the request's first line
    :return: status, headers by their lower-case name, body
    """
    raw, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "QUERY_STRING": query, "RAW_URI": path,
        "PATH_INFO": unquoted(raw), "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(data), "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
        "HTTP_X_AUTH_TOKEN": "mine", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(data)) if data else "", **more}
    seen: list[Any] = []
    body = b"".join(app.wsgi(environ, lambda *args: seen.extend(args[:2])))
    status, headers = int(seen[0].split()[0]), {
        name.lower(): value for name, value in seen[1]}
    assert status < 500, (path, body)
    assert headers["x-openstack-request-id"].startswith("req-")
    assert not any("\r" in value or "\n" in value for value in headers.values())
    if status >= 400 and method != "HEAD":
        (error,) = json.loads(body).values()
        assert error["code"] == status
        assert error["message"]
    return status, headers, body


def unquoted(path: str) -> str:
    """Return a path as servers give it to applications."""
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")


@pytest.mark.parametrize(("path", "status"), [
    ("/", 200), ("/v1.0", 200), (f"{BASE}/instances", 200), (f"{BASE}{ONE}", 200),
    (f"{BASE}/instances/x", 404), (f"{BASE}/no/such", 404), ("/v1.0/x/instances", 403)])
def test_head_is_get_without_the_body(app: Api, path: str, status: int) -> None:
    got, head = ask(app, "GET", path), ask(app, "HEAD", path)
    assert got[0] == head[0] == status
    assert head[2] == b""
    assert got[2]
    assert {**head[1], "x-openstack-request-id": ""} == {**got[1],
                                                         "x-openstack-request-id": ""}


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "QUERY",
                                    "X" * 1000])
@pytest.mark.parametrize(("path", "allowed"), [
    (f"{BASE}/instances", "GET, HEAD, POST"), (f"{BASE}{ONE}/action", "POST"),
    (f"{BASE}{ONE}", "DELETE, GET, HEAD, PATCH, PUT"), ("/", "GET, HEAD"),
    ("/v1.0/openapi.json", "GET, HEAD")])
def test_other_methods_are_told_those_there_are(app: Api, method: str, path: str,
                                                allowed: str) -> None:
    status, headers, _ = ask(app, method, path)
    assert (status, headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", [
    f"{BASE}/instances/", f"{BASE}/instances//", f"/{BASE}/instances", f"//{BASE}/instances"])
def test_slashes_at_the_ends_are_left_out(app: Api, path: str) -> None:
    status, _, body = ask(app, "GET", path)
    assert status == 200
    assert len(json.loads(body)["instances"]) == 3


@pytest.mark.parametrize("path", [
    f"{BASE}//instances", f"/v1.0//{MINE}/instances", f"{BASE}/instances//{OWN}1",
    f"{BASE}/./instances", f"{BASE}/instances/../instances", f"{BASE}/instances/..",
    f"{BASE}/instances/%2e%2e/backups", f"{BASE}/instances/..%2fbackups",
    f"{BASE}/instances%2f{OWN}1", f"/v1.0%2f{MINE}/instances", f"{BASE}/instances;x=1",
    f"{BASE}/INSTANCES", f"/V1.0/{MINE}/instances", f"/v1.0/{MINE.upper()}/instances",
    f"/v1.0/{MINE}%00/instances", f"{BASE}/instances/{OWN}1%0d%0aX-Injected:%201",
    f"{BASE}/instances/%E2%80%AE", f"{BASE}/instances/%ff", f"{BASE}/instances/%C0%AF",
    f"{BASE}/instances/{'x' * 8000}", f"{BASE}/{'/'.join('x' * 2000)}", "*",
    f"{BASE}/instances/{OWN}1%20", f"{BASE}/instances/%2500"])
def test_no_other_spelling_of_a_path_leads_anywhere(app: Api, path: str) -> None:
    status, headers, _ = ask(app, "GET", path)
    assert status in (400, 403, 404)
    assert "x-injected" not in headers
    if not path.startswith("/v1.0/"):
        return
    assert ask(app, "DELETE", path)[0] in (400, 403, 404, 405)
    assert app.waker.woken == []


def test_an_escaped_slash_stays_in_its_segment(app: Api) -> None:
    path = f"{BASE}{ONE}/users/app/databases/a%2Fb"
    status, _, body = ask(app, "DELETE", path)
    assert status == 400
    assert b"must not contain /" in body


@pytest.mark.parametrize(("query", "status"), [
    ("limit=1&limit=1", 400), ("limit=1&limit=2", 400), ("limit=%31", 200), ("limit=1;x", 400),
    ("limit=", 400), ("limit", 400), ("LIMIT=x", 200), ("limit[]=1", 200), ("&&&&", 200),
    ("%6cimit=x", 400), ("marker=%ff", 400), ("marker=%00", 400), ("x=%00", 200),
    ("x=%ff", 400), ("deleted=maybe", 400), ("deleted=TRUE", 200), ("deleted", 200),
    ("limit=%EF%BC%91", 400), ("limit=+1", 400), ("limit=0x1", 400), ("limit=1_0", 400),
    ("&".join(f"x{number}=1" for number in range(5000)), 400), ("x" * 50000, 200)])
def test_queries_are_read_one_way_only(app: Api, query: str, status: int) -> None:
    assert ask(app, "GET", f"{BASE}/instances?{query}")[0] == status


@pytest.mark.parametrize(("more", "status"), [
    ({"CONTENT_TYPE": "text/plain"}, 415), ({"CONTENT_TYPE": ""}, 415),
    ({"CONTENT_TYPE": "application/x-www-form-urlencoded"}, 415),
    ({"CONTENT_TYPE": "application/json; charset=utf-16"}, 415),
    ({"CONTENT_TYPE": "application/json; charset=\"UTF-8\""}, 202),
    ({"CONTENT_TYPE": "APPLICATION/JSON"}, 202), ({"CONTENT_TYPE": "application/jsonx"}, 415),
    ({"CONTENT_TYPE": "application/vnd.openstack.trove+json"}, 202),
    ({"CONTENT_TYPE": "application/json, text/plain"}, 415),
    ({"HTTP_CONTENT_ENCODING": "gzip"}, 415), ({"HTTP_CONTENT_ENCODING": "identity"}, 202),
    ({"CONTENT_LENGTH": "-1"}, 400), ({"CONTENT_LENGTH": "1e3"}, 400),
    ({"CONTENT_LENGTH": "\u0663"}, 400), ({"CONTENT_LENGTH": "9" * 30}, 413),
    ({"CONTENT_LENGTH": "200000"}, 413), ({"CONTENT_LENGTH": "5"}, 400),
    ({"CONTENT_LENGTH": "0"}, 400),
    ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, 400),
    ({"HTTP_ACCEPT": "text/html"}, 406), ({"HTTP_ACCEPT": "application/xml, */*;q=0"}, 406),
    ({"HTTP_ACCEPT": "application/json;q=0"}, 406), ({"HTTP_ACCEPT": ", ,;;"}, 406),
    ({"HTTP_ACCEPT": "application/vnd.openstack.trove+json;version=9.9"}, 406),
    ({"HTTP_ACCEPT": "text/html, application/json"}, 202),
    ({"HTTP_X_AUTH_TOKEN": "m\u00efne"}, 401), ({"HTTP_X_AUTH_TOKEN": "mine\0"}, 401),
    ({"HTTP_X_ROLES": "admin", "HTTP_X_AUTH_TOKEN": "none"}, 401),
    ({"HTTP_HOST": "evil\u00ff:80"}, 202), ({"HTTP_X_FORWARDED_HOST": "evil"}, 202)])
def test_headers_and_bodies_are_taken_in_one_form_only(app: Api, more: dict[str, str],
                                                       status: int) -> None:
    assert ask(app, "PUT", f"{BASE}{ONE}", BODY, **more)[0] == status


@pytest.mark.parametrize("raw", [
    b"\xef\xbb\xbf" + BODY, BODY + BODY, BODY + b"\0", b"\0" + BODY, BODY[:-1],
    b'{"instance": {"name": "a", "name": "b"}}', b'{"instance": {"name": 1e999}}',
    b'{"instance": {"name": ' + b"9" * 5000 + b"}}", b'{"instance": {"name": Infinity}}',
    b'{"instance": ' * 500 + b"1" + b"}" * 500, b"[" * 50000 + b"]" * 50000,
    b'{"instance": {"name": "\\ud83d"}}', b'{"instance": {"name": "\\u0000"}}',
    b"{'instance': {'name': 'a'}}", b'{"instance": {"name": "a",}}', b'{"instance": {}}//',
    b'{"__proto__": {}, "instance": {"name": "a"}}', b'{"instance": {"name": "a\tb"}}',
    b"true", b'""', b" ", b"<x/>"])
def test_bodies_that_are_not_plain_json_change_nothing(app: Api, raw: bytes) -> None:
    assert ask(app, "PUT", f"{BASE}{ONE}", raw)[0] == 400
    assert app("GET", ONE).json["instance"]["name"] == "db1"


@pytest.mark.parametrize("body", [
    {"access": {"allowed_cidrs": [["a"]] * 50}}, {"access": {"allowed_cidrs": [{}, {}, []]}},
    {"access": {"allowed_cidrs": ["10.0.0.0/8"] * 2}}, {"name": ["a"] * 1000},
    {"name": {"$ref": "#"}}, {"name": 10 ** 4000}, {"name": -0.0}, {"name": True}])
def test_values_of_other_kinds_are_refused_by_their_field(app: Api, body: Any) -> None:
    status, _, answer = ask(app, "PUT", f"{BASE}{ONE}", json.dumps({"instance": body}).encode())
    assert status == 400
    assert next(iter(body)).encode() in answer


def test_whole_numbers_with_a_fraction_of_nothing_are_whole(app: Api) -> None:
    for size, status in (("2.0", 202), ("2e0", 422), ("2.5", 400), ("1e400", 400)):
        raw = f'{{"resize": {{"volume": {{"size": {size}}}}}}}'.encode()
        assert ask(app, "POST", f"{BASE}{ONE}/action", raw)[0] == status


def test_the_host_of_links_is_data_only(app: Api) -> None:
    _, headers, body = ask(app, "GET", f"{BASE}{ONE}", HTTP_HOST='a"b<c>\u00e9')
    assert json.loads(body)["instance"]["links"][0]["href"].startswith('http://a"b<c>')
    assert headers["content-type"] == "application/json"
