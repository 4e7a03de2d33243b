"""Servers, by python-novaclient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tenacity

from trove_ng.cloud.calls import Calls
from trove_ng.cloud.errors import CloudConflict, CloudNotFound, CloudRejected
from trove_ng.cloud.types import INSTANCE_KEY, Flavor, Host, Server, ServerGroup

_PAGE = 500


def _server(found: Any) -> Server:
    return Server(
        id=found.id, name=found.name, status=found.status,
        task_state=getattr(found, "OS-EXT-STS:task_state", None),
        flavor_id=str(found.flavor.get("id", "")), created=found.created,
        fault=str((getattr(found, "fault", None) or {}).get("message", "")),
        metadata=dict(found.metadata),
        host=getattr(found, "OS-EXT-SRV-ATTR:host", None),
        # an empty text when it was booted from a volume
        image_id=str((getattr(found, "image", None) or {}).get("id", "")))


def _flavor(found: Any) -> Flavor:
    return Flavor(
        id=str(found.id), name=found.name, ram_mb=found.ram, vcpus=found.vcpus,
        disk_gb=found.disk, ephemeral_gb=getattr(found, "OS-FLV-EXT-DATA:ephemeral", 0) or 0,
        is_public=getattr(found, "os-flavor-access:is_public", True))


def _added(values: Iterable[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None


def _server_group(found: Any) -> ServerGroup:
    policies = getattr(found, "policies", None) or [found.policy]
    return ServerGroup(id=found.id, name=found.name, policy=policies[0])


class Compute:
    """The compute service.

    :param client: novaclient's client
    :param newer: returns one that speaks at least version 2.57 of the API
    """

    def __init__(self, client: Any, calls: Calls, newer: Callable[[], Any]) -> None:
        self._client = client
        self._calls = calls
        self._newer = newer

    def find_servers(self, instance_id: str) -> list[Server]:
        """Return the servers that were made for an instance, the oldest first."""
        # names are the users' choice; what a lost answer left is found by metadata
        found = [one for one in self.list_servers() if one.instance_id == instance_id]
        return sorted(found, key=lambda one: (one.created, one.id))

    def find_server(self, instance_id: str) -> Server | None:
        """Return the oldest server of an instance."""
        return next(iter(self.find_servers(instance_id)), None)

    def list_servers_by_instance(self) -> dict[str, list[Server]]:
        """Return all servers that were made for instances."""
        found: dict[str, list[Server]] = {}
        for one in self.list_servers():
            if one.instance_id:
                found.setdefault(one.instance_id, []).append(one)
        return found

    # the server that a page ended with may be gone when the next one is asked for
    @tenacity.retry(retry=tenacity.retry_if_exception_type(CloudRejected),
                    stop=tenacity.stop_after_attempt(5), reraise=True)
    def list_servers(self) -> list[Server]:
        """Return all servers of the service's project."""
        found: list[Server] = []
        marker = None
        while True:
            page = self._calls.again(
                self._client.servers.list, detailed=True, marker=marker, limit=_PAGE)
            found += [_server(one) for one in page]
            # the service may give fewer than it is asked for
            if not page:
                return found
            marker = page[-1].id

    def create_server(self, *, instance_id: str, name: str, image_id: str, flavor_id: str,
                      port_ids: list[str], user_data: str,
                      availability_zone: str | None = None,
                      server_group_id: str | None = None, config_drive: bool = True,
                      metadata: dict[str, str] | None = None,
                      ephemeral: Sequence[tuple[int, str]] = ()) -> Server:
        """Ask for a server; it is being built when this returns.

        :param ephemeral: GB and file system of disks that come and go with the server
        """
        options: dict[str, Any] = {}
        if ephemeral:
            options["block_device_mapping_v2"] = [{
                "source_type": "blank", "destination_type": "local", "boot_index": -1,
                "delete_on_termination": True, "volume_size": size, "guest_format": fstype}
                for size, fstype in ephemeral]
        if server_group_id:
            options["scheduler_hints"] = {"group": server_group_id}
        made = self._calls.once(
            self._client.servers.create, name, image_id, flavor_id,
            meta={**(metadata or {}), INSTANCE_KEY: instance_id},
            nics=[{"port-id": one} for one in port_ids], userdata=user_data,
            availability_zone=availability_zone, config_drive=config_drive, **options)
        return self._existing(made.id)

    def _existing(self, server_id: str) -> Server:
        found = self.get_server(server_id)
        if found is None:
            raise CloudNotFound(f"Server {server_id} is gone.")
        return found

    def get_server(self, server_id: str) -> Server | None:
        """Return a server."""
        found = self._calls.found(self._client.servers.get, server_id)
        return None if found is None else _server(found)

    def delete_server(self, server_id: str) -> None:
        """Delete a server; one that is gone is no error."""
        self._calls.found(self._client.servers.delete, server_id)

    def resize_server(self, server_id: str, flavor_id: str) -> None:
        """Begin to give a server another flavor."""
        self._calls.once(self._client.servers.resize, server_id, flavor_id)

    def confirm_resize(self, server_id: str) -> None:
        """Keep a server's new flavor."""
        self._calls.once(self._client.servers.confirm_resize, server_id)

    def revert_resize(self, server_id: str) -> None:
        """Begin to give a server its old flavor back."""
        self._calls.once(self._client.servers.revert_resize, server_id)

    def reboot_server(self, server_id: str, hard: bool = False) -> None:
        """Begin to reboot a server."""
        self._calls.once(self._client.servers.reboot, server_id, "HARD" if hard else "SOFT")

    def migrate_server(self, server_id: str, host: str | None = None) -> None:
        """Begin to move a server to another machine; it is confirmed as a resize is.

        :param host: name of the machine; None leaves the choice to the compute service
        """
        self._calls.once(self._newer().servers.migrate, server_id, host=host)

    def rebuild_server(self, server_id: str, image_id: str, user_data: str,
                       metadata: Mapping[str, str]) -> None:
        """Begin to replace a server's root disk; ports and volumes stay.

        :param user_data: for the first boot from the new disk
        :param metadata: replaces what the server has
        """
        self._calls.once(self._newer().servers.rebuild, server_id, image_id,
                         userdata=user_data, meta=dict(metadata))

    def start_server(self, server_id: str) -> None:
        """Begin to start a server."""
        self._calls.once(self._client.servers.start, server_id)

    def stop_server(self, server_id: str) -> None:
        """Begin to stop a server."""
        self._calls.once(self._client.servers.stop, server_id)

    def attach_volume(self, server_id: str, volume_id: str) -> str | None:
        """Attach a volume unless it is; return its device if the cloud tells it."""
        found = self._attachment(server_id, volume_id)
        if found is None:
            try:
                found = self._calls.once(
                    self._client.volumes.create_server_volume, server_id, volume_id)
            except CloudConflict:
                # an earlier attempt whose answer was lost
                found = self._attachment(server_id, volume_id)
                if found is None:
                    raise
        return getattr(found, "device", None)

    def _attachment(self, server_id: str, volume_id: str) -> Any:
        for one in self._calls.again(self._client.volumes.get_server_volumes, server_id):
            if one.volumeId == volume_id:
                return one
        return None

    def detach_volume(self, server_id: str, volume_id: str) -> None:
        """Begin to detach a volume; one that is not attached is no error."""
        self._calls.found(self._client.volumes.delete_server_volume, server_id, volume_id)

    def list_flavors(self) -> list[Flavor]:
        """Return all flavors, also those that are not public."""
        return [_flavor(one) for one in self._calls.again(
            self._client.flavors.list, detailed=True, is_public=None)]

    def get_flavor(self, flavor_id: str) -> Flavor | None:
        """Return a flavor."""
        found = self._calls.found(self._client.flavors.get, flavor_id)
        return None if found is None else _flavor(found)

    def create_flavor(self, *, name: str, ram_mb: int, vcpus: int, disk_gb: int,
                      flavor_id: str | None = None, ephemeral_gb: int = 0, swap_mb: int = 0,
                      rxtx_factor: float = 1.0, is_public: bool = True) -> Flavor:
        """Return a new flavor.

        :param flavor_id: None lets the cloud choose
        :raises CloudConflict: its id or name is taken
        """
        return _flavor(self._calls.once(
            self._client.flavors.create, name, ram_mb, vcpus, disk_gb,
            flavorid=flavor_id or "auto", ephemeral=ephemeral_gb, swap=swap_mb,
            rxtx_factor=rxtx_factor, is_public=is_public))

    def list_hosts(self) -> list[Host]:
        """Return the compute hosts, ordered by name; a host may have several hypervisors."""
        found: dict[str, list[Any]] = {}
        for one in self._calls.again(self._client.hypervisors.list, detailed=True):
            found.setdefault(one.service["host"], []).append(one)
        return [Host(
            name=name, status=of[0].status,
            state="up" if any(one.state == "up" for one in of) else "down",
            # newer versions of the compute API leave these to the placement service
            ram_mb=_added(getattr(one, "memory_mb", None) for one in of),
            ram_used_mb=_added(getattr(one, "memory_mb_used", None) for one in of),
        ) for name, of in sorted(found.items())]

    def availability_zones(self) -> list[str]:
        """Return the names of the zones that servers can be put in."""
        found = self._calls.again(self._client.availability_zones.list, detailed=False)
        return [one.zoneName for one in found if one.zoneState.get("available")]

    def list_server_groups(self) -> list[ServerGroup]:
        """Return all server groups of the service's project."""
        found: list[ServerGroup] = []
        while True:
            page = self._calls.again(
                self._client.server_groups.list, limit=_PAGE, offset=len(found))
            found += [_server_group(one) for one in page]
            if not page:
                return found

    def find_server_groups(self, instance_id: str) -> list[ServerGroup]:
        """Return the server groups that were made for an instance.

        There are several when an answer was lost.
        """
        return sorted((one for one in self.list_server_groups()
                       if one.instance_id == instance_id), key=lambda one: one.id)

    def create_server_group(self, instance_id: str, policy: str) -> ServerGroup:
        """Return a new server group."""
        version = self._client.api_version
        # version 2.64 named it in another way
        new = (version.ver_major, version.ver_minor) >= (2, 64)
        return _server_group(self._calls.once(
            self._client.server_groups.create, name=f"trove-{instance_id}",
            **({"policy": policy} if new else {"policies": [policy]})))

    def delete_server_group(self, group_id: str) -> None:
        """Delete a server group; one that is gone is no error."""
        self._calls.gone(
            self._client.server_groups.delete, self._client.server_groups.get, group_id)
