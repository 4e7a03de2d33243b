"""What releases of MySQL and Percona Server know."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import base
from trove_ng.datastores.mysql.versions import SERIES, series


@pytest.mark.parametrize(("version", "of"), [
    ("5.7", "5.7"), ("5.7.44", "5.7"), ("8.0", "8.0"), ("8.0.36-28.1", "8.0"),
    ("mysql-8.0", "8.0"), ("8.2", "8.0"), ("8.4.2", "8.4"), ("9.1", "8.4"), ("10.0", "8.4")])
def test_the_release_of_a_version(version: str, of: str) -> None:
    assert series(version) == of


@pytest.mark.parametrize("version", ["", "latest", "5", "5.6.51", "8"])
def test_a_version_without_a_release(version: str) -> None:
    with pytest.raises(BadRequest, match=r"not one of 5\.7, 8\.0, 8\.4"):
        series(version)


def names(manager: str, version: str) -> set[str]:
    found = base.get(manager).parameters(version)
    assert len(found) == len({one.name for one in found})
    return {one.name for one in found}


@pytest.mark.parametrize("manager", ["mysql", "percona"])
def test_parameters_are_those_of_the_release(manager: str) -> None:
    old, middle, new = (names(manager, one) for one in SERIES)
    assert len(old & middle & new) > 150
    assert {"query_cache_size", "query_cache_type", "expire_logs_days", "innodb_file_format",
            "innodb_log_file_size", "innodb_log_files_in_group", "sync_frm"} <= old - middle - new
    assert {"binlog_expire_logs_seconds", "innodb_redo_log_capacity", "temptable_max_ram",
            "information_schema_stats_expiry", "binlog_row_metadata",
            "innodb_segment_reserve_factor", "performance_schema_max_sql_text_length",
            } <= middle & new - old
    assert {"block_encryption_mode", "innodb_log_checksums", "innodb_numa_interleave"} <= (
        old & middle & new)
    assert "xa_detach_on_prepare" in middle & new - old
    # what would lose data in a crash, or tables at the next start
    assert not {"innodb_doublewrite", "lower_case_table_names"} & (old | middle | new)
    assert "explain_format" in new - middle
    assert {"restrict_fk_on_non_standard_key", "set_operations_buffer_size"} <= new - middle
    assert ("userstat" in old) is (manager == "percona")


@pytest.mark.parametrize("manager", ["mysql", "percona"])
@pytest.mark.parametrize("version", SERIES)
def test_no_parameter_is_the_agents(manager: str, version: str) -> None:
    engine = base.get(manager)
    assert [one for one in names(manager, version) if engine.owns(one)] == []
    for one in ("authentication_policy", "default_authentication_plugin", "gtid_mode",
                "enforce_gtid_consistency", "mysql_native_password", "mysqlx_port",
                "persisted_globals_load", "loose_mysqlx", "skip_log_bin", "server_id",
                "binlog_error_action", "loose_binlog_expire_logs_auto_purge"):
        assert engine.owns(one)


def test_a_limit_differs_between_releases() -> None:
    def of(name: str, version: str) -> base.Parameter:
        return next(one for one in base.get("mysql").parameters(version) if one.name == name)

    assert (of("innodb_log_buffer_size", "5.7").restart_required,
            of("innodb_log_buffer_size", "8.0").restart_required) == (True, False)
    assert [of("max_prepared_stmt_count", one).high for one in SERIES] == [
        1048576, 4194304, 4194304]


@pytest.mark.parametrize("version", SERIES)
def test_numbers_have_the_limits_that_the_manual_gives(version: str) -> None:
    found = base.get("percona").parameters(version)
    assert {one.name for one in found if one.kind in ("integer", "float")
            and (one.low is None or one.high is None)} == (set() if version == "5.7" else {
                "innodb_doublewrite_pages", "innodb_fsync_threshold",
                "innodb_log_wait_for_flush_spin_hwm"})
    high = {one.name: one.high for one in found}
    assert high["innodb_max_dirty_pages_pct"] == (99.99 if version == "5.7" else 99.999)
    # a server does not start with what has no option
    assert not {"foreign_key_checks", "sql_safe_updates", "unique_checks"} & {*high}


@pytest.mark.parametrize("manager", ["mysql", "percona"])
@pytest.mark.parametrize("version", [*SERIES, "latest"])
@pytest.mark.parametrize("memory", [512, 2048, 65536])
def test_settings_are_such_that_the_release_knows(manager: str, version: str,
                                                  memory: int) -> None:
    settings = base.get(manager).config(memory, version)["mysqld"]
    known = names(manager, "8.4" if version == "latest" else version)
    assert set(settings) <= known
    pool = int(settings["innodb_buffer_pool_size"].removesuffix("M"))
    assert pool <= memory * 0.7
    assert ("innodb_redo_log_capacity" in settings) is (version != "5.7")


def test_percona_declares_what_mysql_does() -> None:
    mysql, percona = base.get("mysql"), base.get("percona")
    assert mysql.capabilities == percona.capabilities
    assert (mysql.manager, percona.manager) == ("mysql", "percona")
