"""What registers names of instances, whichever service it asks."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Protocol

from keystoneauth1 import session
from oslo_config import cfg

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudRejected
from trove_ng.conf.cloud import own_region

NAMESPACE = "trove_ng.dns"
_DESCRIPTION = re.compile(r"Database instance ([0-9a-f-]{36})")


@dataclasses.dataclass(frozen=True)
class Record:
    """A name and its address.

    :param name: without a dot at the end
    :param ready: it is served; False while it is not yet
    :param failed: it will not be served, unless it is changed
    :param description: as it was made with
    """

    id: str
    name: str
    address: str
    ready: bool
    failed: bool = False
    description: str = ""

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for."""
        found = _DESCRIPTION.fullmatch(self.description)
        return found[1] if found and self.name.startswith(f"{found[1]}.") else None


def description(instance_id: str) -> str:
    """Return the description of the names that are made for an instance."""
    return f"Database instance {instance_id}"


class Names(Protocol):
    """A driver.  It is made with a session, a region, an interface, calls and conf.dns."""

    def find(self, name: str) -> list[Record]:
        """Return the records of a name."""

    def list(self) -> list[Record]:
        """Return the records of all names of the domain of instances."""

    def create(self, name: str, address: str, description: str) -> Record:
        """Register a name; it may not be served yet when this returns.

        :raises CloudConflict: it is registered
        """

    def change(self, record_id: str, address: str) -> Record:
        """Give a name another address."""

    def delete(self, record_id: str) -> None:
        """Begin to forget a name; one that is gone is no error.

        :raises CloudError: the service failed
        """


def load(auth: session.Session, calls: Calls, conf: cfg.ConfigOpts) -> Names:
    """Return the configured driver.

    :raises CloudRejected: there is no such driver
    """
    from stevedore import driver
    from stevedore.exception import NoMatches

    credentials = conf.service_credentials
    try:
        found: Any = driver.DriverManager(NAMESPACE, conf.dns.driver).driver
    except NoMatches:
        raise CloudRejected(f"There is no DNS driver {conf.dns.driver}.") from None
    made: Names = found(auth, own_region(conf), credentials.interface, calls, conf.dns)
    return made
