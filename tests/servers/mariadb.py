"""A throw-away MariaDB server as the store."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pymysql


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server with one database, ``trove``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "s"
        self._port = free_port()
        self.url = f"mysql+pymysql://trove:trove@127.0.0.1:{self._port}/trove?charset=utf8mb4"
        self.process: subprocess.Popen[bytes]

    def install(self) -> None:
        """Make the data directory, start, make the database and its user."""
        shutil.chown(self._directory, "mysql", "mysql")
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", "--user=mysql",
             f"--datadir={self._directory / 'data'}",
             "--auth-root-authentication-method=socket", "--skip-test-db"],
            check=True, stdout=subprocess.DEVNULL, env=self._environment)
        self.start()
        self.execute("CREATE DATABASE trove CHARACTER SET utf8mb4")
        self.execute("CREATE USER trove@'127.0.0.1' IDENTIFIED BY 'trove'")
        self.execute("GRANT ALL ON trove.* TO trove@'127.0.0.1'")

    @property
    def _environment(self) -> dict[str, str]:
        # in a shared directory each server that starts removes the others' temporary tables
        return {**os.environ, "TMPDIR": str(self._directory)}

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = subprocess.Popen(
            ["mariadbd", "--no-defaults", "--user=mysql",
             f"--datadir={self._directory / 'data'}",
             f"--socket={self._socket}", f"--port={self._port}", "--bind-address=127.0.0.1",
             "--innodb-buffer-pool-size=512M", "--innodb-flush-log-at-trx-commit=1",
             "--skip-name-resolve", f"--pid-file={self._directory / 'pid'}"],
            stderr=(self._directory / "log").open("a"), env=self._environment)
        _wait(self._socket, self.process)

    def stop(self) -> None:
        """Stop the server in an orderly way."""
        self.process.terminate()
        self.process.wait(60)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the server's root."""
        with self.session() as execute:
            return execute(statement)

    @contextlib.contextmanager
    def session(self) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """Give what runs statements of the server's root in one connection."""
        with pymysql.connect(unix_socket=str(self._socket), user="root",
                             autocommit=True) as connection, connection.cursor() as cursor:
            def execute(statement: str) -> list[tuple[Any, ...]]:
                cursor.execute(statement)
                return list(cursor.fetchall())

            yield execute

    def statements(self) -> int:
        """Return how many SELECT, INSERT, UPDATE and DELETE it has run."""
        wanted = {"Com_select", "Com_insert", "Com_update", "Com_delete",
                  "Com_insert_select", "Com_replace"}
        return sum(int(value) for name, value in self.execute(
            "SHOW GLOBAL STATUS LIKE 'Com\\_%'") if name in wanted)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Run a MariaDB server in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="trove-bench-"))
    made = Server(directory)
    try:
        made.install()
        yield made
    finally:
        if hasattr(made, "process"):
            made.stop()
        shutil.rmtree(directory)


def _wait(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            pymysql.connect(unix_socket=str(path), user="root").close()
            return
        except pymysql.err.OperationalError as err:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the MariaDB server did not start") from err
            time.sleep(0.1)
