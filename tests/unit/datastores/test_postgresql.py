"""The declaration of PostgreSQL."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.datastores.postgresql import DATASTORE

RULES = DATASTORE.rules
#: some of what the specification lists
LISTED = (
    "max_connections", "superuser_reserved_connections", "bonjour", "authentication_timeout",
    "tcp_keepalives_idle", "shared_buffers", "huge_pages", "temp_buffers", "work_mem",
    "maintenance_work_mem", "autovacuum_work_mem", "max_stack_depth", "temp_file_limit",
    "max_worker_processes", "fsync", "synchronous_commit", "wal_sync_method",
    "full_page_writes", "wal_buffers", "checkpoint_timeout", "wal_sender_timeout",
    "vacuum_defer_cleanup_age", "hot_standby_feedback", "enable_seqscan", "random_page_cost",
    "geqo_seed", "from_collapse_limit", "log_min_duration_statement", "log_line_prefix",
    "log_statement", "log_timezone", "track_io_timing", "autovacuum", "search_path",
    "default_tablespace", "default_transaction_isolation", "session_replication_role",
    "statement_timeout", "bytea_output", "datestyle", "intervalstyle", "timezone",
    "client_encoding", "lc_messages", "deadlock_timeout", "max_locks_per_transaction",
    "standard_conforming_strings", "exit_on_error", "restart_after_crash",
)
#: what it says is the agent's
CONTROLLED = (
    "data_directory", "hba_file", "ident_file", "external_pid_file", "listen_addresses", "port",
    "unix_socket_directories", "unix_socket_group", "unix_socket_permissions", "wal_level",
    "archive_mode", "archive_command", "archive_timeout", "log_destination",
    "logging_collector", "log_directory", "log_filename", "log_file_mode",
    "update_process_title", "restore_command", "shared_preload_libraries", "ssl_key_file",
    "synchronous_standby_names", "password_encryption", "max_slot_wal_keep_size",
)


def test_what_the_specification_lists_can_be_set_and_the_agents_cannot() -> None:
    known = {one.name: one for one in DATASTORE.parameters()}
    assert set(LISTED) - set(known) == set()
    assert [one for one in CONTROLLED if not DATASTORE.owns(one)] == []
    assert [one for one in known if DATASTORE.owns(one)] == []


def test_limits_are_those_of_the_server() -> None:
    known = {one.name: one for one in DATASTORE.parameters()}
    assert (known["geqo_effort"].low, known["geqo_effort"].high) == (1, 10)
    assert known["random_page_cost"].kind == "float"
    assert known["log_statement"].choices == ("all", "ddl", "mod", "none")
    assert known["shared_buffers"].restart_required
    assert known["shared_buffers"].description == "The unit is 8kB."
    assert not known["work_mem"].restart_required


@pytest.mark.parametrize("memory", [256, 512, 4096, 65536])
def test_some_memory_is_left(memory: int) -> None:
    found = DATASTORE.config(memory)["postgresql"]
    sizes = {name: int(value[:-2]) for name, value in found.items()
             if isinstance(value, str) and value.endswith("MB")}
    assert sizes["shared_buffers"] <= memory // 4
    assert sizes["shared_buffers"] + sizes["maintenance_work_mem"] + (
        sizes["work_mem"] * found["max_connections"]) <= memory


@pytest.mark.parametrize(("name", "good"), [
    ("shop", True), ("a b", True), ("ü" * 31, True), ("", False), ("ü" * 32, False),
    ("x" * 64, False), ("a/b", False), ("a.b", False), ("a\n", False), (" a", False),
    ("postgres", False), ("template0", False), ("Ignored", False)])
def test_names_of_databases(name: str, good: bool) -> None:
    if good:
        RULES.check_database("database", name, ("ignored",))
        return
    with pytest.raises(BadRequest, match="database"):
        RULES.check_database("database", name, ("ignored",))


@pytest.mark.parametrize(("name", "host", "good"), [
    ("app", None, True), ("app", "%", True), ("Ünï 1", None, True), ("app", "10.0.0.1", False),
    ("app", "", False), ("postgres", None, False), ("os_admin", None, False),
    ("PG_x", None, False), ("trove_db_1", None, False), ("public", None, False),
    ('a"b', None, False), ("", None, False), ("x" * 64, None, False)])
def test_names_of_users_which_have_no_host(name: str, host: str | None, good: bool) -> None:
    if good:
        RULES.check_user("user", name, host)
        return
    with pytest.raises(BadRequest, match="user"):
        RULES.check_user("user", name, host)


def test_encodings_and_locales_have_names() -> None:
    RULES.check_charset("database", "UTF8", "de_DE.UTF-8@euro")
    RULES.check_charset("database", None, None)
    for values in (("UTF'8", None), ("x" * 33, None), (None, "a b"), (None, "")):
        with pytest.raises(BadRequest, match="database"):
            RULES.check_charset("database", *values)


def test_passwords_have_a_length() -> None:
    RULES.check_password("user.password", "it's \"fine\" ü")
    for password in ("", "x" * 129, "a\nb"):
        with pytest.raises(BadRequest, match="password"):
            RULES.check_password("user.password", password)
