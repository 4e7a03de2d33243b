"""What the servers of the family take in different words."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from trove_ng.common.secret import Secret
from trove_ng.guestagent.datastores.mysql_family import sql

#: what an account of the service may have at once, which it never has
OWN_CONNECTIONS = 1000
#: a statement and its values
Statement = tuple[str, Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Words:
    """What replication is called, which later releases of MySQL say in other words.

    :param change: what a statement changes that says who is followed
    :param reset: statement that empties the binary log
    """

    replica: str = "slave"
    source: str = "master"
    change: str = "MASTER"
    reset: str = "RESET MASTER"


class Dialect(abc.ABC):
    """The words of one engine."""

    #: condition on the rows of mysql.user that are users, not roles
    users: str
    #: variables that the server sizes at its start by what it finds; their default is another
    #: value
    self_sized: frozenset[str]
    #: variable → its option, where that has another name; with the variable's the server does
    #: not start
    renamed: Mapping[str, str]
    #: what frees a session of limits that the owner may set for all, as SET has it
    unlimited: str

    def variable_of(self, option: str) -> str:
        """Return the system variable that an option sets."""
        return next((name for name, known in self.renamed.items() if known == option), option)

    @property
    def events(self) -> bool:
        """Whether events run unless an option says otherwise."""
        return False

    @property
    def own_keys(self) -> bool:
        """Whether each server has a key, if only one that it made itself."""
        return False

    @property
    def reads_names(self) -> bool:
        """Whether a replica finds its source's address in a certificate."""
        return True

    @property
    def words(self) -> Words:
        """The words of replication."""
        return Words()

    @property
    def first_start(self) -> Mapping[str, Any]:
        """Options of the first start with data that may be those of another server."""
        return {}

    @property
    @abc.abstractmethod
    def hold(self) -> Sequence[str]:
        """Statements that stop all writing until the connection ends, in their order.

        What was committed is in the server's files then: they are copied without the
        binary logs, which a server would ask for the rest.
        """

    @property
    @abc.abstractmethod
    def release(self) -> str:
        """Statement that lets the server write again."""

    @property
    def tls_versions(self) -> str:
        """Versions of TLS that are not broken, as the server's option takes them."""
        return "TLSv1.2,TLSv1.3"

    @property
    @abc.abstractmethod
    def renew_tls(self) -> str | None:
        """Statement that reads certificate and key again; None: a start does that only."""

    @abc.abstractmethod
    def account(self, user: str, host: str, password: Secret, *,
                own: bool = True) -> list[Statement]:
        """Return what makes an account, or gives an existing one a password.

        :param own: it is the service's: the owner's limit of connections is not its limit
        """

    @abc.abstractmethod
    def take_over(self) -> list[Statement]:
        """Return what besides the agent's account is set before anybody can connect."""

    @abc.abstractmethod
    def disconnect(self, session: sql.Session, user: str) -> None:
        """End all connections of a user."""

    @property
    @abc.abstractmethod
    def expiry(self) -> Sequence[str]:
        """Return the names of the options that say how long binary logs are kept."""

    @property
    def whole_log(self) -> Mapping[str, Any]:
        """Options with which no change lacks in a binary log that others rely on."""
        return {}

    @property
    def expires(self) -> Mapping[str, Any]:
        """Options with which binary logs go at all when they are old."""
        return {}

    @property
    @abc.abstractmethod
    def unhurried(self) -> str:
        """The variable that, being 0, lets a session's statements take any time."""

    @abc.abstractmethod
    def options(self, days: int | None) -> dict[str, Any]:
        """Return options of the server's file that not all engines have.

        :param days: that binary logs are kept; None: none are written
        """
