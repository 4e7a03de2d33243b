"""The server's configuration files: settings, who may come in, and as whom.

Form: PostgreSQL, "Server Configuration" and "Client Authentication".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from trove_ng.common.tls import BASIC, ENFORCED, MUTUAL
from trove_ng.datastores.postgresql.rules import ADMIN, REPLICAS
from trove_ng.datastores.postgresql.template import SECTION
from trove_ng.guestagent.datastores.experimental.postgresql.paths import Paths
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.codecs import KeyValueCodec
from trove_ng.guestagent.os.configuration import ConfigurationManager, ImportOverrideStrategy
from trove_ng.guestagent.storage.log_archive import kept_log
from trove_ng.guestagent.tls import TlsFiles

#: user that the server runs as
OWNER = "postgres"
#: user that the server's files belong to: what runs as the server can turn none of them, nor
#: their directories, into what the agent would write or read as root
KEEPER = "root"
_MEMORY = "memory"
_VOLUME = "volume"
_SOURCE = "source"
_LEAST = "least"
#: changes of one setting each are named after it
_SETTING = "setting_"
_INCLUDE = "include_dir"
#: from how many milliseconds on a statement is logged; less than none: from none
THRESHOLD = "log_min_duration_statement"
_MB = 1024 ** 2
#: bytes of a file of the log, as ``initdb`` makes them
_SEGMENT = 16 * _MB
#: share of the volume that write-ahead log may take between two checkpoints
_WAL_SHARE = 8
#: first version that bounds what is kept for backups
KEEPS_WAL = 13
_MODE = 0o640

#: the agent comes in over the socket, as the machine's root; owners over the network, and
#: replicas for nothing but replication
_HBA = f"""\
local  all          {ADMIN}  peer map=trove
local  replication  {ADMIN}  peer map=trove
local  all          all       reject
host   all          {ADMIN}  all  reject
{{}}  replication  +{REPLICAS}  all  scram-sha-256
host   replication  all       all  reject
host   all          +{REPLICAS}  all  reject
"""
#: mode of TLS → how who comes in over the network
_NETWORK: Mapping[str | None, str] = MappingProxyType({
    None: "host", BASIC: "host", ENFORCED: "hostssl", MUTUAL: "hostssl"})
_CLIENT_CERTIFICATE = " clientcert=verify-ca"
_TLS = "tls"
_IDENT = f"trove  root  {ADMIN}\n"


def as_text(value: Any) -> str:
    """Return a setting's value as the server takes it between quotes."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
    return text.replace("\\", "\\\\")


class Configuration:
    """Our base, what the control plane computed, and what users set."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._how: dict[str, Any] = {"owner": KEEPER, "group": OWNER, "mode": _MODE}
        self._codec = KeyValueCodec(value_quotes=True, delimiter=" = ")
        self._manager = ConfigurationManager(
            paths.config, self._codec, ImportOverrideStrategy(paths.changes, ".conf"),
            **self._how)

    def write(self, computed: Mapping[str, Any], overrides: Mapping[str, Any],
              log: Mapping[str, str], tls: TlsFiles | None = None) -> None:
        """Write all files.

        :param computed: section → setting → value, from the control plane
        :param overrides: setting → value of the user's configuration group
        :param tls: what the server speaks TLS with
        :param log: settings that say where the server writes its log
        """
        paths = self._paths
        for folder in (*reversed(paths.config_dir.parents[:2]), paths.config_dir):
            files.make_directory(folder, mode=0o755, owner=KEEPER, group=OWNER)
        files.make_directory(paths.changes, mode=0o750, owner=KEEPER, group=OWNER)
        files.write_text(paths.config_dir / "pg_ident.conf", _IDENT, **self._how)
        self._manager.save({
            "data_directory": str(paths.data), "hba_file": str(paths.config_dir / "pg_hba.conf"),
            "ident_file": str(paths.config_dir / "pg_ident.conf"),
            "external_pid_file": paths.pid_file, "listen_addresses": "*",
            "port": str(paths.port), "unix_socket_directories": paths.run,
            "unix_socket_permissions": "0700", "password_encryption": "scram-sha-256",
            "wal_level": "replica", "max_wal_senders": "20", "max_replication_slots": "20",
            "wal_retrieve_retry_interval": "1s",
            "lc_messages": "C", "timezone": "UTC", "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%u@%d ", **log, _INCLUDE: str(paths.changes)})
        self.set_tls(tls)
        self.apply_computed(computed)
        self.set_overrides(overrides)

    def set_tls(self, found: TlsFiles | None) -> None:
        """Have the server speak TLS with these files, or none, and let in who fits that."""
        if found is None:
            self._manager.remove_system(_TLS, final=True)
        else:
            self._manager.apply_system(_lines({
                "ssl": True, "ssl_cert_file": found.certificate, "ssl_key_file": found.key,
                "ssl_ca_file": found.authority, "ssl_min_protocol_version": "TLSv1.2"}),
                _TLS, final=True)
        mode = found.mode if found is not None else None
        how = _NETWORK[mode]
        clients = f"{how}  all  all  all  scram-sha-256"
        if mode == MUTUAL:
            clients += _CLIENT_CERTIFICATE
        files.write_text(self._paths.config_dir / "pg_hba.conf",
                         f"{_HBA.format(how)}{clients}\n", **self._how)

    def apply_computed(self, computed: Mapping[str, Any]) -> None:
        """Write what follows from the server's memory."""
        if computed.get(SECTION):
            self._manager.apply_system(_lines(computed[SECTION]), _MEMORY)

    def apply_volume(self, size: int) -> None:
        """Write what follows from the size of the data volume.

        :param size: bytes
        """
        most = max(64, min(4096, size // _WAL_SHARE // _MB))
        slots_end, kept = int(self._paths.version) >= KEEPS_WAL, kept_log(size)
        self._manager.apply_system(
            {"max_wal_size": f"{most}MB", "min_wal_size": f"{max(32, most // 8)}MB"}, _VOLUME)
        self._manager.apply_system(
            {"max_slot_wal_keep_size": f"{kept // _MB}MB"} if slots_end
            # for whoever continues a backup or the archive, or follows
            else {"wal_keep_segments": kept // _SEGMENT}, _VOLUME, final=True)

    def set_overrides(self, values: Mapping[str, Any]) -> None:
        """Make the user's settings exactly these."""
        if values:
            self._manager.apply_user(_lines(values))
        else:
            self._manager.remove_user()
        self._settle_threshold()

    @contextlib.contextmanager
    def undoing(self) -> Iterator[None]:
        """Put the changes back, byte for byte, if the block fails."""
        before = {path: path.read_bytes() for path in self._paths.changes.iterdir()}
        try:
            yield
        except BaseException:
            for path in {*self._paths.changes.iterdir()} - {*before}:
                files.remove(path)
            for path, content in before.items():
                files.write_bytes(path, content, **self._how)
            raise

    def overrides(self) -> dict[str, Any]:
        """Return the user's settings, as they are in the file."""
        return self._manager.user_override()

    def set_final(self, name: str, value: Any) -> None:
        """Set what nothing replaces."""
        self._manager.apply_system(_lines({name: value}), _SETTING + name, final=True)

    def unset_final(self, name: str) -> None:
        """Leave a setting to the user again."""
        self._manager.remove_system(_SETTING + name, final=True)

    def set_source(self, conninfo: str, slot: str | None) -> None:
        """Say whom a replica follows; its password is in a file of its own.

        :param slot: that keeps the log for it there
        """
        self._manager.apply_system(
            _lines({"primary_conninfo": conninfo, "primary_slot_name": slot or ""}), _SOURCE,
            final=True)

    def unset_source(self) -> None:
        """Follow nobody."""
        self._manager.remove_system(_SOURCE, final=True)

    def set_least(self, least: Mapping[str, int]) -> None:
        """Have settings be no less than this, whatever the user or the memory says."""
        self._manager.remove_system(_LEAST, final=True)
        now = self._manager.effective()
        lower = {name: value for name, value in least.items() if int(now.get(name, 0)) < value}
        if lower:
            self._manager.apply_system(_lines(lower), _LEAST, final=True)

    def set_threshold(self, milliseconds: int | None) -> None:
        """Have slow statements logged, by the user's threshold if there is one.

        :param milliseconds: None leaves it to the user
        """
        change = _SETTING + THRESHOLD
        if milliseconds is None:
            self._manager.remove_system(change)
        else:
            self._manager.apply_system(_lines({THRESHOLD: milliseconds}), change)
        self._settle_threshold()

    def _settle_threshold(self) -> None:
        """Have a user's threshold that logs nothing not end what is switched on."""
        self.unset_final(THRESHOLD)
        wanted = self._manager.without_user().get(THRESHOLD)
        if wanted is not None and self.overrides().get(THRESHOLD, "").startswith("-"):
            self.set_final(THRESHOLD, wanted)

    def setting(self, name: str) -> str | None:
        """Return a setting of the files; None if they leave it to the server."""
        found = self._manager.get_value(name)
        return None if found is None else str(found)

    def write_draft(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Write the file that would be in force with other settings of the user; return them."""
        settings = {**self._manager.without_user(), **_lines(values), **self._manager.final()}
        del settings[_INCLUDE]
        files.write(self._paths.draft, settings, self._codec, durable=False, **self._how)
        return settings


def _lines(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_text(value) for name, value in values.items()}
