"""The server's configuration file.

Form: Redis, ``redis.conf``: a setting and its arguments on a line.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from trove_ng.common.tls import MUTUAL
from trove_ng.datastores.redis.template import SECTION
from trove_ng.guestagent.datastores.experimental.redis.paths import SNAPSHOT, Paths
from trove_ng.guestagent.os.codecs import PropertiesCodec
from trove_ng.guestagent.os.configuration import (
    ConfigurationManager,
    RollingOverrideStrategy,
)
from trove_ng.guestagent.tls import TlsFiles

OWNER = "redis"
_MEMORY = "memory"
_ACCESS = "access"
_LOADING = "loading"
_TLS = "tls"
#: a setting whose values each have a class of clients before them
CLASSES = "client-output-buffer-limit"


def as_text(value: Any) -> str:
    """Return a setting's value as the running server takes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(one) for one in value) if isinstance(value, list) else str(value)


def as_lines(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return an owner's settings as the server's file takes them.

    Points of time for snapshots are pairs, each on its line; limits of buffers have a line
    for each class of clients.
    """
    lines: dict[str, Any] = {}
    for name, value in settings.items():
        setting, _, of_class = name.partition(" ")
        words = as_text(value).split()
        if of_class:
            lines.setdefault(setting, []).append([of_class, *words])
        elif name == "save" and len(words) > 2:
            lines[name] = [words[place:place + 2] for place in range(0, len(words), 2)]
        else:
            lines[name] = words or [""]
    return lines


class Configuration:
    """Our base, what the control plane computed, who may come in, and what users set."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._manager = ConfigurationManager(
            paths.config, PropertiesCodec(), RollingOverrideStrategy(paths.changes),
            owner=OWNER, mode=0o640)

    def write(self, computed: Mapping[str, Any], overrides: Mapping[str, Any],
              access: Mapping[str, Any], log: str, tls: TlsFiles | None = None,
              trusted: pathlib.Path | None = None) -> None:
        """Write the file.

        :param computed: section → setting → value, from the control plane
        :param overrides: setting → value of the user's configuration group
        :param access: lines that say who may come in
        :param log: file that the server writes its log to; empty: to its output
        :param tls: what the server speaks TLS with
        :param trusted: see :meth:`set_tls`
        """
        paths = self._paths
        self._manager.save({
            "bind": ["*", "-::*"], "port": paths.port, "protected-mode": "no",
            "unixsocket": paths.socket, "unixsocketperm": "700", "daemonize": "no",
            "pidfile": paths.pid_file, "logfile": log, "dir": str(paths.data),
            "dbfilename": SNAPSHOT, "appendonly": "no",
            "save": [["3600", "1"], ["300", "100"], ["60", "10000"]],
            "maxmemory-policy": "noeviction", "always-show-logo": "no"})
        self.apply_computed(computed)
        self.set_access(access)
        self.set_tls(tls, trusted)
        self.set_overrides(overrides)

    def apply_computed(self, computed: Mapping[str, Any]) -> None:
        """Write what follows from the server's memory."""
        if computed.get(SECTION):
            self._manager.apply_system(as_lines(computed[SECTION]), _MEMORY)

    def set_access(self, lines: Mapping[str, Any]) -> None:
        """Say who may come in; nothing replaces it."""
        self._manager.apply_system(lines, _ACCESS, final=True)

    def set_tls(self, found: TlsFiles | None,
                trusted: pathlib.Path | None = None) -> dict[str, str]:
        """Have the server speak TLS with these files, or none, from its next start on.

        :param trusted: what a replica verifies its source with, and nobody else: clients need
            no certificates where there are replicas
        :return: what has to be set in a running one for it, in this order: at no moment it
            takes no connections; files are read again even if their names stay
        """
        plain = {"port": str(0 if found is not None and found.strict else self._paths.port)}
        if found is None:
            self._manager.remove_system(_TLS, final=True)
            return {**plain, "tls-port": "0"}
        settings = {
            # first: that of before may be gone
            "tls-ca-cert-file": str(trusted or found.authority),
            "tls-cert-file": str(found.certificate), "tls-key-file": str(found.key),
            "tls-auth-clients": as_text(found.mode == MUTUAL),
            "tls-port": str(self._paths.tls_port), **plain}
        self._manager.apply_system(settings, _TLS, final=True)
        return settings

    def set_overrides(self, values: Mapping[str, Any]) -> None:
        """Make the user's settings exactly these."""
        if values:
            self._manager.apply_user(as_lines(values))
        else:
            self._manager.remove_user()

    def overrides(self) -> dict[str, str]:
        """Return the user's settings, as the running server takes them."""
        return _flat(self._manager.user_override())

    def without_overrides(self) -> dict[str, str]:
        """Return what the file sets beside the user's."""
        return _flat(self._manager.without_user())

    def is_on(self, setting: str) -> bool:
        """Return whether the file switches a setting on."""
        return _flat(self._manager.effective()).get(setting) == "yes"

    def saves(self) -> str:
        """Return when the file has the server write snapshots."""
        return _flat(self._manager.effective()).get("save", "")

    def begin_loading(self) -> None:
        """Have the server read its snapshot at the next start, whatever users set."""
        self._manager.apply_system({"appendonly": "no"}, _LOADING, final=True)

    def is_loading(self) -> bool:
        """Return whether the server was to read its snapshot."""
        return self._manager.has_system(_LOADING, final=True)

    def end_loading(self) -> None:
        """Have it begin as users set it again."""
        self._manager.remove_system(_LOADING, final=True)


def _flat(lines: Mapping[str, Any]) -> dict[str, str]:
    """Return setting → value as the running server takes it, of a file's lines."""
    found: dict[str, str] = {}
    for name, value in lines.items():
        rows = value if isinstance(value, list) else [value]
        if name == CLASSES:
            rows = rows if rows and isinstance(rows[0], list) else [rows]
            found |= {f"{name} {row[0]}": as_text(list(row[1:])) for row in rows}
        else:
            words = [word for row in rows
                     for word in (row if isinstance(row, list) else [row])]
            found[name] = as_text(words).strip()
    return found
