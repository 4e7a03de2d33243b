"""The hypervisor of the all-in-one: every server is a set of namespaces."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from trove_ng.standalone.minicloud.hypervisor import (
    FirewallRule,
    HypervisorError,
    PortSpec,
    ServerSpec,
)
from trove_ng.standalone.runtime import firewall, launch, rootfs
from trove_ng.standalone.runtime import network as bridges
from trove_ng.standalone.runtime.cgroups import ControlGroups
from trove_ng.standalone.runtime.identity import ProcessIdentity
from trove_ng.standalone.runtime.network import Network
from trove_ng.standalone.runtime.records import ServerPlace, ServerRecord
from trove_ng.standalone.runtime.volumes import VolumeStore

LOG = logging.getLogger(__name__)
_CONSOLE_BYTES = 256 * 1024


class HasStateDir(Protocol):
    """What the hypervisor needs of the minicloud's configuration."""

    @property
    def state_dir(self) -> str | Path:
        """Directory of the all-in-one's data."""


class NamespaceHypervisor:
    """Runs servers on this machine; needs root.

    Everything it makes is found again through its directory (``runtime`` below the
    state directory), so that another process can take over at any time.

    :param config: names the state directory
    :param stop_seconds: time that a server gets to stop its programs
    """

    def __init__(self, config: HasStateDir, *, stop_seconds: float = 60) -> None:
        self._state_dir = Path(config.state_dir).resolve()
        self._base = self._state_dir / "runtime"
        self._base.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._volumes = VolumeStore(self._base)
        self._groups = ControlGroups()
        self._roots = rootfs.RootStore(self._base)
        self._stop_seconds = stop_seconds

    # servers

    def create_server(self, spec: ServerSpec) -> None:
        """Make a server and start it; called again after a crash it finishes the work."""
        place = self._place(spec.id)
        if not place.prepared.exists():
            self._prepare(spec, place)
        self.start_server(spec)

    def start_server(self, spec: ServerSpec) -> None:
        """Start a stopped server with its own disk; running already is no error."""
        if self.server_running(spec.id):
            return
        place = self._place(spec.id)
        if not place.prepared.exists():
            raise HypervisorError(f"Server {spec.id} has no disk.")
        self._release(spec.id)
        record = ServerRecord.of(spec)
        record.save(place)
        try:
            self._boot(spec, record, place)
        except BaseException:
            self._release(spec.id)
            raise

    def stop_server(self, server_id: str) -> None:
        """Stop a server and keep its disk; it stays stopped over a restart."""
        self._halt(server_id, self._stop_seconds)
        record = self._record(server_id)
        if record is not None:
            record.stopped = True
            record.save(self._place(server_id))

    def destroy_server(self, server_id: str) -> None:
        """Stop a server and remove its disk; attached volumes are only detached."""
        self._halt(server_id, 0)
        place = self._place(server_id)
        shutil.rmtree(self._roots.open() / server_id, ignore_errors=True)
        shutil.rmtree(place.base, ignore_errors=True)

    def reboot_server(self, spec: ServerSpec, hard: bool) -> None:
        """Stop and start; a soft reboot lets the processes end by themselves first."""
        self._halt(spec.id, 0 if hard else self._stop_seconds)
        self.start_server(spec)

    def rebuild_server(self, spec: ServerSpec) -> None:
        """Replace the disk by a fresh one of ``spec.image``, keep ports and volumes, start."""
        self._halt(spec.id, self._stop_seconds)
        place = self._place(spec.id)
        place.prepared.unlink(missing_ok=True)
        self.create_server(spec)

    def resize_server(self, spec: ServerSpec) -> None:
        """Apply the limits of ``spec`` and restart; the root disk has no limit here."""
        self.reboot_server(spec, hard=False)

    def server_running(self, server_id: str) -> bool:
        """Whether the server's first process is alive."""
        identity = ProcessIdentity.load(self._place(server_id).pid_file)
        return identity is not None and identity.alive()

    def console_log(self, server_id: str) -> str:
        """The last 256 KiB of what the server wrote to its console."""
        try:
            with self._place(server_id).console.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - _CONSOLE_BYTES))
                return stream.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    # volumes

    def attach_volume(self, server_id: str, volume_id: str, device: str) -> None:
        """Show the volume as ``device`` inside the server."""
        place, record = self._known(server_id)
        numbers = self._volumes.attach(volume_id)
        with self._inside(server_id) as pid:
            if pid is not None:
                node = Path(f"/proc/{pid}/root", device.lstrip("/"))
                node.unlink(missing_ok=True)
                os.mknod(node, stat.S_IFBLK | 0o660, os.makedev(*numbers))
        record.volumes[device] = volume_id
        record.save(place)

    def detach_volume(self, server_id: str, volume_id: str) -> None:
        """Take the volume away; refused while the server has it mounted."""
        record = self._record(server_id)
        devices = [] if record is None else [
            device for device, known in record.volumes.items() if known == volume_id]
        self._volumes.detach(volume_id)
        with self._inside(server_id) as pid:
            for device in devices if pid is not None else ():
                Path(f"/proc/{pid}/root", device.lstrip("/")).unlink(missing_ok=True)
        if record is not None:
            for device in devices:
                del record.volumes[device]
            record.save(self._place(server_id))

    def create_volume(
        self,
        volume_id: str,
        size_gb: int,
        source_volume_id: str | None = None,
        source_snapshot_id: str | None = None,
    ) -> None:
        """Make a volume of ``size_gb`` GiB, empty or a copy of its source."""
        self._volumes.create(volume_id, size_gb, source_volume_id, source_snapshot_id)

    def extend_volume(self, volume_id: str, size_gb: int) -> None:
        """Grow a volume to ``size_gb`` GiB; a server that has it sees the new size."""
        self._volumes.extend(volume_id, size_gb)

    def delete_volume(self, volume_id: str) -> None:
        """Remove a volume; refused while it is in use."""
        self._volumes.delete(volume_id)

    def create_snapshot(self, snapshot_id: str, volume_id: str) -> None:
        """Keep a copy of the volume's present content."""
        self._volumes.snapshot(snapshot_id, volume_id)

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot."""
        self._volumes.delete_snapshot(snapshot_id)

    # networks

    def plug_port(self, server_id: str, port: PortSpec) -> None:
        """Add a network interface to a server."""
        place, record = self._known(server_id)
        device = record.interface(port.id)
        with self._inside(server_id) as pid:
            if pid is not None:
                bridges.plug(pid, port, self._network(port.network_id), device)
        record.save(place)

    def unplug_port(self, server_id: str, port_id: str) -> None:
        """Remove a network interface from a server."""
        bridges.unplug(port_id)
        record = self._record(server_id)
        if record is not None and port_id in record.ports:
            del record.ports[port_id]
            record.save(self._place(server_id))

    def set_firewall(self, server_id: str, rules: Sequence[FirewallRule]) -> None:
        """Replace the server's rules, at once and without breaking kept connections."""
        self._known(server_id)
        with self._inside(server_id) as pid:
            if pid is None:
                # a stopped server gets its rules from the specification it starts with
                firewall.render(rules)
            else:
                firewall.apply(pid, rules)

    def ensure_network(self, network: dict[str, Any]) -> None:
        """Make a network (keys id, cidr, gateway) if it is not there yet."""
        made = Network(str(network["id"]), str(network["cidr"]), str(network["gateway"] or ""))
        bridges.ensure_bridge(made)
        path = self._network_file(made.id)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_text(json.dumps(vars(made)))

    def remove_network(self, network_id: str) -> None:
        """Remove a network."""
        path = self._network_file(network_id)
        if path.exists():
            bridges.remove_bridge(self._network(network_id))
            path.unlink()

    # all of them

    def recover(self, specs: Sequence[ServerSpec]) -> None:
        """After a restart: adopt those that run, start the others, destroy unknown ones.

        Servers that were stopped on request stay as they are.

        :param specs: the servers that should run
        """
        self._volumes.thaw()
        for path in sorted((self._base / "networks").glob("*.json")):
            bridges.ensure_bridge(self._network(path.stem))
        wanted = {spec.id for spec in specs}
        for server_id in self._server_ids():
            record = self._record(server_id)
            if server_id not in wanted and not (record is not None and record.stopped):
                LOG.warning("Server %s is not known any more; it is removed.", server_id)
                self.destroy_server(server_id)
        failed = _in_parallel(self._revive, specs)
        for server_id, error in failed.items():
            LOG.error("Server %s does not start: %s", server_id, error)

    def stop_all(self) -> None:
        """Stop every server and release its devices; :meth:`recover` starts them again."""
        failed = _in_parallel(lambda ident: self._halt(ident, self._stop_seconds),
                              self._server_ids())
        if failed:
            raise HypervisorError("; ".join(str(error) for error in failed.values()))

    def running_servers(self) -> dict[str, bool]:
        """Return for every server whether it runs."""
        return {server_id: self.server_running(server_id) for server_id in self._server_ids()}

    def destroy_all(self) -> None:
        """Remove everything this hypervisor ever made."""
        failed = _in_parallel(self.destroy_server, self._server_ids())
        for volume_id in self._volumes.ids():
            self._volumes.delete(volume_id)
        for path in sorted((self._base / "networks").glob("*.json")):
            self.remove_network(path.stem)
        self._groups.remove_parent()
        self._roots.close()
        if failed:
            raise HypervisorError("; ".join(str(error) for error in failed.values()))
        shutil.rmtree(self._base)

    # inside

    def _prepare(self, spec: ServerSpec, place: ServerPlace) -> None:
        store = self._roots.open() / spec.id
        shutil.rmtree(store, ignore_errors=True)
        place.make()
        private = {**rootfs.PRIVATE_DIRECTORIES, str(self._state_dir): 0o700}
        files = {"/etc/fstab": "", "/etc/machine-id": spec.id.replace("-", "") + "\n",
                 "/etc/resolv.conf": "# there is no name service\n"}
        layers = self._layers(spec, store)
        rootfs.prepare(layers, private, files)
        changes = spec.image.get("changes")
        if changes:
            rootfs.change(layers, Path(str(changes)))
        place.prepared.touch()

    def _layers(self, spec: ServerSpec, store: Path) -> list[rootfs.Layer]:
        source = str(spec.image.get("rootfs") or "/")
        if not os.path.isdir(source):
            raise HypervisorError(f"Image {spec.image.get('id')} has no directory {source}.")
        hidden = [*rootfs.PRIVATE_DIRECTORIES, str(self._state_dir)]
        return rootfs.layers(source, store, hidden)

    def _boot(self, spec: ServerSpec, record: ServerRecord, place: ServerPlace) -> None:
        place.write_config_drive(spec.config_drive)
        devices = {
            device.removeprefix("/dev/"): self._volumes.attach(volume_id)
            for device, volume_id in spec.volumes.items()}
        networks = {port.id: self._network(port.network_id) for port in spec.ports}
        for each in networks.values():
            bridges.ensure_bridge(each)
        groups = self._groups.set_limits(spec.id, spec.vcpus, spec.ram_mb)
        layers = self._layers(spec, self._roots.open() / spec.id)
        plan = launch.make_plan(spec, place, layers, groups, devices)

        def connect(pid: int) -> None:
            bridges.open_loopback(pid)
            firewall.apply(pid, spec.rules)
            for port in spec.ports:
                bridges.plug(pid, port, networks[port.id], record.interface(port.id))

        launch.start(plan, place, connect)
        LOG.info("Server %s runs.", spec.id)

    def _revive(self, spec: ServerSpec) -> None:
        if self.server_running(spec.id):
            # rules may have changed while nobody listened
            self.set_firewall(spec.id, spec.rules)
        else:
            self.create_server(spec)

    def _halt(self, server_id: str, grace: float) -> None:
        identity = ProcessIdentity.load(self._place(server_id).pid_file)
        if identity is not None and not identity.end(grace) and grace:
            LOG.warning("Server %s was killed: it did not stop in %s s.", server_id, grace)
        self._release(server_id)

    def _release(self, server_id: str) -> None:
        """Free what a server without processes still holds of the machine."""
        place = self._place(server_id)
        record = self._record(server_id)
        if record is not None:
            for port_id in record.ports:
                bridges.unplug(port_id)
            for volume_id in record.volumes.values():
                self._volumes.detach(volume_id)
        self._groups.remove(server_id)
        place.pid_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _inside(self, server_id: str) -> Iterator[int | None]:
        """Give the server's first process, or None when it does not run."""
        identity = ProcessIdentity.load(self._place(server_id).pid_file)
        yield identity.pid if identity is not None and identity.alive() else None

    def _place(self, server_id: str) -> ServerPlace:
        return ServerPlace(self._base / "servers" / server_id)

    def _record(self, server_id: str) -> ServerRecord | None:
        return ServerRecord.load(self._place(server_id))

    def _known(self, server_id: str) -> tuple[ServerPlace, ServerRecord]:
        record = self._record(server_id)
        if record is None:
            raise HypervisorError(f"Server {server_id} does not exist.")
        return self._place(server_id), record

    def _server_ids(self) -> list[str]:
        servers = self._base / "servers"
        return sorted(path.name for path in servers.iterdir()) if servers.is_dir() else []

    def _network_file(self, network_id: str) -> Path:
        return self._base / "networks" / f"{network_id}.json"

    def _network(self, network_id: str) -> Network:
        try:
            return Network(**json.loads(self._network_file(network_id).read_text()))
        except FileNotFoundError:
            raise HypervisorError(f"Network {network_id} does not exist.") from None


def _in_parallel(action: Callable[[Any], None], subjects: Sequence[Any]) -> dict[str, Exception]:
    """Do something with every server; return what failed, by server id."""
    failed: dict[str, Exception] = {}
    if not subjects:
        return failed
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        tasks = {pool.submit(action, subject): subject for subject in subjects}
        for task in concurrent.futures.as_completed(tasks):
            error = task.exception()
            if isinstance(error, Exception):
                subject = tasks[task]
                failed[getattr(subject, "id", subject)] = error
    return failed
