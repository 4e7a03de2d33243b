"""An object store for the tests of engines, and leave to use it."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import random
import shutil
import tempfile
import threading
from collections.abc import Iterator

from cheroot import wsgi
from swiftclient.utils import generate_temp_url

from tests.servers.mariadb import free_port
from trove_ng.common.secret import Secret
from trove_ng.guestagent.steps import Progress
from trove_ng.rpc import messages as m
from trove_ng.standalone.minicloud.store import Store
from trove_ng.standalone.minicloud.swift import Swift

KEY = "temp-url-key"


def serve(home: pathlib.Path) -> Iterator[tuple[str, Swift]]:
    """Run an object store with a container, reached by signed URLs only."""
    swift = Swift(Store(":memory:"), home / "objects", lambda _token: None)
    swift._store.set_container_meta("AUTH_t", "c", {"X-Container-Meta-Temp-Url-Key": KEY})
    http = wsgi.Server(("127.0.0.1", free_port()), swift, numthreads=4)
    http.prepare()
    thread = threading.Thread(target=http.serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.bind_addr[1]}", swift
    http.stop()


def short_directory() -> Iterator[pathlib.Path]:
    """Make a directory for sockets, whose paths are short; any user may reach it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="tm-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def grant(url: str, prefix: str = "backup_1/") -> m.ObjectStoreGrant:
    """Return leave to read and write what begins with a prefix."""
    def query(method: str) -> Secret:
        return Secret(generate_temp_url(
            f"/v1/AUTH_t/c/{prefix}", 600, KEY, method, prefix=True,
            digest="sha256").partition("?")[2])

    return m.ObjectStoreGrant(container_url=f"{url}/v1/AUTH_t/c", prefix=prefix,
                              get_query=query("GET"), put_query=query("PUT"), expires_at=0)


def progress() -> Progress:
    """Return progress that nobody looks at."""
    return Progress(lambda _percent: None, threading.Event())


class Stored:
    """The objects of a backup, to be damaged and put right."""

    def __init__(self, swift: Swift, prefix: str = "") -> None:
        self._store = swift._store
        self._whole = {one.name: (one, self._store.path(one).read_bytes())
                       for one in self._store.objects("AUTH_t", "c", prefix)}
        self.names = sorted(self._whole)

    def flip(self, name: str) -> None:
        """Change one bit on the store's disk: the store knows nothing of it."""
        _, content = self._whole[name]
        at = random.randrange(len(content))
        changed = bytes([content[at] ^ 1 << random.randrange(8)])
        one = self._store.get("AUTH_t", "c", name)
        assert one is not None
        self._store.path(one).write_bytes(content[:at] + changed + content[at + 1:])

    def replace(self, name: str, content: bytes) -> None:
        """Store something else under a name."""
        one, _ = self._whole[name]
        self._store.put(dataclasses.replace(
            one, size=len(content), etag=hashlib.md5(content).hexdigest(),
            file=self._new(content)))

    def swap(self, first: str, second: str) -> None:
        """Store two objects under each other's name."""
        self.replace(first, self._whole[second][1])
        self.replace(second, self._whole[first][1])

    def drop(self, name: str) -> None:
        self._store.delete("AUTH_t", "c", name)

    def cut(self, name: str) -> None:
        self.replace(name, self._whole[name][1][:-1])

    def mend(self) -> None:
        """Have all as it was."""
        for one, content in self._whole.values():
            self._store.put(dataclasses.replace(one, file=self._new(content)))

    def _new(self, content: bytes) -> str:
        path = self._store.new_file()
        path.write_bytes(content)
        return path.name
