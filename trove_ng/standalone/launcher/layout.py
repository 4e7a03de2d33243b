"""Where an all-in-one keeps what, and on which ports and addresses it listens.

Several of them live side by side on one machine: each has an index, which gives it
a block of ports and a subnet of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from trove_ng.standalone.launcher.errors import LauncherError

DEFAULT_STATE_DIR = Path("/var/lib/trove-standalone")
DEFAULT_REGION = "RegionOne"
REGISTRY = Path("/run/trove-standalone")
#: in the order in which they stop; they start the other way round
TROVE_SERVICES = ("trove-api", "trove-taskmanager", "trove-conductor")
_INDEXES = 200
_PORT_BASE = 8770
_PORT_BLOCK = 20
#: second part of the addresses of servers in the first region, and in the second one
_SUBNETS = (77, 97)
_MOST_REGIONS = 8
_REGION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
#: sun_path holds 108 bytes, and supervisord appends its pid
_SOCKET_LENGTH = 95


class Subnet(NamedTuple):
    """A subnet, and the machine's own address on it."""

    cidr: str
    gateway: str


@dataclass(frozen=True)
class Settings:
    """What was decided when the all-in-one was made, and holds from then on.

    :param regions: names, that of the services first
    """

    index: int
    bind: str
    database_url: str
    regions: tuple[str, ...] = (DEFAULT_REGION,)

    @property
    def region(self) -> str:
        """The region of the services."""
        return self.regions[0]

    @property
    def cidr(self) -> str:
        """The subnet of the servers."""
        return self.networks[self.region][0].cidr

    @property
    def gateway(self) -> str:
        """The machine's own address on the servers' network."""
        return self.networks[self.region][0].gateway

    @property
    def networks(self) -> dict[str, tuple[Subnet, Subnet]]:
        """The subnets of servers and of floating addresses, by region."""
        first, second = _SUBNETS
        return {name: (self._subnet(part), self._subnet(part + 1)) for name, part in zip(
            self.regions, (first, *range(second, 255, 2)), strict=False)}

    def _subnet(self, part: int) -> Subnet:
        start = f"10.{part}.{self.index}"
        return Subnet(f"{start}.0/24", f"{start}.1")

    @property
    def public_cidr(self) -> str:
        """The subnet of floating addresses."""
        return self.networks[self.region][1].cidr

    @property
    def ports(self) -> dict[str, int]:
        """What listens where."""
        base = _PORT_BASE + _PORT_BLOCK * self.index
        return {"erlang": base, "epmd": base + 1, "rabbitmq": base + 2,
                "minicloud": base + 4, "api": base + 9,
                **{f"metrics of {name}": base + 10 + number
                   for number, name in enumerate(TROVE_SERVICES)}}

    @property
    def client_address(self) -> str:
        """The address that clients on this machine use."""
        return "127.0.0.1" if self.bind in ("", "0.0.0.0") else self.bind  # noqa: S104

    @property
    def api_url(self) -> str:
        """Where the Trove API answers, without a project."""
        return f"http://{self.client_address}:{self.ports['api']}"

    @property
    def metrics_urls(self) -> dict[str, str]:
        """Where Prometheus finds each service, on this machine only."""
        return {name: f"http://127.0.0.1:{self.ports[f'metrics of {name}']}/metrics"
                for name in TROVE_SERVICES}

    @property
    def identity_url(self) -> str:
        """The Keystone endpoint."""
        return f"http://{self.client_address}:{self.ports['minicloud']}/identity/v3"


class Layout:
    """The files of an all-in-one.

    :param state_dir: its directory
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir.resolve()

    @property
    def etc(self) -> Path:
        """Configuration files."""
        return self.state_dir / "etc"

    @property
    def log(self) -> Path:
        """Logs of all services."""
        return self.state_dir / "log"

    @property
    def rabbitmq(self) -> Path:
        """Home and data of the broker."""
        return self.state_dir / "rabbitmq"

    @property
    def trove_conf(self) -> Path:
        """Configuration of the Trove services."""
        return self.etc / "trove.conf"

    @property
    def trove_conf_dir(self) -> Path:
        """Options of the user's own, which outrank those of the file above."""
        return self.etc / "trove.conf.d"

    @property
    def authority(self) -> tuple[Path, Path]:
        """Certificate and private key of the authority of databases."""
        return self.etc / "authority.pem", self.etc / "authority.key"

    @property
    def minicloud_conf(self) -> Path:
        """Configuration of the minicloud."""
        return self.etc / "minicloud.json"

    @property
    def socket(self) -> Path:
        """Where supervisord listens."""
        return self.state_dir / "run" / "supervisor.sock"

    @property
    def settings_file(self) -> Path:
        """See :class:`Settings`."""
        return self.state_dir / "settings.json"

    @property
    def supervisord_conf(self) -> Path:
        """Configuration of the services' supervisord."""
        return self.etc / "supervisord.conf"

    def make(self) -> None:
        """Make the directories.

        :raises LauncherError: the directory belongs to something else
        """
        if len(str(self.socket)) > _SOCKET_LENGTH:
            raise LauncherError(
                f"The state directory's path is too long for a socket: {self.state_dir}")
        if not self.settings_file.exists() and self.state_dir.is_dir() and any(
                self.state_dir.iterdir()):
            # 'destroy' will remove the whole directory
            raise LauncherError(
                f"{self.state_dir} is neither empty nor an all-in-one's; choose another"
                " --state-dir.")
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o755)
        for path, mode in ((self.etc, 0o755), (self.trove_conf_dir, 0o700), (self.log, 0o755),
                           (self.socket.parent, 0o700), (self.rabbitmq, 0o755)):
            path.mkdir(exist_ok=True, mode=mode)

    def settings(self) -> Settings:
        """Return the settings.

        :raises LauncherError: there is no all-in-one here
        """
        try:
            values = json.loads(self.settings_file.read_text())
            values["regions"] = tuple(values.get("regions", (DEFAULT_REGION,)))
            return Settings(**values)
        except FileNotFoundError:
            raise LauncherError(
                f"There is no all-in-one in {self.state_dir}; 'up' makes one.") from None

    def save_settings(self, settings: Settings) -> None:
        """Write the settings."""
        self.settings_file.write_text(json.dumps(asdict(settings), indent=2) + "\n")
        self.settings_file.chmod(0o600)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the all-in-one for one command.

        :raises LauncherError: another command works on it
        """
        REGISTRY.mkdir(exist_ok=True, mode=0o755)
        name = zlib.crc32(str(self.state_dir).encode())
        with (REGISTRY / f"{name:08x}.lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LauncherError(
                    f"Another trove-standalone works on {self.state_dir}; wait for it."
                ) from None
            yield


def check_regions(wanted: Sequence[str], known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of regions as they are kept.

    :param known: the regions that there are already: they stay, others follow them
    :raises LauncherError: a name cannot be used, or a region would be gone
    """
    for name in wanted:
        if not _REGION_NAME.fullmatch(name):
            raise LauncherError(
                f"--regions: {name!r} is no name of a region: it must begin with a letter and"
                " have letters, digits, - and _, at most 32.")
    # files and URLs are named after them
    if len({name.lower() for name in wanted}) != len(wanted):
        raise LauncherError("--regions: a region is named twice.")
    if not 1 <= len(wanted) <= _MOST_REGIONS:
        raise LauncherError(f"--regions: there may be up to {_MOST_REGIONS} regions.")
    if list(wanted[:len(known)]) != list(known):
        raise LauncherError(
            f"--regions: this all-in-one has {','.join(known)}: they stay, in this order;"
            " other regions are named after them.")
    return tuple(wanted)


def claim_index(state_dir: Path, wanted: int | None = None) -> int:
    """Take an index for a state directory, the same one every time if possible.

    :param wanted: the index that it has already
    :raises LauncherError: none is free, or another all-in-one took the wanted one
    """
    REGISTRY.mkdir(exist_ok=True, mode=0o755)
    with (REGISTRY / "indexes.lock").open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        for index in _candidates(state_dir, wanted):
            owner = _owner(index)
            if owner is None or owner == state_dir:
                _index_file(index).write_text(str(state_dir))
                return index
            if index == wanted:
                raise LauncherError(
                    f"Addresses and ports of {state_dir} (index {index}) are used by the"
                    f" all-in-one in {owner}; stop and destroy that one first.")
    raise LauncherError("There are too many all-in-ones on this machine.")


def release_index(state_dir: Path, index: int) -> None:
    """Give an index back."""
    if _owner(index) == state_dir:
        _index_file(index).unlink(missing_ok=True)


def _candidates(state_dir: Path, wanted: int | None) -> list[int]:
    if wanted is not None:
        return [wanted]
    if state_dir == DEFAULT_STATE_DIR:
        return [0]
    first = zlib.crc32(os.fsencode(state_dir)) % (_INDEXES - 1)
    return [1 + (first + step) % (_INDEXES - 1) for step in range(_INDEXES - 1)]


def _owner(index: int) -> Path | None:
    """Return the state directory that holds an index, None when it is gone."""
    try:
        owner = Path(_index_file(index).read_text())
    except FileNotFoundError:
        return None
    return owner if (owner / "settings.json").exists() else None


def _index_file(index: int) -> Path:
    return REGISTRY / f"index-{index}"
