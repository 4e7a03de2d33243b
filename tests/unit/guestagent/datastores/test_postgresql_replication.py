"""What replicas of PostgreSQL are told, and what their data tell."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.guestagent.datastores.experimental.postgresql import replication
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.rpc import replication_messages as rm

CONTROL = """\
wal_level setting:                    replica
wal_log_hints setting:                off
max_connections setting:              150
max_worker_processes setting:         8
max_wal_senders setting:              20
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
track_commit_timestamp setting:       off
"""


def test_the_data_tell_what_a_replica_must_have() -> None:
    assert replication.shared_settings(CONTROL) == {
        "max_connections": 150, "max_worker_processes": 8, "max_wal_senders": 20,
        "max_prepared_transactions": 0, "max_locks_per_transaction": 64}


def test_the_password_stands_in_a_file_only() -> None:
    assert replication.password_line("a:b\\c'd") == "*:*:*:*:a\\:b\\\\c'd\n"
    assert replication.conninfo("fd00::1", 5432, "os_replica_1", pathlib.Path("/p")) == (
        "host=fd00::1 port=5432 user=os_replica_1 passfile=/p application_name=os_replica_1 "
        "connect_timeout=10")


@pytest.mark.parametrize(("paused", "starved", "told"), [
    (False, False, ""), (True, True, "settings"), (True, False, "settings"),
    (False, True, "does not get changes")])
def test_a_replica_tells_that_it_does_not_follow(*, paused: bool, starved: bool,
                                                 told: str) -> None:
    seen = replication._Seen(paused, starved, 3, "0/7")
    found = replication._sentence(seen)
    assert (told in found, bool(found)) == (True, bool(told))
    # nothing is asked of a server
    nothing: Any = None
    one = replication.Replication(nothing, nothing, nothing, Paths(), nothing, nothing)
    assert one._state(seen) == {
        "lag": None if starved else 3, "position": "0/7", "connected": not starved,
        "applies": not paused, "last_lag": None if starved else 3}


def test_accounts_have_names_of_their_own() -> None:
    # nothing is asked of a server
    nothing: Any = None
    one = replication.Replication(nothing, nothing, nothing, Paths(), nothing, nothing)
    with pytest.raises(BadRequest, match="os_replica_"):
        one.set_accounts(rm.ReplicaAccounts(keep=["postgres"]))
