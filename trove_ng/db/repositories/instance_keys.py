"""The guests' RPC keys, sealed in the store (spec secure-oslo-messaging-messages)."""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import delete as sql_delete
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from trove_ng.common.clock import utcnow
from trove_ng.common.crypto import SecretBox
from trove_ng.db.models import InstanceKey
from trove_ng.db.session import Database

#: what the configured secret ``inst_rpc_key_encr_key`` is used for here
PURPOSE = "instance-keys"

#: seconds that a key, or the knowledge that there is none, is kept in memory
_KEEP = 60.0
_KEEP_NONE = 5.0
_CAPACITY = 20_000
#: seconds between two looks for a newer key of one guest
_LOOK_EVERY = 0.2

T = TypeVar("T")


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


@dataclass(frozen=True)
class Ring:
    """The keys of one guest, in clear.

    :param following: the next one, which the guest may or may not have
    :param previous: the one before, which is understood until ``until``; None is until
        the guest was told to let go of it
    """

    current: str
    following: str | None = None
    previous: str | None = None
    until: datetime.datetime | None = None

    def secrets(self, now: datetime.datetime) -> tuple[str, ...]:
        """Return what is understood, the one to seal with first."""
        previous = self.previous if self.until is None or self.until > now else None
        return tuple(one for one in (self.current, self.following, previous) if one)


def ring(session: Session, box: SecretBox, instance_id: str, *,
         lock: bool = False) -> Ring | None:
    """Return the keys of an instance, None if it has none.

    :raises trove_ng.common.crypto.DecryptError: sealed with a secret not configured
    """
    statement = select(InstanceKey).where(InstanceKey.instance_id == instance_id)
    row = session.scalar(statement.with_for_update() if lock else statement)
    if row is None:
        return None

    def text(sealed: str | None) -> str | None:
        return None if sealed is None else box.open(sealed, instance_id)

    return Ring(box.open(row.encrypted_key, instance_id), text(row.next_key),
                text(row.previous_key), row.previous_until)


def change(session: Session, box: SecretBox, instance_id: str, new: Ring) -> None:
    """Write the keys of an instance, which has some."""
    def sealed(text: str | None) -> str | None:
        return None if text is None else box.seal(text, instance_id)

    session.execute(update(InstanceKey).where(InstanceKey.instance_id == instance_id).values(
        encrypted_key=sealed(new.current), next_key=sealed(new.following),
        previous_key=sealed(new.previous), previous_until=new.until))


class StoreKeys:
    """The secrets of the control plane and, from the store, of every guest.

    Keys are kept in memory for a minute, so that a deleted instance's agent is
    refused soon and a heartbeat costs no query.

    :param control_plane: ``taskmanager_rpc_encr_key``, newest first, not empty
    :param now: seconds that only rise
    :param clock: naive UTC
    """

    def __init__(self, database: Database, box: SecretBox, control_plane: Sequence[str],
                 now: Callable[[], float] = time.monotonic,
                 clock: Callable[[], datetime.datetime] = utcnow) -> None:
        if not control_plane:
            raise ValueError("taskmanager_rpc_encr_key is not configured")
        self._database = database
        self._box = box
        self._control_plane = tuple(control_plane)
        self._now = now
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Ring | None]] = OrderedDict()
        self._looked: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        """Return what is shared with a guest, or by the control plane for None."""
        if instance_id is None:
            return self._control_plane
        found = self._ring(instance_id)
        return () if found is None else found.secrets(self._clock())

    def _ring(self, instance_id: str) -> Ring | None:
        with self._lock:
            expires, found = self._kept.get(instance_id, (0.0, None))
        if expires > self._now():
            return found
        with self._database.reader() as session:
            found = ring(session, self._box, instance_id)
        with self._lock:
            _keep(self._kept, instance_id,
                  (self._now() + (_KEEP if found else _KEEP_NONE), found))
        return found

    def look_again(self, instance_id: str) -> None:
        """Read a guest's keys anew at their next use, but not all the time.

        A guest that was just given a new key uses it at once; forged messages must not
        cost a query each.
        """
        now = self._now()
        with self._lock:
            if now - self._looked.get(instance_id, -_LOOK_EVERY) < _LOOK_EVERY:
                return
            _, found = self._kept.get(instance_id, (0.0, None))
            # an instance that is not known is asked for often enough
            if found is not None:
                _keep(self._looked, instance_id, now)
                self._kept.pop(instance_id)

    def forget(self, instance_id: str) -> None:
        """Read this instance's key again at its next use."""
        with self._lock:
            self._kept.pop(instance_id, None)


def _keep(memory: OrderedDict[str, T], name: str, value: T) -> None:
    memory[name] = value
    memory.move_to_end(name)
    while len(memory) > _CAPACITY:
        memory.popitem(last=False)
