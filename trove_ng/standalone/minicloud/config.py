"""What a minicloud is made of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from trove_ng.common.secret import Secret


class ConfigError(ValueError):
    """A configuration file that cannot be used; the text says why."""


@dataclasses.dataclass(frozen=True)
class User:
    """A user of a new cloud, with its project."""

    name: str
    password: Secret
    project: str
    roles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class MiniCloudConfig:
    """The configuration.

    :param listen: addresses that the HTTP server takes calls on
    :param public_url: start of the URLs in the catalog, without a slash at the end
    :param trove_url: start of the database service's URL in the catalog
    :param region: name of the first region
    :param network_cidr: of its network that all projects share
    :param other_regions: name → ``network_cidr`` and, if there is an external network,
        ``public_cidr`` there
    :param hypervisor: ``namespace`` runs servers on this machine, ``null`` only remembers
    :param public_cidr: addresses of the external network; None: there is none
    :param delays: see :class:`~trove_ng.standalone.minicloud.scheduler.Scheduler`
    :param quotas: service → resource → limit, for projects without limits of their own
    :param token_lifetime: seconds
    """

    state_dir: Path
    port: int
    listen: tuple[str, ...] = ("127.0.0.1",)
    public_url: str = ""
    trove_url: str = ""
    region: str = "RegionOne"
    hypervisor: str = "namespace"
    network_cidr: str = "10.77.0.0/24"
    public_cidr: str | None = None
    other_regions: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    delays: dict[str, float] = dataclasses.field(default_factory=dict)
    quotas: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    users: tuple[User, ...] = ()
    token_lifetime: float = 12 * 3600

    @property
    def url(self) -> str:
        """Start of the catalog's URLs."""
        return self.public_url or f"http://{self.listen[0]}:{self.port}"


def load(path: Path) -> MiniCloudConfig:
    """Read a JSON file.

    :raises ConfigError: it is missing or does not fit
    """
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        users = tuple(
            User(one["name"], Secret(one["password"]), one["project"], tuple(one["roles"]))
            for one in values.pop("users", []))
        return MiniCloudConfig(
            **{**values, "state_dir": Path(values["state_dir"]), "users": users,
               "listen": tuple(values.get("listen", ("127.0.0.1",)))})
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ConfigError(f"{path}: {err}") from None
