"""What the handlers work with, made once in a process."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from trove_ng.common.metrics import SILENT, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from oslo_config import cfg

    from trove_ng.api.authorization import Authorizer
    from trove_ng.api.memory import Memory
    from trove_ng.api.middleware.ratelimit import Buckets
    from trove_ng.cloud.barbican import Found
    from trove_ng.cloud.types import Flavor, Grant, Host, Pool, Server
    from trove_ng.common.clock import Clock
    from trove_ng.common.context import RequestContext
    from trove_ng.common.crypto import SecretBox
    from trove_ng.common.secret import Secret
    from trove_ng.db.session import Database
    from trove_ng.domain.catalog import CloudCatalog
    from trove_ng.operations.notices import Notices
    from trove_ng.operations.requests import Requests
    from trove_ng.rpc.guest import GuestClient


class Waker(Protocol):
    """Tells a taskmanager that work waits."""

    def wake(self, operation_id: str) -> None:
        """Send the word; lost words are made good by the taskmanager's sweep."""


class GuestClients(Protocol):
    """Makes the client that speaks to one instance's agent."""

    def __call__(self, instance_id: str, context: RequestContext) -> GuestClient:
        """Return the client, on behalf of a caller."""


class ObjectStore(Protocol):
    """The object store of all projects; see :class:`trove_ng.cloud.swift.ObjectStore`."""

    def ensure_container(self, tenant_id: str, container: str) -> None:
        """Make a container if there is none."""

    def grant(self, tenant_id: str, container: str, prefix: str, *, write: bool,
              lifetime_s: int) -> Grant:
        """Return leave to use the objects below a prefix."""

    def read_object(self, tenant_id: str, container: str, name: str,
                    limit: int) -> bytes | None:
        """Return an object; None if there is none, or it is empty, or too large."""

    def delete_object(self, tenant_id: str, container: str, name: str) -> None:
        """Delete one object; one that is gone is no error."""

    def delete_prefix(self, tenant_id: str, container: str, prefix: str) -> None:
        """Delete all objects whose names begin so."""


class KeyManager(Protocol):
    """The key manager; see :class:`trove_ng.cloud.barbican.KeyManager`."""

    def find(self, token: Secret, reference: str, password_reference: str | None) -> Found:
        """Return certificate and key that the token's owner has."""


class Estate(Protocol):
    """What operators see of the cloud; see :class:`trove_ng.cloud.estate.Estate`."""

    def regions(self) -> list[str]:
        """Return the regions that instances can be in, the configured one first."""

    def hosts(self, region: str) -> list[Host]:
        """Return the compute hosts of a region, ordered by name."""

    def servers(self, region: str) -> list[Server]:
        """Return the servers of the service's project."""

    def pools(self, region: str) -> list[Pool]:
        """Return the pools that volumes are made in, ordered by name."""

    def create_flavor(self, **wanted: Any) -> Flavor:
        """Return a new flavor."""


@dataclasses.dataclass(frozen=True)
class Services:
    """The parts that requests need, passed in so that tests can pass others.

    :param requests: writes accepted operations
    :param idempotency_box: seals the answers that repeated requests get
    :param objects: returns the object store of a region; None: of the configured one
    :param keys: returns the key manager of projects
    :param estate: the cloud below the instances, for operators
    :param datastores: what was read of datastores a moment ago
    :param notices: tells other services of requests
    :param recorder: is told what is measured
    """

    conf: cfg.ConfigOpts
    db: Database
    authorizer: Authorizer
    catalog: CloudCatalog
    guests: GuestClients
    objects: Callable[[str | None], ObjectStore]
    keys: Callable[[], KeyManager]
    estate: Estate
    waker: Waker
    requests: Requests
    idempotency_box: SecretBox
    clock: Clock
    buckets: Buckets
    datastores: Memory
    notices: Notices
    recorder: Recorder = SILENT
