"""Volumes and interfaces of servers that exist."""

from __future__ import annotations

import logging
from typing import Any

from trove_ng.standalone.minicloud import cinder_errors, nova_states
from trove_ng.standalone.minicloud import nova_check as check
from trove_ng.standalone.minicloud import nova_errors as errors
from trove_ng.standalone.minicloud import nova_views as views
from trove_ng.standalone.minicloud.cinder_volumes import Volumes
from trove_ng.standalone.minicloud.hypervisor import Hypervisor, HypervisorError
from trove_ng.standalone.minicloud.neutron_ports import Ports
from trove_ng.standalone.minicloud.nova_call import Answer, Caller
from trove_ng.standalone.minicloud.nova_create import link_volume
from trove_ng.standalone.minicloud.nova_networking import Networking
from trove_ng.standalone.minicloud.nova_servers import Servers
from trove_ng.standalone.minicloud.scheduler import Scheduler
from trove_ng.standalone.minicloud.store import Store

LOG = logging.getLogger(__name__)

Document = dict[str, Any]



class Attachments:
    """Attaches volumes to servers and detaches them; Cinder's states follow."""

    def __init__(
        self, store: Store, servers: Servers, volumes: Volumes, hypervisor: Hypervisor,
        scheduler: Scheduler,
    ) -> None:
        self._store = store
        self._servers = servers
        self._volumes = volumes
        self._hypervisor = hypervisor
        self._scheduler = scheduler
        scheduler.register("nova.attach_volume", self._attach_job)
        scheduler.register("nova.detach_volume", self._detach_job)

    @staticmethod
    def _owner(caller: Caller) -> str | None:
        return None if caller.admin else caller.project_id

    def index(self, server_id: str, caller: Caller) -> Answer:
        """Return the volumes of a server."""
        server = self._servers.get(server_id, self._owner(caller))
        return 200, {"volumeAttachments": [
            views.attachment(server_id, volume_id, link, caller.version)
            for volume_id, link in server["volumes"].items()]}

    def _link(self, server: Document, volume_id: str) -> Document:
        link: Document | None = server["volumes"].get(volume_id)
        if link is None:
            raise errors.not_found(
                f"Instance {server['id']} is not attached to volume {volume_id}")
        return link

    def show(self, server_id: str, volume_id: str, caller: Caller) -> Answer:
        """Return one volume of a server."""
        server = self._servers.get(server_id, self._owner(caller))
        link = self._link(server, volume_id)
        return 200, {"volumeAttachment": views.attachment(
            server_id, volume_id, link, caller.version)}

    def create(self, server_id: str, document: Any, caller: Caller) -> Answer:
        """Begin to attach a volume."""
        body = check.body(document, "volumeAttachment")
        check.only(body, ("volumeId", "device", "tag", "delete_on_termination"),
                   "volumeAttachment")
        volume_id = check.uuid(body.get("volumeId"), "volumeId")
        with self._store.transaction():
            server = self._servers.get(server_id, self._owner(caller))
            self._servers.require("attach_volume", server)
            if volume_id in server["volumes"]:
                raise errors.bad_request(
                    f"Invalid volume: volume {volume_id} already attached")
            try:
                reserved = self._volumes.reserve(volume_id, self._owner(caller), server_id)
            except cinder_errors.NotFound as exc:
                raise errors.not_found(f"Volume {volume_id} could not be found.") from exc
            except cinder_errors.BadRequest as exc:
                status = self._volumes.get(volume_id)["status"]
                raise errors.bad_request(
                    f"Invalid volume: volume {volume_id} status must be 'available'. "
                    f"Currently in '{status}' status") from exc
            link = link_volume(server, volume_id, reserved["id"], body)
            self._servers.save(server)
            self._scheduler.schedule("nova.attach_volume", server_id, {"volume": volume_id})
        return 200, {"volumeAttachment": views.attachment(
            server_id, volume_id, link, caller.version)}

    def _attach_job(self, server_id: str, args: Document) -> None:
        volume_id = args["volume"]
        with self._servers.locked(server_id):
            server = self._servers.find(server_id)
            link = server["volumes"].get(volume_id) if server else None
            if server is None or link is None or link["connected"]:
                return
            try:
                self._volumes.connect(link["attachment_id"], server["host"], link["device"])
                if server["power_state"] == nova_states.RUNNING:
                    self._hypervisor.attach_volume(server_id, volume_id, link["device"])
            except HypervisorError as exc:
                LOG.warning("volume %s cannot be attached to %s: %s", volume_id, server_id, exc)
                self._unlink(server_id, volume_id)
                return
            self._set_connected(server_id, volume_id)
            self._volumes.complete(link["attachment_id"])

    def _set_connected(self, server_id: str, volume_id: str) -> None:
        with self._store.transaction():
            server = self._servers.find(server_id)
            if server is not None and volume_id in server["volumes"]:
                server["volumes"][volume_id]["connected"] = True
                self._servers.save(server)

    def _unlink(self, server_id: str, volume_id: str) -> None:
        with self._store.transaction():
            server = self._servers.find(server_id)
            link = server["volumes"].pop(volume_id, None) if server else None
            if server is not None and link is not None:
                self._servers.save(server)
                self._volumes.release(link["attachment_id"])

    def update(self, server_id: str, volume_id: str, document: Any, caller: Caller) -> Answer:
        """Change whether a volume goes with its server; a swap of volumes is refused."""
        body = check.body(document, "volumeAttachment")
        if body.get("volumeId", volume_id) != volume_id:
            raise errors.conflict("This cloud does not swap the volumes of a server")
        with self._store.transaction():
            server = self._servers.get(server_id, self._owner(caller))
            link = self._link(server, volume_id)
            if "delete_on_termination" in body:
                link["delete_on_termination"] = check.boolean(
                    body["delete_on_termination"], "delete_on_termination")
            self._servers.save(server)
        return 202, None

    def delete(self, server_id: str, volume_id: str, caller: Caller) -> Answer:
        """Begin to detach a volume."""
        with self._store.transaction():
            server = self._servers.get(server_id, self._owner(caller))
            self._link(server, volume_id)
            self._servers.require("detach_volume", server)
            try:
                self._volumes.begin_detaching(volume_id, None)
            except cinder_errors.BadRequest as exc:
                raise errors.bad_request(str(exc)) from exc
            self._scheduler.schedule("nova.detach_volume", server_id, {"volume": volume_id})
        return 202, None

    def _detach_job(self, server_id: str, args: Document) -> None:
        volume_id = args["volume"]
        with self._servers.locked(server_id):
            server = self._servers.find(server_id)
            if server is None or volume_id not in server["volumes"]:
                return
            try:
                self._hypervisor.detach_volume(server_id, volume_id)
            except HypervisorError as exc:
                LOG.warning("volume %s stays with %s: %s", volume_id, server_id, exc)
                self._volumes.roll_detaching(volume_id)
                return
            self._unlink(server_id, volume_id)


class Interfaces:
    """Adds ports to servers and takes them away."""

    def __init__(
        self, store: Store, servers: Servers, ports: Ports, networking: Networking,
        scheduler: Scheduler,
    ) -> None:
        self._store = store
        self._servers = servers
        self._ports = ports
        self._networking = networking
        self._scheduler = scheduler
        scheduler.register("nova.detach_interface", self._detach_job)

    def index(self, server_id: str, caller: Caller) -> Answer:
        """Return the interfaces of a server."""
        server = self._server(server_id, caller)
        return 200, {"interfaceAttachments": [
            views.interface(port, caller.version) for port in self._ports.of_server(server["id"])]}

    def _server(self, server_id: str, caller: Caller) -> Document:
        return self._servers.get(server_id, None if caller.admin else caller.project_id)

    def _port(self, server: Document, port_id: str) -> Document:
        for port in self._ports.of_server(server["id"]):
            if port["id"] == port_id:
                return port
        raise errors.not_found(f"Instance {server['id']} does not have a port with id {port_id}")

    def show(self, server_id: str, port_id: str, caller: Caller) -> Answer:
        """Return one interface of a server."""
        port = self._port(self._server(server_id, caller), port_id)
        return 200, {"interfaceAttachment": views.interface(port, caller.version)}

    def create(self, server_id: str, document: Any, caller: Caller) -> Answer:
        """Add an interface; answers when it is there, as Nova does."""
        body = check.body(document, "interfaceAttachment") if document else {}
        check.only(body, ("port_id", "net_id", "fixed_ips", "tag"), "interfaceAttachment")
        if body.get("port_id") and body.get("net_id"):
            raise errors.bad_request("Must not input both network_id and port_id")
        if body.get("fixed_ips") and not body.get("net_id"):
            raise errors.bad_request("Must input network_id when request IP address")
        with self._servers.locked(server_id):
            server = self._server(server_id, caller)
            self._servers.require("attach_interface", server)
            entry = self._entry(body, caller)
            try:
                port = self._networking.attach(server, entry)
            except HypervisorError as exc:
                raise errors.server_error(f"Failed to attach interface: {exc}") from exc
        return 200, {"interfaceAttachment": views.interface(port, caller.version)}

    def _entry(self, body: Document, caller: Caller) -> Document:
        if body.get("port_id"):
            port = self._networking.free_port(
                check.uuid(body["port_id"], "port_id"), caller.project_id, caller.admin)
            return {"port": port["id"]}
        if body.get("net_id"):
            network = self._networking.network(
                check.uuid(body["net_id"], "net_id"), caller.project_id)
            wanted = body.get("fixed_ips") or [{}]
            return {"uuid": network["id"], "fixed_ip": wanted[0].get("ip_address")}
        return self._networking.resolve("auto", caller.project_id, caller.admin)[0]

    def delete(self, server_id: str, port_id: str, caller: Caller) -> Answer:
        """Begin to take an interface away."""
        server = self._server(server_id, caller)
        self._servers.require("detach_interface", server)
        self._port(server, port_id)
        self._scheduler.schedule("nova.detach_interface", server_id, {"port": port_id})
        return 202, None

    def _detach_job(self, server_id: str, args: Document) -> None:
        with self._servers.locked(server_id):
            server = self._servers.find(server_id)
            port = self._store.get("port", args["port"])
            if server is None or port is None or port["device_id"] != server_id:
                return
            try:
                self._networking.detach(server, port)
            except HypervisorError as exc:
                LOG.warning("port %s stays with %s: %s", port["id"], server_id, exc)
