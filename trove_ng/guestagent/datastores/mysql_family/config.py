"""The server's configuration files."""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect
from trove_ng.guestagent.datastores.mysql_family.paths import Paths
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.codecs import IniCodec
from trove_ng.guestagent.os.configuration import (
    ConfigurationManager,
    ImportOverrideStrategy,
)
from trove_ng.guestagent.tls import TlsFiles

#: change that holds what follows from the server's memory
_MEMORY = "memory"
_INIT = "init"
_REPLICATION = "replication"
_ARCHIVE = "archive"
_REPLAY = "replay"
_TLS = "tls"
#: changes of one option each are named after it
_OPTION = "option_"
_NOTHING_HERE = "# The options of the server are in {}.\n"
#: days that binary logs are kept, unless their owner says
_BINLOG_DAYS = 7


def as_options(variables: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Return system variables as the server's option file takes them.

    A collation without its character set gets it: the server does not start otherwise.
    """
    options = {dialect.renamed.get(key, key): ("ON" if value else "OFF") if isinstance(value, bool)
               else value for key, value in variables.items()}
    charset = str(options.get("collation_server", "")).partition("_")[0]
    if charset not in ("", "uca1400"):
        options.setdefault("character_set_server", charset)
    return options


class Configuration:
    """Our base file, what the control plane computed, and what users set.

    :param owner: of what the server writes
    """

    def __init__(self, paths: Paths, dialect: Dialect, owner: str) -> None:
        self._paths = paths
        self._dialect = dialect
        self._owner = owner
        self._manager = ConfigurationManager(
            paths.base_config, IniCodec(), ImportOverrideStrategy(paths.changes, ".cnf"),
            owner="root", mode=0o644)
        #: held while the directory of the binary logs is made and named, or removed
        self._placing = threading.RLock()

    @contextlib.contextmanager
    def _placed_log(self) -> Iterator[dict[str, Any]]:
        """Make the directory of the binary logs; give the options that name it.

        No crash loses these logs, and they do not grow for ever.
        """
        folder = self._paths.binlogs
        with self._placing:
            files.make_directory(folder, mode=0o750, owner=self._owner)
            yield {"log_bin": str(folder / "binlog"),
                   "log_bin_index": str(folder / "binlog.index"), "sync_binlog": 1}

    def remove_log(self) -> None:
        """Remove the directory of the binary logs, unless the settings name it."""
        with self._placing:
            if self.option("log_bin") is None:
                files.remove(self._paths.binlogs, recursive=True)

    def write(self, computed: Mapping[str, Any], overrides: Mapping[str, Any],
              error_log: str | None = None, *, binlogs: bool = False) -> None:
        """Write all files, and have the server read them.

        :param binlogs: binary logs are written
        :param error_log: where the server writes its errors; None leaves that to whoever
            runs it
        :param computed: section → option → value, from the control plane
        :param overrides: option → value of the user's configuration group
        """
        paths = self._paths
        files.make_directory(pathlib.Path(paths.base_config).parent)
        placed: contextlib.AbstractContextManager[dict[str, Any]] = (
            self._placed_log() if binlogs else contextlib.nullcontext({}))
        with placed as named:
            self._manager.save({"mysqld": {
                "user": "mysql", "datadir": str(paths.data), "socket": paths.socket,
                "pid_file": paths.pid_file, "port": paths.port, "bind_address": "*",
                "skip_name_resolve": "ON", "local_infile": "OFF",
                # no collation: one of another character set than the owner's stops the server
                "character_set_server": "utf8mb4", "default_storage_engine": "InnoDB",
                "innodb_file_per_table": "ON",
                "log_output": "FILE", "general_log_file": str(paths.general_log),
                "slow_query_log_file": str(paths.slow_log),
                **({"log_error": error_log} if error_log else {}),
                **self._dialect.options(_BINLOG_DAYS if binlogs else None), **named,
            }})
        files.make_directory(paths.changes, mode=0o755)
        self.apply_computed(computed)
        self.set_overrides(overrides)
        files.write_text(
            paths.include_config,
            f"!include {paths.base_config}\n!includedir {paths.changes}/\n", mode=0o644)
        if paths.other_config and pathlib.Path(paths.other_config).exists():
            files.write_text(paths.other_config, _NOTHING_HERE.format(paths.base_config),
                             mode=0o644)

    def apply_computed(self, computed: Mapping[str, Any]) -> None:
        """Write what follows from the server's memory."""
        if computed:
            self._manager.apply_system(computed, _MEMORY)

    def option(self, name: str) -> Any:
        """Return an option in force; None if no file of ours sets it."""
        return self._manager.get_value(name, "mysqld")

    def set_default(self, name: str, value: Any) -> None:
        """Set an option that the owner's settings may replace."""
        self._manager.apply_system({"mysqld": {name: value}}, _OPTION + name)

    def unset_default(self, name: str) -> None:
        """Leave an option to the server again."""
        self._manager.remove_system(_OPTION + name)

    def set_final(self, name: str, value: Any) -> None:
        """Set an option that nothing replaces."""
        self._manager.apply_system({"mysqld": {name: value}}, _OPTION + name, final=True)

    def set_replication(self, options: Mapping[str, Any]) -> None:
        """Have binary logs written, and set options that nothing replaces beside them.

        The owner says how long they are kept.
        """
        with self._placed_log() as named:
            soft = {"sync_binlog": named.pop("sync_binlog"),
                    **self._dialect.options(_BINLOG_DAYS)}
            self._manager.apply_system({"mysqld": soft}, _REPLICATION)
            self._manager.apply_system(
                {"mysqld": {**named, **self._dialect.whole_log, **options}}, _REPLICATION,
                final=True)

    @property
    def replicates(self) -> bool:
        """Whether the server has, or had, a role in a set of replicas."""
        return self._manager.has_system(_REPLICATION, final=True)

    @property
    def archives(self) -> bool:
        """Whether binary logs are written for the archive."""
        return self._manager.has_system(_ARCHIVE, final=True)

    def archived(self, size: int) -> dict[str, Any]:
        """Return the variables of a server that runs whose binary logs are archived.

        :param size: bytes of a file
        """
        kept = self._dialect.options(_BINLOG_DAYS)
        return {
            # a crash of the machine must not take what is only in the log's cache
            "sync_binlog": 1, "binlog_format": "ROW", "max_binlog_size": size,
            **{name: kept[name] for name in self._dialect.expiry}, **self._dialect.whole_log}

    def set_archive(self, number: int, size: int) -> dict[str, Any]:
        """Have binary logs written as they are archived, whatever the owner sets.

        :param number: of the server
        :param size: bytes of a file
        :return: what a running server that writes them takes at once
        """
        dynamic = self.archived(size)
        with self._placed_log() as named:
            self._manager.apply_system({"mysqld": {
                **named, **dynamic, **self._dialect.expires, "server_id": number}},
                _ARCHIVE, final=True)
        return dynamic

    def unset_archive(self) -> None:
        """Write binary logs for the archive no more, from the next start on."""
        self._manager.remove_system(_ARCHIVE, final=True)

    def set_replay(self, on: bool) -> None:
        """Have the server serve nobody while archived log is applied, and be quick, or not."""
        if not on:
            self._manager.remove_system(_REPLAY, final=True)
            return
        self._manager.apply_system({"mysqld": {
            "skip_networking": "ON", "event_scheduler": "OFF",
            # what is lost with the server then is made anew
            "innodb_flush_log_at_trx_commit": 0, "max_allowed_packet": "1G"}},
            _REPLAY, final=True)

    def set_tls(self, found: TlsFiles | None) -> None:
        """Have the server speak TLS with these files, or none, from its next start on."""
        if found is None:
            self._manager.remove_system(_TLS, final=True)
            return
        self._manager.apply_system({"mysqld": {
            "ssl_cert": str(found.certificate), "ssl_key": str(found.key),
            "ssl_ca": str(found.authority), "tls_version": self._dialect.tls_versions,
            "require_secure_transport": "ON" if found.strict else "OFF"}}, _TLS, final=True)

    def overrides(self) -> dict[str, Any]:
        """Return the options of the user's settings, as they are in the file."""
        return dict(self._manager.user_override().get("mysqld", {}))

    def set_overrides(self, values: Mapping[str, Any]) -> None:
        """Make the user's settings exactly these variables."""
        if values:
            self._manager.apply_user({"mysqld": as_options(values, self._dialect)})
        else:
            self._manager.remove_user()

    def without_overrides(self) -> dict[str, Any]:
        """Return the options that the files set beside the user's."""
        return dict(self._manager.without_user().get("mysqld", {}))

    def final(self) -> dict[str, Any]:
        """Return the options that nothing replaces."""
        return dict(self._manager.final().get("mysqld", {}))

    def set_init_file(self, path: str | None) -> None:
        """Have the server read a file at its next start, or none."""
        if path is None:
            self._manager.remove_system(_INIT, final=True)
        else:
            self._manager.apply_system({"mysqld": {
                "init_file": path, **self._dialect.first_start}}, _INIT, final=True)
