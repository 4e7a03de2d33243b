"""Settings of MariaDB that are not for owners."""

from __future__ import annotations

from trove_ng.datastores.mysql import reserved

#: what the agent needs for itself beside the settings of the family
_SETTINGS = (
    # files beside the data
    "core_file", "ft_stopword_file", "ignore_db_dirs", "innodb_buffer_pool_filename",
    "innodb_temp_data_file_path", "innodb_tmpdir", "log_slow_query_file", "log_tc*",
    "innodb_data_home_dir", "innodb_log_group_home_dir",
    # code, and keys that come from plug-ins
    "*encrypt*", "allow_suspicious_udfs", "debug*", "ignore_builtin_innodb",
    # whom the server trusts, and the way that is kept for the operator
    "extra_max_connections", "max_password_errors", "old_passwords",
    # replication, and how long the log is kept that is archived
    "binlog_alter_two_phase", "binlog_expire_logs_seconds", "master_*", "max_relay_log_size",
    "read_binlog_speed_limit", "sync_master_info", "sync_relay_log*",
    # the server would serve the agent no more
    "innodb_fatal_semaphore_wait_threshold", "innodb_force_recovery", "innodb_read_only",
    "max_session_mem_used", "thread_handling", "tx_read_only", "transaction_read_only",
)

RESERVED = (*reserved.RESERVED, *reserved.with_prefixes(_SETTINGS))

#: what the server lists and no group of settings holds
LEFT_OUT = frozenset({
    # second names
    "log_slow_min_examined_row_limit", "log_slow_query", "log_slow_query_time", "old",
    # orders, not settings
    "innodb_buffer_pool_dump_now", "innodb_buffer_pool_load_abort",
    "innodb_buffer_pool_load_now", "innodb_ft_aux_table", "innodb_log_checkpoint_now",
    "innodb_max_purge_lag_wait", "innodb_monitor_disable", "innodb_monitor_enable",
    "innodb_monitor_reset", "innodb_monitor_reset_all",
    # data that are there already could not be read, or would be lost in a crash
    "aria_block_size", "aria_force_start_after_recovery_failures", "aria_log_purge_type",
    "default_storage_engine", "enforce_storage_engine", "innodb_doublewrite",
    "innodb_page_size", "innodb_undo_tablespaces", "lower_case_table_names",
    "myisam_block_size", "myisam_recover_options",
    # a word that the server does not know keeps it from its start, and nothing tells the words
    "aria_recover_options", "default_regex_flags", "default_tmp_storage_engine",
    "lc_time_names", "log_slow_filter", "old_mode",
    # not in all of the release
    "innodb_log_file_mmap", "innodb_numa_interleave",
    # the machine, whose memory has been dealt out
    "innodb_buffer_pool_size_auto_min", "innodb_buffer_pool_size_max", "innodb_linux_aio",
    "large_pages",
    # tables that need not be there
    "innodb_ft_server_stopword_table", "innodb_ft_user_stopword_table",
    # what goes for the agent's sessions too, which need no key and read messages
    "lc_messages", "sql_safe_updates", "tmp_disk_table_size",
    # accounts of the agent, too, if an earlier release made them
    "default_password_lifetime", "disconnect_on_expired_password",
    # of a session only, whatever the server says
    "tcp_nodelay",
    # without effect, or what the server only tells
    "date_format", "datetime_format", "large_files_support", "lower_case_file_system",
    "protocol_version", "server_uid", "system_time_zone", "time_format", "version",
    "version_comment", "version_compile_machine", "version_compile_os",
    "version_malloc_library", "version_source_revision", "version_ssl_library",
})
