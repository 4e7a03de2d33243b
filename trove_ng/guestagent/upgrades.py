"""Another root disk below the same data volume: what goes along, and putting it in force.

All that must not be lost lies on the volume: the data, the agent's markers and account, its
modules.  The database's settings are on the root disk and are kept on the volume meanwhile.
"""

from __future__ import annotations

import logging
import os
import pathlib
from typing import TYPE_CHECKING

from trove_ng.common.errors import UnprocessableEntity
from trove_ng.common.states import DATA_VOLUME
from trove_ng.guestagent.os import files
from trove_ng.rpc import messages as m
from trove_ng.rpc import server_messages as sm

if TYPE_CHECKING:
    from trove_ng.guestagent.manager import BaseManager

LOG = logging.getLogger(__name__)

#: directory in the agent's one on the volume
_KEPT = "upgrade"


class Upgrades:
    """What comes before and after a new root disk.

    Both may be repeated, whole or after a part.
    """

    def __init__(self, manager: BaseManager) -> None:
        self._manager = manager

    def before(self, request: sm.PreUpgrade) -> m.Empty:
        """Keep the settings on the volume; the database goes on.

        :raises UnprocessableEntity: the database must not go to that version, or there is
            no volume; nothing was changed
        """
        manager = self._manager
        folder = manager.agent_volume_dir()
        if folder is None:
            raise UnprocessableEntity(
                "The data volume is not mounted; the database would be lost.")
        manager.check_upgrade(request.datastore_version)
        draft, kept = folder / f"{_KEPT}.new", folder / _KEPT
        files.remove(draft, recursive=True)
        files.make_directory(draft, mode=0o700)
        manager.save_settings(draft)
        files.remove(kept, recursive=True)
        os.rename(draft, kept)
        files.sync_directory(folder)
        LOG.info("the root disk may go: the settings are kept on the volume")
        return m.Empty()

    def after(self, request: sm.PostUpgrade) -> m.Empty:
        """Mount the volume, put the settings in force, start the database.

        :raises UnprocessableEntity: the volume is not this instance's
        :raises GuestError: the database does not start, or its data cannot be used
        """
        manager = self._manager
        with manager.status.restarting():
            manager.stop_db()
            for one in manager.volumes.wanted(request.device_config, request.volume):
                if one.kind == DATA_VOLUME:
                    manager.ctx.volumes.mount(one)
                else:
                    # one that was part of the old root disk's server is empty
                    manager.ctx.volumes.set_up(one)
            manager.status.volume_mounted()
            if not manager.status.prepared:
                raise UnprocessableEntity("The volume holds no database of this instance.")
            manager.restore_settings(self._kept(), request)
            manager.start_db()
            manager.upgrade_data()
            manager.status.set_restart_required(False)
        return m.Empty()

    def _kept(self) -> pathlib.Path | None:
        folder = self._manager.agent_volume_dir()
        kept = folder / _KEPT if folder is not None else None
        return kept if kept is not None and kept.is_dir() else None
