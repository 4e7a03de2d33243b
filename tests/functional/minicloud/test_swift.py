"""The object store, by python-swiftclient and signed URLs."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from typing import Any

import pytest
import requests
from swiftclient import client
from swiftclient.exceptions import ClientException
from swiftclient.utils import generate_temp_url

from tests.functional.minicloud.conftest import Cloud


@pytest.fixture
def swift(cloud: Cloud) -> Any:
    """The demo project's account."""
    session = cloud.session()
    made = client.Connection(
        preauthurl=session.get_endpoint(service_type="object-store"),
        preauthtoken=session.get_token(), retries=0)
    made.put_container("c")
    return made


def segments(swift: Any) -> tuple[list[bytes], str]:
    parts = [bytes([65 + number]) * 1000 for number in range(3)]
    manifest = []
    for number, part in enumerate(parts):
        etag = swift.put_object("c", f"seg/{number}", part)
        manifest.append({"path": f"/c/seg/{number}", "etag": etag, "size_bytes": len(part)})
    return parts, json.dumps(manifest)


def test_objects_come_back_as_stored(swift: Any) -> None:
    etag = swift.put_object("c", "ä/b c?%#", b"x" * 3000000, headers={
        "X-Object-Meta-Color": "blue"})
    headers, body = swift.get_object("c", "ä/b c?%#")
    assert hashlib.md5(body, usedforsecurity=False).hexdigest() == etag == headers["etag"]
    assert headers["x-object-meta-color"] == "blue"
    headers, body = swift.get_object("c", "ä/b c?%#", headers={"Range": "bytes=10-19"})
    assert (headers["content-range"], body) == ("bytes 10-19/3000000", b"x" * 10)
    with pytest.raises(ClientException) as caught:
        swift.get_object("c", "ä/b c?%#", headers={"Range": "bytes=4000000-"})
    assert caught.value.http_status == 416


def test_a_wrong_etag_is_refused_and_nothing_stays(swift: Any) -> None:
    with pytest.raises(ClientException) as caught:
        swift.put_object("c", "o", b"data", etag="0" * 32)
    assert caught.value.http_status == 422
    assert swift.get_container("c")[1] == []


def test_lists_have_pages_prefixes_and_folders(swift: Any) -> None:
    for name in ("a/1", "a/2", "b", "c/d/1"):
        swift.put_object("c", name, b"1")
    def names(**how: Any) -> list[str]:
        return [one.get("name") or one["subdir"] for one in swift.get_container("c", **how)[1]]

    assert names(delimiter="/") == ["a/", "b", "c/"]
    assert names(prefix="a/") == ["a/1", "a/2"]
    assert names(limit=2) == ["a/1", "a/2"]
    assert names(marker="a/2") == ["b", "c/d/1"]
    assert swift.head_container("c")["x-container-object-count"] == "4"


def test_a_static_large_object_is_the_sum_of_its_segments(swift: Any) -> None:
    parts, manifest = segments(swift)
    swift.put_object("c", "big", manifest, query_string="multipart-manifest=put")
    headers, body = swift.get_object("c", "big")
    assert body == b"".join(parts)
    assert headers["x-static-large-object"] == "True"
    _, body = swift.get_object("c", "big", headers={"Range": "bytes=990-1009"})
    assert body == b"A" * 10 + b"B" * 10
    swift.delete_object("c", "big", query_string="multipart-manifest=delete")
    assert swift.get_container("c")[1] == []


@pytest.mark.parametrize(("name", "value"), [
    ("etag", "0" * 32), ("size_bytes", 5), ("path", "/c/none")])
def test_a_manifest_that_does_not_fit_is_refused(swift: Any, name: str, value: Any) -> None:
    _, manifest = segments(swift)
    entries = json.loads(manifest)
    entries[1][name] = value
    with pytest.raises(ClientException) as caught:
        swift.put_object("c", "big", json.dumps(entries),
                         query_string="multipart-manifest=put")
    assert caught.value.http_status == 400


def test_a_dynamic_large_object_follows_its_prefix(swift: Any) -> None:
    parts, _ = segments(swift)
    swift.put_object("c", "dyn", b"", headers={"X-Object-Manifest": "c/seg/"})
    assert swift.get_object("c", "dyn")[1] == b"".join(parts)
    swift.put_object("c", "seg/9", b"end")
    assert swift.get_object("c", "dyn")[1].endswith(b"end")


def test_objects_expire(swift: Any) -> None:
    swift.put_object("c", "o", b"1", headers={"X-Delete-After": "1"})
    assert swift.head_object("c", "o")["x-delete-at"]
    time.sleep(1.2)
    with pytest.raises(ClientException):
        swift.head_object("c", "o")


def test_many_objects_are_deleted_at_once(swift: Any) -> None:
    for name in ("a", "b"):
        swift.put_object("c", name, b"1")
    _, answer = swift.post_account(
        headers={"Accept": "application/json"}, query_string="bulk-delete=true",
        data="/c/a\n/c/b\n/c/none\n")
    found = json.loads(answer)
    assert (found["Number Deleted"], found["Number Not Found"]) == (2, 1)
    swift.delete_container("c")


def test_a_container_with_objects_is_kept(swift: Any) -> None:
    swift.put_object("c", "o", b"1")
    with pytest.raises(ClientException) as caught:
        swift.delete_container("c")
    assert caught.value.http_status == 409


def test_accounts_are_closed_to_others_but_not_to_the_reseller(cloud: Cloud,
                                                               swift: Any) -> None:
    swift.put_object("c", "o", b"1")
    for user, status in (("admin", 403), ("trove", 200)):
        answer = requests.get(f"{swift.url}/c/o", timeout=5,
                              headers={"X-Auth-Token": cloud.session(user).get_token()})
        assert answer.status_code == status
    assert requests.get(f"{swift.url}/c/o", timeout=5).status_code == 401


def signed(swift: Any, name: str, method: str, *, prefix: str | None = None,
           lifetime: int = 60, key: str = "k") -> str:
    path = swift.url[swift.url.index("/v1/"):]
    found = generate_temp_url(
        f"{path}/c/{prefix if prefix is not None else name}", lifetime, key, method,
        prefix=prefix is not None, digest="sha256")
    return f"{swift.url}/c/{name}?{found.partition('?')[2]}"


def test_signed_urls_allow_what_they_say_and_no_more(swift: Any) -> None:
    swift.post_container("c", {"X-Container-Meta-Temp-URL-Key": "k"})
    swift.put_object("c", "p/o", b"data")
    def status(url: str, method: str = "GET") -> int:
        return requests.request(method, url, data=b"new" if method == "PUT" else None,
                                timeout=5).status_code

    assert status(signed(swift, "p/o", "GET")) == 200
    assert status(signed(swift, "p/o", "GET", prefix="p/")) == 200
    assert status(signed(swift, "p/o", "GET"), "HEAD") == 200
    assert status(signed(swift, "p/n", "PUT", prefix="p/"), "PUT") == 201
    assert status(signed(swift, "p/o", "GET"), "PUT") == 401
    assert status(signed(swift, "q/o", "PUT", prefix="p/"), "PUT") == 401
    assert status(signed(swift, "p/o", "GET", key="other")) == 401
    assert status(signed(swift, "p/o", "GET").replace("/p/o", "/p/n")) == 401
    expired = signed(swift, "p/o", "GET").replace("temp_url_expires=", "temp_url_expires=1")
    assert status(expired) == 401


def test_an_upload_that_is_cut_off_is_not_seen(cloud: Cloud, swift: Any) -> None:
    session = cloud.session()
    with socket.create_connection(("127.0.0.1", cloud.config.port)) as raw:
        path = swift.url[swift.url.index("/object"):]
        raw.sendall(f"PUT {path}/c/half HTTP/1.1\r\nHost: x\r\nX-Auth-Token: "
                    f"{session.get_token()}\r\nContent-Length: 1000\r\n\r\nonly".encode())
    time.sleep(0.3)
    assert swift.get_container("c")[1] == []
