"""The guests' RPC keys, sealed in the store (spec secure-oslo-messaging-messages)."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from sqlalchemy import delete as sql_delete
from sqlalchemy import select
from sqlalchemy.orm import Session

from trove_ng.common.crypto import SecretBox
from trove_ng.db.models import InstanceKey
from trove_ng.db.session import Database

#: what the configured secret ``inst_rpc_key_encr_key`` is used for here
PURPOSE = "instance-keys"

#: seconds that a key, or the knowledge that there is none, is kept in memory
_KEEP = 60.0
_KEEP_NONE = 5.0
_CAPACITY = 20_000


def create(session: Session, box: SecretBox, instance_id: str) -> str:
    """Return the key of an instance, made and stored if there is none yet.

    :param box: of purpose :data:`PURPOSE`
    :return: the key in clear, for the guest's configuration
    """
    found = read(session, box, instance_id)
    if found is not None:
        return found
    key = secrets.token_urlsafe(32)
    session.add(InstanceKey(instance_id=instance_id, encrypted_key=box.seal(key, instance_id)))
    session.flush()
    return key


def read(session: Session, box: SecretBox, instance_id: str) -> str | None:
    """Return the key of an instance in clear, None if it has none.

    :raises trove_ng.common.crypto.DecryptError: sealed with a secret not configured
    """
    sealed = session.scalar(select(InstanceKey.encrypted_key).where(
        InstanceKey.instance_id == instance_id))
    return None if sealed is None else box.open(sealed, instance_id)


def delete(session: Session, instance_id: str) -> None:
    """Forget the key of an instance; its agent can say nothing more."""
    session.execute(sql_delete(InstanceKey).where(InstanceKey.instance_id == instance_id))


def reseal(session: Session, box: SecretBox) -> int:
    """Seal every key again with the newest secret; return how many."""
    count = 0
    for row in session.scalars(select(InstanceKey).with_for_update()):
        row.encrypted_key = box.seal(box.open(row.encrypted_key, row.instance_id),
                                     row.instance_id)
        count += 1
    return count


class StoreKeys:
    """The secrets of the control plane and, from the store, of every guest.

    Keys are kept in memory for a minute, so that a deleted instance's agent is
    refused soon and a heartbeat costs no query.

    :param control_plane: ``taskmanager_rpc_encr_key``, newest first, not empty
    """

    def __init__(self, database: Database, box: SecretBox, control_plane: Sequence[str],
                 now: Callable[[], float] = time.monotonic) -> None:
        if not control_plane:
            raise ValueError("taskmanager_rpc_encr_key is not configured")
        self._database = database
        self._box = box
        self._control_plane = tuple(control_plane)
        self._now = now
        self._kept: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        """Return what is shared with a guest, or by the control plane for None."""
        if instance_id is None:
            return self._control_plane
        with self._lock:
            expires, found = self._kept.get(instance_id, (0.0, ()))
        if expires > self._now():
            return found
        with self._database.reader() as session:
            key = read(session, self._box, instance_id)
        found = (key,) if key else ()
        with self._lock:
            self._kept[instance_id] = (self._now() + (_KEEP if found else _KEEP_NONE), found)
            self._kept.move_to_end(instance_id)
            while len(self._kept) > _CAPACITY:
                self._kept.popitem(last=False)
        return found

    def forget(self, instance_id: str) -> None:
        """Read this instance's key again at its next use."""
        with self._lock:
            self._kept.pop(instance_id, None)
