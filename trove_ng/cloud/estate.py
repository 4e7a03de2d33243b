"""What operators see of the cloud, asked at once: nothing of it is remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from trove_ng.cloud.errors import CloudConflict, CloudError, CloudRejected
from trove_ng.cloud.types import Flavor, Host, Pool, Server
from trove_ng.common.errors import BadRequest, Conflict, ServiceUnavailable

if TYPE_CHECKING:
    from trove_ng.cloud.session import Clouds

T = TypeVar("T")


class Estate:
    """The hosts and the storage below the instances.

    Every method may raise :class:`~trove_ng.common.errors.ServiceUnavailable`: the cloud
    does not answer, or does not let the service's user look.

    :param clouds: makes the services at their first use
    """

    def __init__(self, clouds: Callable[[], Clouds]) -> None:
        self._clouds = clouds

    def regions(self) -> list[str]:
        """Return the regions that instances can be in, the configured one first."""
        own = self._clouds().region
        return [own, *(one for one in _asked(lambda: self._clouds().regions()) if one != own)]

    def hosts(self, region: str) -> list[Host]:
        """Return the compute hosts of a region, ordered by name."""
        return _asked(lambda: self._clouds().in_region(region).compute.list_hosts())

    def servers(self, region: str) -> list[Server]:
        """Return the servers of the service's project."""
        return _asked(lambda: self._clouds().in_region(region).compute.list_servers())

    def pools(self, region: str) -> list[Pool]:
        """Return the pools that volumes are made in, ordered by name."""
        return _asked(lambda: self._clouds().in_region(region).volume.list_pools())

    def create_flavor(self, **wanted: Any) -> Flavor:
        """Return a new flavor; see :meth:`trove_ng.cloud.nova.Compute.create_flavor`.

        :raises Conflict: its id or name is taken
        :raises BadRequest: the cloud does not make such a flavor
        """
        try:
            return self._clouds().compute.create_flavor(**wanted)
        except CloudConflict as err:
            raise Conflict(err.message) from err
        except CloudRejected as err:
            raise BadRequest(err.message) from err
        except CloudError as err:
            raise _away(err) from err


def _asked(ask: Callable[[], T]) -> T:
    try:
        return ask()
    except CloudError as err:
        raise _away(err) from err


def _away(err: CloudError) -> ServiceUnavailable:
    return ServiceUnavailable(f"The cloud does not answer: {err.message}")
