"""Settings of PostgreSQL that the agent needs for itself."""

from __future__ import annotations

#: patterns
RESERVED = (
    # where the server is and who may reach it
    "cluster_name", "listen_addresses", "port", "unix_socket_*", "update_process_title",
    # its files
    "*_directory", "*_file", "config_file", "data_directory*", "external_pid_file",
    "include*", "temp_file_*_path", "stats_temp_directory",
    # what it loads and runs
    "*_command", "*_library", "*_libraries", "*_preload_libraries", "dynamic_library_path",
    "extension_control_path", "jit_provider",
    # whom it trusts
    "db_user_namespace", "gss_*", "krb_*", "oauth_*", "password_encryption", "ssl", "ssl_*",
    # its logs, whose files the agent keeps small
    "event_source", "log_destination", "log_directory", "log_file_mode", "log_filename",
    "log_rotation_*", "log_truncate_on_rotation", "logging_collector", "syslog_*",
    # write-ahead log, replication and what backups need
    "archive_*", "hot_standby", "idle_replication_slot_timeout", "max_replication_slots",
    "max_slot_wal_keep_size", "max_wal_senders", "primary_*", "promote_trigger_file",
    "recovery_*", "summarize_wal", "sync_replication_slots", "synchronized_standby_slots",
    "synchronous_standby_names", "wal_keep_segments", "wal_level",
    "wal_log_hints", "wal_summary_keep_time",
    # for those who work on the server itself
    "allow_*", "backtrace_functions", "debug_assertions", "debug_discard_caches",
    "debug_io_*", "debug_logical_*", "debug_parallel_query", "force_parallel_mode",
    "huge_pages_status", "ignore_*", "jit_debugging_support", "jit_dump_bitcode",
    "jit_expressions", "jit_profiling_support", "jit_tuple_deforming", "local_preload*",
    "post_auth_delay", "pre_auth_delay", "remove_temp_files_after_crash",
    "send_abort_for_*", "trace_*", "wal_consistency_checking", "wal_init_zero", "wal_recycle",
    "extension_destdir", "transaction_deferrable", "transaction_isolation",
    "transaction_read_only", "zero_damaged_pages",
)
