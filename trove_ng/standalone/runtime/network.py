"""Networks are bridges of the host, ports are veth pairs.

The only thing that changes on the host is the bridge: it carries the gateway's
address, so that host and servers reach each other without routing or NAT.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from trove_ng.standalone.minicloud.hypervisor import HypervisorError, PortSpec
from trove_ng.standalone.runtime.commands import run

_SYS_NET = Path("/sys/class/net")


@dataclass(frozen=True)
class Network:
    """A network: its id, its addresses and the gateway (empty when it has none)."""

    id: str
    cidr: str
    gateway: str

    @property
    def bridge(self) -> str:
        """The name of its bridge.

        Two networks with one gateway address cannot exist on one machine, so
        the address makes the name: the launcher knows it before there is a
        network, and can let its services listen on it.
        """
        if self.gateway:
            return "tnb" + ipaddress.ip_address(self.gateway).packed.hex()[-10:]
        return "tnb" + _short(self.id)


def host_interface(port_id: str) -> str:
    """Return the name of the host's end of a port (at most 15 characters)."""
    return "tnp" + _short(port_id)


def ensure_bridge(network: Network) -> None:
    """Make the network's bridge with the gateway's address, if it is not there."""
    name = network.bridge
    if not _exists(name):
        try:
            run(["ip", "link", "add", name, "type", "bridge", "forward_delay", "0"])
        except HypervisorError:
            # another process may have been first
            if not _exists(name):
                raise
    lines = [f"link set {name} up"]
    if network.gateway:
        length = ipaddress.ip_network(network.cidr, strict=False).prefixlen
        lines.insert(0, f"addr replace {network.gateway}/{length} dev {name}")
    run(["ip", "-batch", "-"], text="\n".join(lines) + "\n")


def remove_bridge(network: Network) -> None:
    """Remove the network's bridge; gone already is no error."""
    _remove_link(network.bridge)


def open_loopback(pid: int) -> None:
    """Bring up ``lo`` in the namespace of a process."""
    run(["nsenter", "-t", str(pid), "-n", "ip", "link", "set", "lo", "up"])


def plug(pid: int, port: PortSpec, network: Network, device: str) -> None:
    """Connect the namespace of a process to a network.

    :param pid: a process inside the server
    :param device: the interface's name inside the server
    """
    outside = host_interface(port.id)
    _remove_link(outside)
    # A neighbour entry of an earlier owner of the address would keep the host
    # from reaching this one for a while.
    run(["ip", "-batch", "-"], text="\n".join([
        f"link add {outside} type veth peer name {device} address {port.mac} netns {pid}",
        f"link set {outside} master {network.bridge} up",
        f"neigh replace {port.ip} lladdr {port.mac} dev {network.bridge} nud stale",
    ]) + "\n")
    inside = [f"addr replace {port.ip}/{port.prefixlen} dev {device}", f"link set {device} up"]
    if port.gateway:
        inside.append(f"route replace default via {port.gateway} dev {device}")
    run(["nsenter", "-t", str(pid), "-n", "ip", "-batch", "-"], text="\n".join(inside) + "\n")


def unplug(port_id: str) -> None:
    """Remove a port; gone already is no error."""
    _remove_link(host_interface(port_id))


def _exists(name: str) -> bool:
    return (_SYS_NET / name).exists()


def _remove_link(name: str) -> None:
    if not _exists(name):
        return
    try:
        run(["ip", "link", "del", name])
    except HypervisorError:
        # the kernel may have removed it with its namespace meanwhile
        if _exists(name):
            raise


def _short(ident: str) -> str:
    return hashlib.sha256(ident.encode()).hexdigest()[:11]
