"""Packages of other releases of the agent, and a server that guests fetch them from."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import trove_ng

_CODE = Path(trove_ng.__file__).parent


def make_wheel(path: Path, version: str, changes: dict[str, str] | None = None) -> str:
    """Write this source tree as a wheel of another version; return its SHA-256.

    :param changes: file of the package → its text instead
    """
    info = f"trove_ng-{version}.dist-info"
    files = {f"trove_ng/{one.relative_to(_CODE)}": one.read_bytes()
             for one in _CODE.rglob("*") if one.is_file() and "__pycache__" not in one.parts}
    files |= {f"trove_ng/{name}": text.encode() for name, text in (changes or {}).items()}
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: trove-ng\nVersion: {version}\n").encode()
    entry_points = metadata.distribution("trove-ng").read_text("entry_points.txt") or ""
    files[f"{info}/entry_points.txt"] = entry_points.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def served(folder: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """Give the URL of a directory."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_args: object) -> None:
            """Stay quiet."""

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
