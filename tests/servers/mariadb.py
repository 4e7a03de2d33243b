"""A throw-away MariaDB server as the store."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql


def free_port() -> int:
    """Return a TCP port of the loopback address that nothing uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server with one database, ``trove``."""

    def __init__(self, port: int, socket_path: Path) -> None:
        self._socket = socket_path
        self.url = f"mysql+pymysql://trove:trove@127.0.0.1:{port}/trove?charset=utf8mb4"

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement as the server's root."""
        with pymysql.connect(unix_socket=str(self._socket), user="root",
                             autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

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
    try:
        with _running(directory) as (port, socket_path):
            made = Server(port, socket_path)
            made.execute("CREATE DATABASE trove CHARACTER SET utf8mb4")
            made.execute("CREATE USER trove@'127.0.0.1' IDENTIFIED BY 'trove'")
            made.execute("GRANT ALL ON trove.* TO trove@'127.0.0.1'")
            yield made
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def _running(directory: Path) -> Iterator[tuple[int, Path]]:
    shutil.chown(directory, "mysql", "mysql")
    data, path, port = directory / "data", directory / "s", free_port()
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}",
         "--auth-root-authentication-method=socket", "--skip-test-db"],
        check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}",
         f"--socket={path}", f"--port={port}", "--bind-address=127.0.0.1",
         "--innodb-buffer-pool-size=512M", "--innodb-flush-log-at-trx-commit=1",
         "--skip-name-resolve", f"--pid-file={directory / 'pid'}"],
        stderr=(directory / "log").open("w"))
    try:
        _wait(path, process)
        yield port, path
    finally:
        process.terminate()
        process.wait(60)


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
