"""The running server's variables: changing them without a restart."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

from trove_ng.common.errors import GuestError
from trove_ng.guestagent.datastores.mysql_family import sql

LOG = logging.getLogger(__name__)

_SIZE = re.compile(r"([0-9]+)([KMGT])", re.IGNORECASE)
_FACTOR = {"K": 2 ** 10, "M": 2 ** 20, "G": 2 ** 30, "T": 2 ** 40}


class Default:
    """Stands for the value that the server has without a setting."""


def as_value(text: Any) -> Any:
    """Return what an option file's text is as the value of a variable."""
    if not isinstance(text, str):
        return text
    size = _SIZE.fullmatch(text)
    if size:
        return int(size[1]) * _FACTOR[size[2].upper()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class Variables:
    """Sets global variables, all or none.

    :param server: the local server
    """

    def __init__(self, server: sql.Server) -> None:
        self._server = server

    def set(self, wanted: Iterable[tuple[str, Any]]) -> list[str]:
        """Set variables in the given order; return those that need a restart.

        :param wanted: names and values; :class:`Default` for the server's own
        :raises GuestError: the server refuses a value; none is set then
        """
        done: list[tuple[str, Any]] = []
        later = []
        with self._server.session() as session:
            try:
                for name, value in wanted:
                    before = self._read(session, name)
                    if self._write(session, name, value):
                        done.append((name, before))
                    else:
                        later.append(name)
            except GuestError:
                self._restore(session, done)
                raise
        return later

    @staticmethod
    def _read(session: sql.Session, name: str) -> Any:
        (value,), = session.run(f"SELECT @@GLOBAL.{sql.name(name)}")
        return value

    @staticmethod
    def _write(session: sql.Session, name: str, value: Any) -> bool:
        statement = f"SET GLOBAL {sql.name(name)} = "
        try:
            if value is Default:
                session.run(f"{statement}DEFAULT")
            else:
                session.run(f"{statement}%s", (value,))
        except sql.ReadOnlyVariable:
            return False
        except GuestError as err:
            raise GuestError(f"The database server refuses the value of {name}: "
                             f"{err.message}") from err
        return True

    def _restore(self, session: sql.Session, done: list[tuple[str, Any]]) -> None:
        for name, before in reversed(done):
            try:
                self._write(session, name, before)
            except GuestError as err:
                LOG.warning("the variable %s cannot be set back: %s", name, err.message)
