"""Giving the guests new keys while they work.

Each of the steps may be the last one before a crash; the next run goes on from there.

1. The new key is stored beside the old one.  All services understand both from now on.
2. The guest is given the new key, under the old one.  It remembers it, understands both,
   and uses the new one.
3. The new key takes the old one's place in the store; services begin to use it.
4. The guest is told to forget the old one after a while, in which services that have the
   old key in memory still use it.

An operation may give a server a new disk, with the key that is in use when it begins.  So
nothing is begun, and no old key forgotten, while one is under way; and a guest that came
back with the old key meanwhile is given the new one again.
"""

from __future__ import annotations

import argparse
import datetime
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from trove_ng.common.clock import utcnow
from trove_ng.common.crypto import DecryptError, SecretBox
from trove_ng.common.errors import BadRequest, Conflict, GuestTimeout, NotFound, TroveError
from trove_ng.common.secret import Secret
from trove_ng.db.models import Instance, InstanceKey
from trove_ng.db.repositories import instance_keys, operations
from trove_ng.db.session import Database
from trove_ng.manage.command import Command, Tools, arg, at_least
from trove_ng.rpc import keys
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.messages import KeyRequest

#: seconds that a key is understood after it was replaced, at least: services keep keys in
#: memory for a minute
LEAST_GRACE = 120
#: guests that are given keys at the same time
_AT_ONCE = 8


class Given:
    """Known secrets of one guest, the one to seal with first."""

    def __init__(self, instance_id: str, *known: str) -> None:
        self._instance_id, self._known = instance_id, known

    def secrets(self, instance_id: str | None) -> Sequence[str]:
        """Return them, and none of anybody else."""
        return self._known if instance_id == self._instance_id else ()


class Rotation:
    """Gives guests new keys.

    :param client: makes the client of a guest, which uses the keys given
    :param grace: seconds for which the old key is understood
    """

    def __init__(self, db: Database, box: SecretBox,
                 client: Callable[[str, keys.Keys], GuestClient], grace: int,
                 now: Callable[[], datetime.datetime] = utcnow) -> None:
        self._db = db
        self._box = box
        self._client = client
        self._grace = grace
        self._now = now

    def run(self, instance_id: str) -> None:
        """Give one guest a new key, or end what an earlier run began.

        :raises Conflict: it was given one, and the one before is understood still; or an
            operation works on it
        :raises NotFound: it has no key
        :raises TroveError: it did not answer
        """
        found = self._begin(instance_id)
        if found.following is not None:
            client = self._client(instance_id, Given(
                instance_id, found.current, found.following))
            client.change_key(KeyRequest(key=Secret(found.following)))
            found = self._replace(instance_id, found.following)
        self._forget(instance_id, found)

    def _begin(self, instance_id: str) -> instance_keys.Ring:
        with self._db.writer() as session:
            found = self._ring(session, instance_id)
            _refuse_worked_on(session, instance_id)
            if found.until is not None and found.until > self._now():
                raise Conflict(f"Its key was changed already; the one before is understood "
                               f"until {found.until:%Y-%m-%d %H:%M:%S} UTC.")
            if found.following is None and (found.previous is None or found.until is not None):
                found = replace(found, following=secrets.token_urlsafe(32))
                instance_keys.change(session, self._box, instance_id, found)
        return found

    def _replace(self, instance_id: str, new: str) -> instance_keys.Ring:
        with self._db.writer() as session:
            found = self._ring(session, instance_id)
            if found.following == new:
                found = instance_keys.Ring(new, None, found.current, None)
                instance_keys.change(session, self._box, instance_id, found)
        return found

    def _forget(self, instance_id: str, found: instance_keys.Ring) -> None:
        if found.previous is None or found.until is not None:
            return
        request = KeyRequest(key=Secret(found.current), forget_after=self._grace)
        client = self._client(instance_id, Given(instance_id, found.current, found.previous))
        try:
            client.change_key(request)
        except GuestTimeout:
            # it does not know the new one when its disk was replaced by one with the old one
            self._client(instance_id, Given(
                instance_id, found.previous, found.current)).change_key(request)
        until = self._now() + datetime.timedelta(seconds=self._grace)
        with self._db.writer() as session:
            _refuse_worked_on(session, instance_id)
            if self._ring(session, instance_id) == found:
                instance_keys.change(session, self._box, instance_id,
                                     replace(found, until=until))

    def _ring(self, session: Session, instance_id: str) -> instance_keys.Ring:
        found = instance_keys.ring(session, self._box, instance_id, lock=True)
        if found is None:
            raise NotFound(f"There is no key for instance {instance_id}.")
        return found


def _refuse_worked_on(session: Session, instance_id: str) -> None:
    running = operations.live(session, instance_id)
    if running is not None:
        raise Conflict(f"The operation {running.id} ({running.action}) works on it.")


def _rotate(tools: Tools, options: argparse.Namespace) -> None:
    from trove_ng.rpc.transport import get_transport

    if not tools.conf.inst_rpc_key_encr_key:
        raise BadRequest("inst_rpc_key_encr_key is not configured.")
    box = SecretBox(tools.conf.inst_rpc_key_encr_key, instance_keys.PURPOSE)
    transport = get_transport(tools.conf)
    wanted = options.instance or _all(tools.db)

    def client(instance_id: str, provider: keys.Keys) -> GuestClient:
        return GuestClient(tools.conf, transport, provider, keys.TASKMANAGER, instance_id)

    rotation = Rotation(tools.db, box, client, options.grace)

    def one(instance_id: str) -> str | None:
        try:
            rotation.run(instance_id)
        except TroveError as err:
            return err.message
        except DecryptError as err:
            return f"Its key cannot be read: {err}."
        return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        ended = list(zip(wanted, pool.map(one, wanted), strict=True))
    failed = [(ident, why) for ident, why in ended if why is not None]
    for ident, why in failed:
        tools.say(f"{ident}: {why}")
    tools.say(f"{len(ended) - len(failed)} of {len(ended)} guests use a new key; the old one "
              f"is refused in {options.grace} seconds")
    if failed:
        raise BadRequest(f"{len(failed)} guests keep their keys; run this again for them.")


def _all(db: Database) -> list[str]:
    with db.reader() as session:
        return list(session.scalars(select(InstanceKey.instance_id).join(
            Instance, Instance.id == InstanceKey.instance_id).where(
            Instance.deleted.is_(False)).order_by(InstanceKey.instance_id)))


COMMANDS = (
    Command("instance_keys_rotate", "give guests new keys while they work", _rotate, (
        arg("--instance", action="append", metavar="ID",
            help="only this one; may be repeated"),
        arg("--grace", type=at_least(LEAST_GRACE), default=900,
            help="seconds for which the old key is understood"))),
)
