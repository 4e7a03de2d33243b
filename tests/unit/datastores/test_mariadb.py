"""What owners may set of MariaDB."""

from __future__ import annotations

import pytest

from trove_ng.common.errors import BadRequest
from trove_ng.datastores import base
from trove_ng.datastores.mariadb.reserved import LEFT_OUT

ENGINE = base.get("mariadb")
KNOWN = {one.name: one for one in ENGINE.parameters("10.11")}


def test_what_mysql_offers_and_mariadb_has_can_be_set() -> None:
    assert len(KNOWN) > 350
    assert {"binlog_row_image", "explicit_defaults_for_timestamp", "innodb_flush_method",
            "innodb_old_blocks_pct", "max_error_count", "optimizer_search_depth",
            "thread_stack"} <= set(KNOWN)
    settings = set(ENGINE.config(512)["mysqld"])
    assert settings <= set(KNOWN)


@pytest.mark.parametrize("version", ["10.4", "10.4.34", "mariadb-10.6", "11.4", "12.0"])
def test_one_list_is_for_all_versions_that_are_served(version: str) -> None:
    assert {one.name for one in ENGINE.parameters(version)} == set(KNOWN)


@pytest.mark.parametrize("version", ["", "latest", "5.5", "10", "10.3.39", "mariadb-10.2"])
def test_a_version_that_is_not_served_has_no_parameters(version: str) -> None:
    with pytest.raises(BadRequest, match=rf"{version} is not one of 10\.4 and later"):
        ENGINE.parameters(version)


def test_none_is_the_agents_or_left_out() -> None:
    assert [one for one in KNOWN if ENGINE.owns(one) or one in LEFT_OUT] == []


@pytest.mark.parametrize("name", [
    # paths
    "datadir", "innodb_tmpdir", "ft_stopword_file", "log_slow_query_file", "secure_file_priv",
    "aria_log_dir_path", "innodb_data_home_dir", "general_log_file", "core-file",
    # code and keys
    "plugin_load_add", "plugin_dir", "init_file", "innodb_encrypt_log", "loose_debug",
    "file_key_management_filename", "ssl_key", "tls_version", "skip_grant_tables",
    # replication
    "server_id", "log_bin", "gtid_domain_id", "slave_skip_errors", "binlog_format",
    "binlog_expire_logs_seconds", "sync_relay_log", "maximum_max_relay_log_size",
    "master_info_file", "wsrep_notify_cmd", "read_only",
    # what ends the agent's work
    "innodb_force_recovery", "innodb_read_only", "thread_handling", "transaction_read_only",
    "extra_port", "port"])
def test_what_the_agent_lives_on_is_not_for_owners(name: str) -> None:
    assert ENGINE.owns(name)


def test_kinds_limits_and_choices_are_those_of_the_server() -> None:
    assert (KNOWN["binlog_row_image"].choices, KNOWN["binlog_row_image"].restart_required) == (
        ("MINIMAL", "NOBLOB", "FULL"), False)
    assert KNOWN["innodb_flush_method"].restart_required
    assert KNOWN["long_query_time"].kind == "float"
    # a multiple of its block
    assert (KNOWN["tmp_table_size"].high or 0) % 16384 == 0
    for one in KNOWN.values():
        numeric = one.kind in ("integer", "float")
        assert (one.low is not None and one.high is not None) is numeric, one.name
        assert not (numeric and one.choices)
    # words of the server that no running one takes
    assert KNOWN["event_scheduler"].kind == "boolean"
    assert (KNOWN["query_cache_type"].kind, KNOWN["query_cache_type"].restart_required) == (
        "integer", True)


def test_what_makes_tables_unreadable_that_are_there_is_no_setting() -> None:
    assert "lower_case_table_names" not in KNOWN
