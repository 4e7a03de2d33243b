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
from typing import Any

import psycopg2

from tests.servers.mariadb import free_port


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise RuntimeError(f"{name} is not installed")
    return str(found[-1])


class Server:
    """A server with one empty database; its superuser is ``trove``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.url = f"postgresql+psycopg2://trove@127.0.0.1:{self._port}/postgres"
        self.process: subprocess.Popen[bytes]

    def install(self) -> None:
        """Make the data directory and start."""
        shutil.chown(self._directory, "postgres", "postgres")
        subprocess.run(
            [_program("initdb"), "-D", self._directory / "data", "-U", "trove", "-A", "trust",
             "-E", "UTF8", "--locale=C.UTF-8"],
            check=True, stdout=subprocess.DEVNULL, user="postgres", cwd="/")
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = subprocess.Popen(
            [_program("postgres"), "-D", self._directory / "data", "-p", str(self._port),
             "-k", self._directory, "-c", "listen_addresses=127.0.0.1"],
            user="postgres", cwd="/", stderr=(self._directory / "log").open("a"))
        _wait(self.process, self._port)

    def stop(self) -> None:
        """Stop the server; it does not wait for clients."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        connection = psycopg2.connect(host="127.0.0.1", port=self._port, user="trove",
                                      dbname="postgres", connect_timeout=10)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a PostgreSQL server in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="trove-test-"))
    made = Server(directory)
    try:
        made.install()
        yield made
    finally:
        if hasattr(made, "process"):
            made.stop()
        shutil.rmtree(directory)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run a PostgreSQL server and give the URL of an empty database."""
    with running() as made:
        yield made.url


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    ready = [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, stdout=subprocess.DEVNULL).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the PostgreSQL server did not start")
        time.sleep(0.1)
