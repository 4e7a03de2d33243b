#!/usr/bin/env python3
"""Write what owners may set of Redis, as the installed server itself describes it.

usage: tools/redis-parameters.py [FILE]

The server is of version 7.0; what 6.2 lacks is from its release notes.

A server of this program's own is asked for its settings; what it says to impossible values
tells their types and limits.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from trove_ng.datastores.redis import DATASTORE

TARGET = Path(__file__).parents[1] / "trove_ng/datastores/redis/validation-rules.json"
_RANGE = re.compile(r"must be between (-?\d+) and (-?\d+) inclusive")
_CHOICES = re.compile(r"must be one of the following: (.+)$", re.MULTILINE)
#: the largest number that every client and store keeps as it is
_MOST = 2 ** 53
#: what came with version 7; the others are in 6.2, too
SINCE_7 = frozenset({
    "aof-disable-auto-gc", "aof-timestamp-enabled", "busy-reply-threshold",
    "cluster-allow-pubsubshard-when-down", "cluster-link-sendbuf-limit",
    "cluster-preferred-endpoint-type", "hash-max-listpack-entries", "hash-max-listpack-value",
    "latency-tracking", "latency-tracking-info-percentiles", "list-max-listpack-size",
    "maxmemory-clients", "repl-diskless-sync-max-replicas", "replica-ignore-disk-write-errors",
    "zset-max-listpack-entries", "zset-max-listpack-value"})
#: one setting for each class of clients
_CLASSES = "client-output-buffer-limit"


def _refusal(server: redis.Redis, name: str, value: str) -> str:
    """Return what the server says to a value, also of a setting that it only takes at start."""
    try:
        server.execute_command("CONFIG", "SET", name, value)
    except redis.ResponseError as err:
        if "immutable" not in str(err):
            return str(err)
    else:
        return ""
    done = subprocess.run(["redis-server", "--port", "0", f"--{name}", value],
                          capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def _is_immutable(server: redis.Redis, name: str, value: str) -> bool:
    try:
        server.execute_command("CONFIG", "SET", name, value)
    except redis.ResponseError as err:
        return "immutable" in str(err)
    return False


def _describe(server: redis.Redis, name: str, value: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": "string"}
    said = "" if re.fullmatch(r"[a-z]*", value) and value not in ("yes", "no") and (
        _is_immutable(server, name, value)) else _refusal(server, name, "\x7f")
    if "must be 'yes' or 'no'" in said:
        entry["type"] = "boolean"
    elif found := _CHOICES.search(said):
        entry["choices"] = sorted(found[1].split(", "))
    elif "parsed into an integer" in said:
        limits = _RANGE.search(_refusal(server, name, str(-2 ** 62))) or _RANGE.search(
            _refusal(server, name, str(2 ** 62)))
        entry["type"] = "integer"
        if limits:
            entry |= {"min": max(int(limits[1]), -_MOST), "max": min(int(limits[2]), _MOST)}
    elif "memory value" in said:
        entry |= {"type": "integer", "min": 0, "max": _MOST}
    entry["restart_required"] = _is_immutable(server, name, value)
    if name in SINCE_7:
        entry["versions"] = ["7"]
    return entry


def described(server: redis.Redis) -> list[dict[str, Any]]:
    """Return what owners may set of a server."""
    known = server.execute_command("CONFIG", "GET", "*")
    found = [_describe(server, name, value) for name, value in sorted(known.items())
             if not DATASTORE.owns(name) and name != _CLASSES]
    found += [{"name": f"{_CLASSES} {one}", "type": "string", "restart_required": False}
              for one in ("normal", "pubsub", "slave")]
    return sorted(found, key=lambda entry: str(entry["name"]))


@contextlib.contextmanager
def running() -> Iterator[redis.Redis]:
    """Run an empty server in a temporary directory."""
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", f"{home}/s", "--save", "",
             "--dir", home], stdout=subprocess.DEVNULL)
        try:
            while not Path(home, "s").exists():
                if process.poll() is not None:
                    raise RuntimeError("the Redis server did not start")
                time.sleep(0.05)
            with redis.Redis(unix_socket_path=f"{home}/s", decode_responses=True) as server:
                yield server
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Run a server and ask it."""
    with running() as server:
        found = described(server)
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_text(json.dumps({"configuration-parameters": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
