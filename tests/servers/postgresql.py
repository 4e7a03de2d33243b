"""A throw-away PostgreSQL server."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers.mariadb import free_port


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise RuntimeError(f"{name} is not installed")
    return str(found[-1])


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a PostgreSQL server and give the URL of an empty database."""
    directory = Path(tempfile.mkdtemp(prefix="trove-test-"))
    shutil.chown(directory, "postgres", "postgres")
    data, port = directory / "data", free_port()
    try:
        subprocess.run(
            [_program("initdb"), "-D", data, "-U", "trove", "-A", "trust", "-E", "UTF8",
             "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, user="postgres", cwd="/")
        process = subprocess.Popen(
            [_program("postgres"), "-D", data, "-p", str(port), "-k", directory,
             "-c", "listen_addresses=127.0.0.1"],
            user="postgres", cwd="/", stderr=(directory / "log").open("w"))
        try:
            _wait(process, port)
            yield f"postgresql+psycopg2://trove@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # does not wait for clients
            process.wait(60)
    finally:
        shutil.rmtree(directory)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    ready = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, stdout=subprocess.DEVNULL).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the PostgreSQL server did not start")
        time.sleep(0.1)
