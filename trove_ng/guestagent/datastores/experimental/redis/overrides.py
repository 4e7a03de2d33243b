"""The settings of the owner's configuration group."""

from __future__ import annotations

import pathlib
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Set
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.causes import refusal
from trove_ng.guestagent.datastores.experimental.redis.config import (
    CLASSES,
    OWNER,
    Configuration,
    as_lines,
    as_text,
)
from trove_ng.guestagent.datastores.experimental.redis.server import Server, Session
from trove_ng.guestagent.os import files
from trove_ng.guestagent.os.codecs import PropertiesCodec
from trove_ng.guestagent.os.streaming import Program

#: seconds that an empty server takes to start, at most
_START_SECONDS = 20
#: the line of the file that it does not take
_REFUSED = re.compile(r"^>>> '([a-z-]+)", re.MULTILINE)
#: of directories for servers that tell of defaults
PREFIX = "defaults-"


class Overrides:
    """Brings the owner's settings into force and into the server's file.

    :param place: directory that the server's user can enter
    """

    def __init__(self, configuration: Configuration, server: Server,
                 place: pathlib.Path) -> None:
        self._configuration = configuration
        self._server = server
        self._place = place

    def apply(self, values: Mapping[str, Any], restart: Iterable[str], *,
              running: bool) -> bool:
        """Make the settings exactly these; return whether a restart is needed.

        The running server takes what it can before the file is written: an agent that ends
        in between sees the same changes again.

        :param values: setting → value
        :param restart: settings that take effect at the next start only
        :param running: the server is up
        :raises GuestError: the server refuses a value; nothing has changed then
        """
        before = self._configuration.overrides()
        wanted = {name: as_text(value) for name, value in values.items()}
        changed = sorted(name for name in {*before, *wanted}
                         if before.get(name) != wanted.get(name))
        later = {*restart}.intersection(changed)
        if not running:
            self.check(values)
        else:
            with self._server.session() as session:
                self._check_known(session, wanted)
                self._set(session, {name: wanted.get(name) for name in changed
                                    if name not in later})
        self._configuration.set_overrides(values)
        return bool(later)

    def check(self, values: Mapping[str, Any]) -> None:
        """Have an empty server of the same program start with settings.

        :raises GuestError: it refuses them, or does not start with them
        """
        if values:
            self._ask_empty(as_lines(values))

    def _check_known(self, session: Session, wanted: Iterable[str]) -> None:
        """Refuse what this version does not have: it would not start any more."""
        known = session.config_get()
        for name in wanted:
            if name.partition(" ")[0] not in known:
                raise GuestError(f"The database has no setting {name}.")

    def _set(self, session: Session, changes: Mapping[str, str | None]) -> None:
        """Change settings, all or none; None sets one back."""
        own = self._configuration.without_overrides()
        missing = [name for name, value in changes.items() if value is None and name not in own]
        defaults = self._defaults() if missing else {}
        done: list[tuple[str, str]] = []
        for name, value in changes.items():
            setting, _, of_class = name.partition(" ")
            before = session.config_get(setting)[setting]
            text = value if value is not None else own.get(name, defaults.get(name, ""))
            try:
                session.config_set(setting, f"{of_class} {text}" if of_class else text)
            except GuestError:
                for other, earlier in reversed(done):
                    session.config_set(other, earlier)
                raise
            done.append((setting, before))

    def _defaults(self) -> dict[str, str]:
        """Return what this version of the server does when nothing says otherwise."""
        return _expand(self._ask_empty({}))

    def _ask_empty(self, lines: Mapping[str, Any]) -> dict[str, str]:
        """Return the settings of an empty server of the same program.

        :param lines: of its file
        """
        with tempfile.TemporaryDirectory(prefix=PREFIX, dir=self._place) as home:
            files.change_owner(home, OWNER)
            config, socket = pathlib.Path(home) / "conf", pathlib.Path(home) / "s"
            files.write(config, lines, PropertiesCodec(), durable=False, owner=OWNER, mode=0o600)
            # a title is written over the environment, by which the next agent knows a program
            # of one that was killed
            with Program(["redis-server", str(config), "--port", "0", "--unixsocket",
                          str(socket), "--dir", home, "--daemonize", "no",
                          "--set-proc-title", "no"], user=OWNER) as program:
                return _ask(socket, program, {name.partition(" ")[0] for name in lines})


def _ask(socket: pathlib.Path, program: Program, names: Set[str]) -> dict[str, str]:
    """Return the settings of a server that is being started.

    :param names: of settings that it is started with
    """
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            with redis.Redis(unix_socket_path=str(socket), decode_responses=True, protocol=2,
                             retry=Retry(NoBackoff(), 0)) as client:
                found: dict[str, str] = client.config_get()
                return found
        except redis.RedisError as err:
            if program.process.poll() is not None:
                program.collect()
                # only names are told: the text may hold anything
                named = sorted({*_REFUSED.findall(program.messages)} & names)
                raise GuestError(refusal(named)) from err
            if time.monotonic() > end:
                raise GuestError("The database does not tell its own settings." if not names
                                 else "The database does not start with the settings.") from err
            time.sleep(0.02)


def _expand(known: Mapping[str, str]) -> dict[str, str]:
    """Return settings, with one for each class of clients instead of all in one."""
    words = known.get(CLASSES, "").split()
    return {**known, **{f"{CLASSES} {words[place]}": " ".join(words[place + 1:place + 4])
                        for place in range(0, len(words), 4)}}
