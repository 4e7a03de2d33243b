"""The declaration of Redis."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.redis import DATASTORE

#: what the specification lists, the server still has, and is not what makes a replica
LISTED = (
    "tcp-backlog", "tcp-keepalive", "timeout", "loglevel", "databases", "save",
    "stop-writes-on-bgsave-error", "rdbcompression", "rdbchecksum", "slave-serve-stale-data",
    "slave-priority", "repl-diskless-sync", "repl-diskless-sync-delay",
    "repl-ping-slave-period", "repl-timeout", "repl-disable-tcp-nodelay", "repl-backlog-size",
    "repl-backlog-ttl", "min-slaves-to-write", "min-slaves-max-lag", "maxclients", "maxmemory",
    "maxmemory-policy", "maxmemory-samples", "appendonly", "appendfsync",
    "no-appendfsync-on-rewrite", "auto-aof-rewrite-percentage", "auto-aof-rewrite-min-size",
    "aof-load-truncated", "lua-time-limit", "cluster-node-timeout",
    "cluster-slave-validity-factor", "cluster-migration-barrier",
    "cluster-require-full-coverage", "slowlog-log-slower-than", "slowlog-max-len",
    "latency-monitor-threshold", "notify-keyspace-events", "hash-max-ziplist-entries",
    "hash-max-ziplist-value", "zset-max-ziplist-entries", "zset-max-ziplist-value",
    "set-max-intset-entries", "hll-sparse-max-bytes", "activerehashing", "hz",
    "aof-rewrite-incremental-fsync",
)
CLASSES = ("normal", "pubsub", "slave")


def test_what_the_specification_lists_can_be_set() -> None:
    known = {one.name for one in DATASTORE.parameters("7.0")}
    assert set(LISTED) - known == set()
    assert {f"client-output-buffer-limit {one}" for one in CLASSES} <= known


def test_each_version_has_its_own() -> None:
    """What a server does not know would keep it from starting."""
    old, new = ({one.name for one in DATASTORE.parameters(version)}
                for version in ("6.2.14", "7.2"))
    assert set(LISTED) <= old < new
    assert {"hash-max-listpack-entries", "latency-tracking", "maxmemory-clients",
            "replica-ignore-disk-write-errors"} <= new - old
    assert {one.name for one in DATASTORE.parameters("6.2")} == old


@pytest.mark.parametrize("version", [
    "", "latest", "5.0", "6", "6.0", "6.0.16", "redis-6.0", "6.2.0"])
def test_a_version_that_is_not_served_has_no_parameters(version: str) -> None:
    with pytest.raises(BadRequest, match=rf"{version} is not one of 6\.2\.1, 7 and later"):
        DATASTORE.parameters(version)


@pytest.mark.parametrize(("version", "new"), [
    ("6.2", False), ("6.2.1", False), ("6.2.14", False), ("redis-6.2", False), ("7", True),
    ("7.0", True), ("8.0.1", True)])
def test_a_version_that_is_served_has_those_of_its_series(version: str, *, new: bool) -> None:
    known = {one.name for one in DATASTORE.parameters(version)}
    assert ("maxmemory-clients" in known) is new


def test_passwords_are_set_by_root_only() -> None:
    known = {one.name for one in DATASTORE.parameters("7.0")}
    assert not known & {"requirepass", "masterauth", "user", "aclfile", "rename-command"}
    assert all(DATASTORE.owns(one) for one in (
        "requirepass", "masterauth", "rename-command", "replicaof", "bind", "dir"))
    assert not [one for one in known if DATASTORE.owns(one)]


def test_limits_are_those_of_the_server() -> None:
    known = {one.name: one for one in DATASTORE.parameters("7.0")}
    assert (known["active-expire-effort"].low, known["active-expire-effort"].high) == (1, 10)
    assert "allkeys-lru" in known["maxmemory-policy"].choices
    assert known["databases"].restart_required
    assert not known["maxmemory"].restart_required
    assert known["appendonly"].kind == "boolean"


@pytest.mark.parametrize(("memory", "share"), [(256, 0.5), (512, 0.5), (4096, 0.65)])
def test_some_memory_is_left(memory: int, share: float) -> None:
    settings = DATASTORE.config(memory)["redis"]
    assert settings["maxmemory"] == int(memory * share) * 1024 ** 2
    assert settings["repl-backlog-size"] < settings["maxmemory"] / 10


def test_it_has_no_databases_and_users_to_make() -> None:
    for call in (lambda: DATASTORE.rules.check_database("f", "x"),
                 lambda: DATASTORE.rules.check_user("f", "x", None),
                 lambda: DATASTORE.rules.check_charset("f", "utf8", None)):
        with pytest.raises(BadRequest, match="f: Redis has no"):
            call()


def test_passwords_have_a_length_and_no_control_characters() -> None:
    DATASTORE.rules.check_password("f", "it's \"fine\" ü")
    for password in ("", "x" * 513, "a\nb", "a\x7f"):
        with pytest.raises(BadRequest, match="f must") as caught:
            DATASTORE.rules.check_password("f", password)
        assert not password or password not in str(caught.value)
