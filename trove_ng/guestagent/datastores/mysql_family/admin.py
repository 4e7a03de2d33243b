"""The agent's own account in the database.

Its password is in an option file on the data volume, so that it outlives the root disk.
It is set by the server's ``init_file`` at a start, which works whatever a restored
backup, or the owner's root user, did to the accounts.
"""

from __future__ import annotations

import configparser
import pathlib
from collections.abc import Callable

from trove_ng.common.errors import GuestError
from trove_ng.common.secret import Secret, generate_password
from trove_ng.guestagent.datastores.mysql_family.dialect import Dialect, Statement
from trove_ng.guestagent.datastores.mysql_family.sql import BEGIN, LOCALLY, literal
from trove_ng.guestagent.os import files

USER, HOST = "os_admin", "localhost"


class AdminAccount:
    """The account.

    :param path: returns where the option file is now
    :param owner: user that the server runs as
    """

    def __init__(self, path: Callable[[], pathlib.Path], owner: str,
                 dialect: Dialect) -> None:
        self._path = path
        self._dialect = dialect
        self._owner = owner

    @property
    def option_file(self) -> pathlib.Path:
        """The file, for programs that take ``--defaults-extra-file``."""
        return self._path()

    def credentials(self) -> tuple[str, Secret]:
        """Return user name and password.

        :raises GuestError: the account was not made yet
        """
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self._path().read_text())
            return parser["client"]["user"], Secret(parser["client"]["password"])
        except (OSError, KeyError, configparser.Error) as err:
            raise GuestError("The agent has no account in the database.") from err

    def renew(self, socket_path: str, init_file: pathlib.Path) -> None:
        """Write a new password, and the statements that set it at the server's next start.

        :param init_file: for the server to read once; remove it afterwards
        """
        password = Secret(generate_password(40))
        files.make_directory(self._path().parent, mode=0o700)
        files.write_text(
            self._path(),
            f"[client]\nuser = {USER}\npassword = {password.reveal()}\nsocket = {socket_path}\n",
            mode=0o600)
        statements = [*self.statements(password), *self._dialect.take_over()]
        files.write_text(
            # each server of a set of replicas has a password of its own
            init_file, f"{BEGIN};\n{LOCALLY};\n" + "".join(
                f"{statement % tuple(map(literal, values))};\n"
                for statement, values in statements),
            mode=0o600, owner=self._owner)

    def statements(self, password: Secret) -> list[Statement]:
        """Return what gives the account a password, and all rights."""
        return [*self._dialect.account(USER, HOST, password),
                ("GRANT ALL PRIVILEGES ON *.* TO %s@%s WITH GRANT OPTION", (USER, HOST))]
