"""What Nova does in the background: boot, delete, power, rebuild, resize."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from trove_ng.standalone.minicloud import nova_states
from trove_ng.standalone.minicloud.cinder_volumes import Volumes
from trove_ng.standalone.minicloud.hypervisor import Hypervisor, HypervisorError
from trove_ng.standalone.minicloud.nova_call import CloudFault
from trove_ng.standalone.minicloud.nova_networking import Networking
from trove_ng.standalone.minicloud.nova_placement import NoValidHost
from trove_ng.standalone.minicloud.nova_servers import Servers, host_id, moment, precise_moment
from trove_ng.standalone.minicloud.scheduler import Scheduler

LOG = logging.getLogger(__name__)

Document = dict[str, Any]
NO_HOST = "No valid host was found. There are not enough hosts available."


class Work:
    """The scheduled jobs of Nova; every job can be run again after a crash.

    A job looks at the server's document first: what is done already, or no longer
    wanted, is not done again.
    """

    def __init__(
        self, servers: Servers, hypervisor: Hypervisor, networking: Networking,
        volumes: Volumes, scheduler: Scheduler,
    ) -> None:
        self._servers = servers
        self._hypervisor = hypervisor
        self._networking = networking
        self._volumes = volumes
        for name, job in (
            ("boot", self._boot), ("delete", self._delete), ("reboot", self._reboot),
            ("start", self._start), ("stop", self._stop), ("rebuild", self._rebuild),
            ("resize", self._resize), ("confirm", self._confirm), ("revert", self._revert),
            ("live_migrate", self._live_migrate),
        ):
            scheduler.register(f"nova.{name}", self._guarded(job))

    def _guarded(
        self, job: Callable[[Document, Document], None],
    ) -> Callable[[str, Document], None]:
        """Return a job that runs under the server's lock; its failure becomes the fault."""
        def run(server_id: str, args: Document) -> None:
            with self._servers.locked(server_id):
                server = self._servers.find(server_id)
                if server is None:
                    return
                try:
                    job(server, args)
                except (HypervisorError, CloudFault) as exc:
                    LOG.warning("server %s: %s", server_id, exc)
                    self._servers.failed(server_id, str(exc))
        return run

    # boot and delete

    def _boot(self, server: Document, args: Document) -> None:
        if server["vm_state"] != nova_states.BUILDING or server["task_state"] == "deleting":
            return
        try:
            self._spawn(server, args)
        except NoValidHost:
            self._servers.failed(server["id"], NO_HOST)
            self._give_back(server["id"])
        except (HypervisorError, CloudFault) as exc:
            LOG.warning("server %s cannot boot: %s", server["id"], exc)
            self._servers.failed(
                server["id"], f"Build of instance {server['id']} aborted: {exc}")
            self._hypervisor.destroy_server(server["id"])
            self._give_back(server["id"])

    def _spawn(self, server: Document, args: Document) -> None:
        server_id = server["id"]
        if not server["host"]:
            host = self._servers.pick_host(server, forced=args.get("host"))
            self._servers.change(
                server_id, host=host, host_id=host_id(server["project_id"], host),
                task_state="networking")
        self._networking.prepare(server_id, args["networks"], args["security_groups"])
        self._servers.change(server_id, task_state="block_device_mapping")
        self._connect_volumes(server_id)
        current = self._servers.change(server_id, task_state="spawning")
        if current is None or current["task_state"] == "deleting":
            return
        self._make_disks(current)
        self._hypervisor.create_server(self._servers.spec(current))
        self._complete_volumes(server_id)
        self._running(server_id, launched_at=precise_moment(), progress=100)

    def _make_disks(self, server: Document) -> None:
        """Make the disks of a server that are neither its root disk nor volumes."""
        for one in server["ephemeral"]:
            self._hypervisor.create_volume(one["id"], one["size"])

    def _running(self, server_id: str, **changes: Any) -> None:
        self._servers.change(
            server_id, vm_state=nova_states.ACTIVE, task_state=None,
            power_state=nova_states.RUNNING, fault=None, **changes)
        self._networking.set_status(server_id, "ACTIVE")

    def _connect_volumes(self, server_id: str) -> None:
        server = self._servers.get(server_id)
        for volume_id, link in server["volumes"].items():
            self._volumes.make(volume_id)
            if link["attachment_id"] is None:
                reserved = self._volumes.reserve(volume_id, None, server_id)
                link["attachment_id"] = reserved["id"]
                self._servers.change(server_id, volumes=server["volumes"])
            if self._volumes.get(volume_id)["status"] == "reserved":
                self._volumes.connect(link["attachment_id"], server["host"], link["device"])
            link["connected"] = True
        self._servers.change(server_id, volumes=server["volumes"])

    def _complete_volumes(self, server_id: str) -> None:
        for link in self._servers.get(server_id)["volumes"].values():
            self._volumes.complete(link["attachment_id"])

    def _give_back(self, server_id: str) -> None:
        """Release what a server holds that never ran or is going away."""
        server = self._servers.get(server_id)
        for volume_id, link in server["volumes"].items():
            never_used = link["attachment_id"] is None
            if not never_used:
                self._volumes.release(link["attachment_id"])
            if link["delete_on_termination"] or never_used:
                self._volumes.delete(volume_id, None, force=True)
        for one in server["ephemeral"]:
            self._hypervisor.delete_volume(one["id"])
        self._servers.change(server_id, volumes={}, ephemeral=[])
        self._networking.release(server_id)

    def _delete(self, server: Document, _args: Document) -> None:
        self._networking.set_status(server["id"], "DOWN")
        self._hypervisor.destroy_server(server["id"])
        self._give_back(server["id"])
        self._servers.forget(server["id"])

    # power

    def _reboot(self, server: Document, args: Document) -> None:
        if server["task_state"] not in ("rebooting", "rebooting_hard"):
            return
        self._hypervisor.reboot_server(self._servers.spec(server), bool(args["hard"]))
        self._running(server["id"])

    def _start(self, server: Document, _args: Document) -> None:
        if server["task_state"] != "powering-on":
            return
        self._hypervisor.start_server(self._servers.spec(server))
        self._running(server["id"])

    def _stop(self, server: Document, _args: Document) -> None:
        if server["task_state"] != "powering-off":
            return
        self._hypervisor.stop_server(server["id"])
        self._stopped(server["id"])

    def _stopped(self, server_id: str) -> None:
        self._servers.change(
            server_id, vm_state=nova_states.STOPPED, task_state=None,
            power_state=nova_states.SHUTDOWN, fault=None)
        self._networking.set_status(server_id, "DOWN")

    # rebuild

    def _rebuild(self, server: Document, _args: Document) -> None:
        if server["task_state"] != "rebuilding":
            return
        self._make_disks(server)
        self._hypervisor.rebuild_server(self._servers.spec(server))
        for ident in server["stale_disks"]:
            self._hypervisor.delete_volume(ident)
        self._servers.change(server["id"], stale_disks=[])
        if server["vm_state"] == nova_states.STOPPED:
            # a server that was off stays off
            self._hypervisor.stop_server(server["id"])
            self._stopped(server["id"])
        else:
            self._running(server["id"], launched_at=precise_moment())

    # resize and migration

    def _resize(self, server: Document, args: Document) -> None:
        if server["task_state"] == "resize_prep":
            moved = self._move(server, args)
            if moved is None:
                return
            server = moved
        if server["task_state"] != "resize_finish":
            return
        if server["power_state"] == nova_states.RUNNING:
            self._hypervisor.resize_server(self._servers.spec(server))
        self._servers.change(
            server["id"], vm_state=nova_states.RESIZED, task_state=None, fault=None)

    def _move(self, server: Document, args: Document) -> Document | None:
        """Choose the host of a resize or migration and note what revert needs."""
        try:
            host = self._servers.pick_host(
                server, excluded=args.get("excluded", ()), forced=args.get("host"))
        except NoValidHost:
            # as in Nova: the server stays as it was, only the fault tells
            self._servers.change(server["id"], task_state=None, fault={
                "code": 400, "created": moment(), "message": NO_HOST, "details": NO_HOST})
            return None
        return self._servers.change(
            server["id"], task_state="resize_finish", old_flavor=server["flavor"],
            flavor=args["flavor"], old_host=server["host"], host=host,
            host_id=host_id(server["project_id"], host), old_vm_state=server["vm_state"])

    def _confirm(self, server: Document, _args: Document) -> None:
        if server["vm_state"] != nova_states.RESIZED:
            return
        running = server["power_state"] == nova_states.RUNNING
        self._servers.change(
            server["id"], task_state=None, old_flavor=None, old_host=None, old_vm_state=None,
            vm_state=nova_states.ACTIVE if running else nova_states.STOPPED)

    def _revert(self, server: Document, _args: Document) -> None:
        if server["task_state"] != "resize_reverting":
            return
        host = server["old_host"] or server["host"]
        changed = self._servers.change(
            server["id"], flavor=server["old_flavor"] or server["flavor"], old_flavor=None,
            old_host=None, host=host, host_id=host_id(server["project_id"], host))
        if changed is None:
            return
        running = server["power_state"] == nova_states.RUNNING
        if running:
            self._hypervisor.resize_server(self._servers.spec(changed))
        self._servers.change(
            server["id"], task_state=None, old_vm_state=None, fault=None,
            vm_state=nova_states.ACTIVE if running else nova_states.STOPPED)

    def _live_migrate(self, server: Document, args: Document) -> None:
        if server["task_state"] != "migrating":
            return
        try:
            host = self._servers.pick_host(
                server, excluded=(server["host"],), forced=args.get("host"))
        except NoValidHost:
            self._servers.change(server["id"], task_state=None)
            return
        # every host is this machine: only the address book changes
        self._servers.change(
            server["id"], task_state=None, host=host,
            host_id=host_id(server["project_id"], host))
