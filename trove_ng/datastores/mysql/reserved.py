"""Settings that the agent of the MySQL family needs for itself."""

from __future__ import annotations

from collections.abc import Iterable

_SETTINGS = (
    # where the server is and who may reach it
    "basedir", "bind_address", "character_sets_dir", "chroot", "datadir", "extra_port",
    "lc_messages_dir", "networking", "pid_file", "plugin_*", "port",
    "proxy_protocol_networks", "socket", "tmpdir", "user",
    # files beside the data
    "aria_log_dir_path", "general_log*", "innodb_*_dir", "innodb_*_directory",
    "innodb_data_file_path", "innodb_directories", "log_basename", "log_error*", "log_output",
    "secure_*", "slow_query_log_file",
    # whom the server trusts
    "admin_*", "authentication_policy", "bootstrap", "caching_sha2_password*",
    "default_authentication_plugin", "file_key_management*", "grant_tables",
    "init_file", "mysql_native_password", "mysqlx*", "persist*",
    "require_secure_transport", "ssl*", "tls*",
    # replication and clusters
    "enforce_gtid_consistency", "gtid_*", "init_replica", "init_slave", "log_bin*",
    "log_replica_updates", "log_slave_updates",
    "binlog_do_db", "binlog_encryption", "binlog_error_action",
    "binlog_expire_logs_auto_purge", "binlog_format", "binlog_ignore_db", "encrypt_binlog",
    "read_only", "relay_log*", "replica_*", "replicate_*", "report_*", "rpl_*", "server_id",
    "skip_replica_start", "skip_slave_start", "slave_*", "source_*", "super_read_only", "wsrep*",
)
#: what may stand before the name of an option; the server takes it away
_PREFIXES = ("", "loose_", "skip_", "enable_", "disable_", "maximum_")


def with_prefixes(settings: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of all that a server takes for one of some settings."""
    return tuple(prefix + one for prefix in _PREFIXES for one in settings)


RESERVED = with_prefixes(_SETTINGS)
