"""Comparing the store with the cloud: server states, and what was forgotten."""

from __future__ import annotations

import datetime
import logging

from trove_ng.cloud.errors import CloudError
from trove_ng.db.repositories import instances
from trove_ng.operations.work import Tools

LOG = logging.getLogger(__name__)


class Reconciler:
    """Writes server states to instances, and deletes what no instance owns any more.

    Something is forgotten when its request reached the cloud, the answer did not reach us,
    and the instance was deleted, or got another one, meanwhile.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def run(self) -> None:
        """Compare once; a few calls, whatever the number of instances."""
        clouds = self._tools.clouds
        servers = clouds.compute.list_servers_by_instance()
        self._note_states({ident: found[0].status for ident, found in servers.items()})
        ids = {
            "server": {one.id: ident for ident, found in servers.items() for one in found},
            "volume": {one.id: ident for ident, found in
                       clouds.volume.list_volumes_by_instance().items() for one in found},
            "port": {one.id: ident for ident, found in
                     clouds.network.list_ports_by_instance().items() for one in found},
            "security group": {
                one.id: ident for ident, found in
                clouds.network.list_security_groups_by_instance().items() for one in found},
        }
        owners = {owner for found in ids.values() for owner in found.values()}
        gone, known = self._gone(owners), self._known(owners)
        for kind, found in ids.items():
            for ident, owner in found.items():
                if owner in gone or ident not in known.get(owner, {ident}):
                    self._drop(kind, ident, owner)

    def _note_states(self, states: dict[str, str]) -> None:
        with self._tools.db.reader() as session:
            known = instances.server_states(session)
        now = self._tools.clock.now()
        for ident, (before, has_server) in known.items():
            after = states.get(ident, "DELETED" if has_server else None)
            if after is None or after == before:
                continue
            with self._tools.db.writer() as session:
                # an operation on the instance knows better
                instances.note_server_state(session, ident, before, after, now)

    def _gone(self, owners: set[str]) -> set[str]:
        before = self._tools.clock.now() - datetime.timedelta(
            seconds=self._tools.conf.orphan_age)
        with self._tools.db.reader() as session:
            return instances.gone(session, owners, before)

    def _known(self, owners: set[str]) -> dict[str, set[str]]:
        before = self._tools.clock.now() - datetime.timedelta(
            seconds=self._tools.conf.orphan_age)
        with self._tools.db.reader() as session:
            return instances.parts(session, owners, before)

    def _drop(self, kind: str, ident: str, owner: str) -> None:
        clouds = self._tools.clouds
        LOG.warning("%s %s was made for instance %s, which does not have it; it is deleted",
                    kind, ident, owner)
        drop = {"server": clouds.compute.delete_server, "volume": clouds.volume.delete_volume,
                "port": clouds.network.delete_port,
                "security group": clouds.network.delete_security_group}[kind]
        try:
            drop(ident)
        except CloudError as err:
            LOG.warning("%s %s is not deleted yet: %s", kind, ident, err.message)
