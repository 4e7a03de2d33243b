"""Settings of Redis that the agent needs for itself."""

from __future__ import annotations

#: patterns; ``-`` of the server's names is written ``_``
RESERVED = (
    # where the server is and who may reach it
    "bind*", "daemonize", "locale_collate", "pidfile", "port", "proc_title_template",
    "protected_mode", "set_proc_title", "socket_mark_id", "supervised", "tls_*", "unixsocket*",
    # its files
    "aclfile", "aof_file_name", "appenddirname", "appendfilename", "dbfilename", "dir",
    "include", "loadmodule", "logfile", "syslog_*",
    # whom it trusts, and with what
    "acl_pubsub_default", "enable_*", "masterauth", "masteruser", "primaryauth", "primaryuser",
    "rename_command", "requirepass", "user",
    # the machine
    "*_cpulist", "crash_*", "disable_thp", "io_threads*", "oom_score_adj*", "watchdog_period",
    # replication and clusters
    "cluster_announce*", "cluster_config_file", "cluster_enabled", "cluster_port",
    "rdb_key_save_delay", "replica_announce*", "replica_read_only", "replicaof",
    "slave_announce*", "slave_read_only", "slaveof",
    # for those who work on the server itself
    "always_show_logo", "ignore_warnings", "jemalloc_bg_thread", "key_load_delay",
    "propagation_error_behavior", "shutdown_*",
    "use_exit_on_panic",
)
