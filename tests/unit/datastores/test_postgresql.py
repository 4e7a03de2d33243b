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
    known = {one.name: one for one in DATASTORE.parameters("15")}
    assert set(LISTED) - set(known) == set()
    assert [one for one in CONTROLLED if not DATASTORE.owns(one)] == []
    assert [one for one in known if DATASTORE.owns(one)] == []


def names(version: str) -> set[str]:
    found = DATASTORE.parameters(version)
    assert len(found) == len({one.name for one in found})
    assert [one.name for one in found if DATASTORE.owns(one.name)] == []
    return {one.name for one in found}


def test_each_version_has_its_own() -> None:
    """What a server does not know would keep it from starting."""
    found = {number: names(str(number)) for number in range(12, 19)}
    for name, since in (("wal_keep_size", 13), ("hash_mem_multiplier", 13),
                        ("idle_session_timeout", 14), ("enable_memoize", 14),
                        ("log_startup_progress_interval", 15), ("reserved_connections", 16),
                        ("transaction_timeout", 17), ("io_method", 18)):
        assert [number for number, known in found.items() if name in known] == [
            *range(since, 19)], name
    for name, until in (("operator_precedence_warning", 13),
                        ("vacuum_defer_cleanup_age", 15), ("old_snapshot_threshold", 16)):
        assert [number for number, known in found.items() if name in known] == [
            *range(12, until + 1)], name
    for number, kind in ((14, "boolean"), (15, "string")):
        known = {one.name: one for one in DATASTORE.parameters(str(number))}
        assert known["wal_compression"].kind == kind
    assert (names("17.4"), names("postgresql-16"), names("19")) == (
        found[17], found[16], found[18])


@pytest.mark.parametrize("version", ["", "latest", "11.22", "9.6"])
def test_a_version_that_is_none_has_no_parameters(version: str) -> None:
    with pytest.raises(BadRequest, match="is not one of 12, 13"):
        DATASTORE.parameters(version)


def test_owners_leave_the_language_that_is_read() -> None:
    known = {one.name: one for one in DATASTORE.parameters("15")}
    assert "C" in known["lc_messages"].choices
    assert "de_DE.UTF-8" not in known["lc_messages"].choices


def test_limits_are_those_of_the_server() -> None:
    known = {one.name: one for one in DATASTORE.parameters("15")}
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
