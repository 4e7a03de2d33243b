"""What the cloud has, without the shapes of its clients."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Mapping

from trove_ng.common.secret import Secret

#: metadata that names the instance a server or volume was made for
INSTANCE_KEY = "trove_instance_id"
#: metadata that says what a volume is for; without it, it is a data volume
VOLUME_KIND_KEY = "trove_volume_kind"
#: metadata that names the backup a snapshot is
BACKUP_KEY = "trove_backup_id"
#: metadata of a volume that is kept for its snapshots: the instance that it was of
KEPT_KEY = "trove_kept_instance_id"
#: names of ports and security groups, which have no metadata
_GROUP_NAME = re.compile(r"trove-([0-9a-f-]{36})")
_PORT_NAME = re.compile(r"trove-([0-9a-f-]{36})-[0-9]+")


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A server size.

    :param ram_mb: memory in MiB
    :param disk_gb: root disk in GB
    """

    id: str
    name: str
    ram_mb: int
    vcpus: int
    disk_gb: int
    ephemeral_gb: int = 0
    is_public: bool = True


@dataclasses.dataclass(frozen=True)
class VolumeType:
    """A kind of block storage."""

    id: str
    name: str
    is_public: bool = True
    description: str | None = None


@dataclasses.dataclass(frozen=True)
class Server:
    """A server.

    :param task_state: what the compute service does with it, None when idle
    :param fault: why it failed, empty when it did not
    :param host: compute host that it is on, None when the cloud does not tell it
    :param image_id: of its root disk, empty when it is a volume
    """

    id: str
    name: str
    status: str
    task_state: str | None
    flavor_id: str
    created: str
    fault: str
    metadata: Mapping[str, str]
    host: str | None = None
    image_id: str = ""

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for."""
        return self.metadata.get(INSTANCE_KEY) or None


@dataclasses.dataclass(frozen=True)
class Host:
    """A compute host.

    :param status: ``enabled``, or ``disabled`` by an operator
    :param state: ``up`` or ``down``
    :param ram_mb: MiB of memory, None when the cloud does not tell it
    :param ram_used_mb: likewise, what servers have of it
    """

    name: str
    status: str
    state: str
    ram_mb: int | None
    ram_used_mb: int | None


@dataclasses.dataclass(frozen=True)
class Pool:
    """Storage that volumes are made of; sizes in GB, None when it is not known.

    :param kind: protocol, for example ``iSCSI``
    :param provisioned_gb: what its volumes may grow to
    :param ratio: how many times its size may be provisioned
    """

    name: str
    kind: str
    total_gb: float | None
    free_gb: float | None
    provisioned_gb: float | None
    ratio: float


@dataclasses.dataclass(frozen=True)
class Volume:
    """A volume.

    :param attached_to: id of the server it is attached to
    :param device: path on that server, as the cloud tells it
    """

    id: str
    name: str
    status: str
    size_gb: int
    attached_to: str | None
    device: str | None
    metadata: Mapping[str, str]

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for."""
        return self.metadata.get(INSTANCE_KEY) or None

    @property
    def kind(self) -> str:
        """What the instance has it for."""
        return self.metadata.get(VOLUME_KIND_KEY) or "data"

    @property
    def kept_of(self) -> str | None:
        """The deleted instance whose snapshots need it."""
        return self.metadata.get(KEPT_KEY) or None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot of a volume.

    :param size_gb: of the volume when it was made
    """

    id: str
    name: str
    status: str
    size_gb: int
    volume_id: str
    metadata: Mapping[str, str]

    @property
    def backup_id(self) -> str | None:
        """The backup that it is."""
        return self.metadata.get(BACKUP_KEY) or None


@dataclasses.dataclass(frozen=True)
class Port:
    """A network port; the address is its first fixed one."""

    id: str
    name: str
    network_id: str
    ip_address: str | None
    device_id: str
    status: str = ""
    #: its owner lets it carry anything
    is_open: bool = True

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for."""
        found = _PORT_NAME.fullmatch(self.name)
        return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class Subnet:
    """Addresses of a network.

    :param gateway: address that no port of a server can have, None when there is none
    """

    id: str
    cidr: str
    gateway: str | None

    def holds(self, address: str) -> bool:
        """Return whether a server may have an address, as far as its ports do not have it."""
        wanted, network = ipaddress.ip_address(address), ipaddress.ip_network(self.cidr)
        outer = {network.network_address, network.broadcast_address}
        if network.version == 6 or network.prefixlen > 30:
            outer = set()
        return wanted in network and wanted not in outer and (
            self.gateway is None or wanted != ipaddress.ip_address(self.gateway))


@dataclasses.dataclass(frozen=True)
class SecurityGroup:
    """A security group.

    :param networks: those that it lets in, whatever the port, as CIDRs
    """

    id: str
    name: str
    networks: frozenset[str] = frozenset()

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for."""
        found = _GROUP_NAME.fullmatch(self.name)
        return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class FloatingIP:
    """An address of an external network, given to a port.

    :param name: its description: the service has no names for addresses
    :param port_id: None when it is given to none
    """

    id: str
    name: str
    network_id: str
    address: str
    port_id: str | None

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for."""
        found = _GROUP_NAME.fullmatch(self.name)
        return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class ServerGroup:
    """Servers that are placed near to each other, or apart.

    :param policy: as the compute service names it, for example ``anti-affinity``
    """

    id: str
    name: str
    policy: str

    @property
    def instance_id(self) -> str | None:
        """The instance it was made for, the first of its servers."""
        found = _GROUP_NAME.fullmatch(self.name)
        return found[1] if found else None


@dataclasses.dataclass(frozen=True)
class Image:
    """An image.

    :param md5: of its data, empty when the image service does not tell
    :param digest: algorithm, colon, hash of its data; empty when it does not tell
    """

    id: str
    name: str
    min_disk_gb: int
    min_ram_mb: int
    md5: str = ""
    digest: str = ""


@dataclasses.dataclass(frozen=True)
class Grant:
    """Leave to use the objects below a prefix, by signed URLs.

    :param get_query: query string for GET and HEAD
    :param put_query: query string for PUT, None for a grant to read
    :param expires_at: Unix time, seconds
    """

    container_url: str
    prefix: str
    get_query: Secret
    put_query: Secret | None
    expires_at: int
