"""Instances of a set of replicas that change their roles.

All of the set belongs to the operation until that ends.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Collection, Iterable, Iterator

from sqlalchemy.orm import Session

from trove_ng.common.errors import Conflict, GuestError, ServiceUnavailable
from trove_ng.common.secret import Secret
from trove_ng.common.states import EventKind
from trove_ng.datastores.base import Datastore
from trove_ng.db.models import Instance
from trove_ng.db.repositories import (
    events,
    failovers,
    instances,
    log_archives,
    operations,
    schedules,
)
from trove_ng.db.session import retry_on_db_error
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import access, payloads, replication, servers
from trove_ng.operations.lost import ServerLost
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc.guest import GuestClient
from trove_ng.rpc.lines import BusAway

#: seconds that an agent waits for changes in one call
AT_ONCE = 5.0
#: name of the step from which on nobody can write
FREEZE = "freeze"
#: fault of a replica that its set goes on without
BEHIND = "The source was lost, and another replica took its place: this one follows the lost one."


def wanted(work: Work) -> payloads.ChangeSource:
    """Return which set it is."""
    return work.payload(payloads.ChangeSource)


def guest(work: Work, instance_id: str) -> GuestClient:
    """Return the client of a member's agent."""
    return work.tools.guests(instance_id, work.context)


def datastore(work: Work) -> Datastore:
    """Return what the set is of."""
    version, _ = servers.load_version(work, servers.load(work))
    return work.tools.datastores[version.manager]


def accounts_are_data(work: Work) -> bool:
    """Return whether replicas have the accounts that their source has for replicas."""
    return datastore(work).accounts_are_data


def step(work: Work, name: str) -> messages.StepRequest:
    """Return a step for the memory of an agent."""
    return messages.StepRequest(operation_id=work.id, step=name)


def move(work: Work, follower_id: str, source_id: str, name: str,
         before_id: str | None = None) -> None:
    """Have a member follow another one, which has all changes that it has.

    :param name: of the step, for the memory of the follower's agent
    :param before_id: whom it followed before, and needs not reach any more
    """
    one, source = work.on(follower_id), replication.load(work, source_id)
    access.let_in(one, source)
    replication.follow(one, source, name, add_account(work, follower_id, source_id))
    if before_id is not None:
        leave(work, follower_id, before_id)


def settle(work: Work, source_id: str, members: Iterable[str]) -> None:
    """Have those apply changes that stop where settings of their new source are larger.

    They are told of its settings when it begins to write.
    """
    if not accounts_are_data(work):
        # it has none that they must have, too
        return
    with insisting():
        position = guest(work, source_id).get_position()

    def ask_again(one: str) -> None:
        with insisting():
            if not guest(work, one).wait_for_position(
                    rm.PositionRequest(position=position, seconds=AT_ONCE)):
                move(work, one, source_id, "settle")

    each(work, members, ask_again)


def add_account(work: Work, member_id: str, source_id: str) -> Secret:
    """Have a member have an account at another one, which keeps those of all; its password."""
    password = work.secrets().get(payloads.member_secret(member_id))
    if password is None:
        raise StepFailed("The password of a replica is lost.")
    guest(work, source_id).set_replica_accounts(rm.ReplicaAccounts(
        keep=[replication.account(member) for member in work.payload(payloads.OfSet).members
              if member != source_id],
        add=messages.UserSpec(name=replication.account(member_id), password=password)))
    return password


def leave(work: Work, follower_id: str, source_id: str) -> None:
    """Let the address of a member in at another one no more, but as others are."""
    replication.shut_out(work.on(follower_id), source_id)


def let_go(work: Work, member_id: str, name: str) -> None:
    """Have a member follow nobody, with all that it received; nobody writes to it yet."""
    guest(work, member_id).detach_replica(
        rm.DetachRequest(operation_id=work.id, step=name, hold=True))


def each(work: Work, members: Iterable[str], do: Callable[[str], None]) -> None:
    """Do something for each member, also when it fails for another one.

    :raises Exception: the last failure, when all were tried, which is that of its member
    """
    failure = None
    for one in members:
        try:
            with blaming(work, one):
                do(one)
        except Exception as err:  # noqa: BLE001  raised below
            failure = err
    if failure is not None:
        raise failure


def hurry(work: Work) -> None:
    """Have the work fail when nobody could write for too long, whoever began with it."""
    with work.reader() as session:
        begun = operations.step_began(session, work.id, FREEZE)
    seconds = work.tools.conf.operations.freeze_timeout
    work.limit((begun or work.tools.clock.now()) + datetime.timedelta(seconds=seconds),
               f"Nobody could write for {seconds:g} seconds.")
    work.check()


@contextlib.contextmanager
def blaming(work: Work, member_id: str) -> Iterator[None]:
    """Have what cannot be undone be the fault of a member."""
    try:
        yield
    except Exception:
        work.blamed_id = member_id
        raise


@contextlib.contextmanager
def insisting() -> Iterator[None]:
    """Have a step be tried again also when a database refuses: there is no way back.

    :raises ServiceUnavailable: it refuses
    """
    try:
        yield
    except GuestError as err:
        raise ServiceUnavailable(err.message) from err


def open_source(work: Work, source_id: str, name: str,
                given_up: Callable[[], bool] = lambda: False) -> bool:
    """Have an instance that is a source follow nobody, and clients write to it.

    A database that refuses is asked again until the operation's own time is over.

    :param given_up: whether it is asked no more
    :return: whether it does, unless it was given up
    """
    refused = ""
    with work.reader() as session:
        followers = instances.replica_ids(session, [source_id]).get(source_id, [])
    keep = [replication.account(one) for one in followers]

    def opened() -> bool | None:
        nonlocal refused
        try:
            guest(work, source_id).detach_replica(
                rm.DetachRequest(operation_id=work.id, step=name, keep=keep))
        except (StoreAway, BusAway, ServerLost):
            raise
        except (GuestError, ServiceUnavailable, Conflict) as err:
            refused = err.message
            return False if given_up() else None
        return True

    try:
        if not work.wait("the new source to let clients write", opened):
            return False
    except StepFailed as err:
        raise StepFailed(" ".join(filter(None, (err.message, refused)))) from err
    with work.writer() as session:
        source = instances.get(session, source_id)
        if source is not None:
            source.unopened = False
    return True


def end_backups(work: Work, members: Collection[str]) -> None:
    """Ask for the end of what agents do for hours, during which they do nothing else."""
    with work.writer() as session:
        operations.cancel_backups(session, members, payloads.BACKUPS_BY_AGENTS,
                                  "The backup was ended, because the source of its set is lost.")


def is_done(work: Work, source_id: str) -> bool:
    """Return whether an instance is the source by now: there is no way back then."""
    return servers.load(work.on(source_id)).slave_of_id is None


@retry_on_db_error
def write(work: Work, source_id: str, *, ejected: bool = False,
          without: Collection[str] = (), before_id: str | None = None) -> None:
    """Write who follows whom, at once.

    :param source_id: of the new source
    :param ejected: the source of before does not follow it: nobody is let in there any more
    :param without: ids of those that follow whom they followed before
    :param before_id: of the source of before, where that is not the one that the operation began
        with
    """
    set_, now = wanted(work), work.tools.clock.now()
    before_id = before_id or set_.source_id
    with work.writer() as session:
        rows = _rows(session, set_)
        news = any(one.id == source_id and one.slave_of_id is not None for one in rows)
        for one in rows:
            if one.id == before_id and ejected:
                one.access = {**(one.access or {}), "allowed_cidrs": []}
                # of those that follow it no more
                one.accounts_left = True
                if news:
                    events.add(session, EventKind.ROLE_CHANGED,
                               f"Instance {source_id} is the source of its set now; it was.",
                               now, tenant_id=one.tenant_id, resource_id=one.id)
            elif one.id == source_id:
                instances.follow(session, one, None, now, "It is the source of its set now")
                one.unopened = True
            elif one.id not in without:
                instances.follow(session, one, source_id, now)
                one.unopened = False
        if ejected and news:
            _leave_behind(work, session, before_id)
        failovers.move(session, before_id, source_id)
        root = instances.root_was_enabled(session, before_id)
        if root is not None:
            # it came with the data
            instances.note_root_enabled(session, source_id, root.user, now)
        _carry(session, before_id, source_id, now)


def _leave_behind(work: Work, session: Session, before_id: str) -> None:
    """Say at replicas that nobody asked that the set goes on without them."""
    set_ = wanted(work)
    for one in instances.replicas(session, before_id):
        if one.id not in set_.members:
            ending.note_fault(work, session, BEHIND, one.id)


def _carry(session: Session, before_id: str, after_id: str, now: datetime.datetime) -> None:
    """Have the new source backed up as the one before was, and tell so."""
    told = []
    if log_archives.carry(session, before_id, after_id, now):
        told.append("its log is archived from now on: a backup is made of it when that goes on, "
                    "which can be brought to later times")
    moved = schedules.move(session, before_id, after_id, now)
    if moved:
        told.append(f"schedules of backups ({moved}) back it up")
    if told:
        events.add_for_instance(
            session, EventKind.TAKEN_OVER, after_id,
            f"What instance {before_id} had goes on here: {'; '.join(told)}.", now)


def _rows(session: Session, set_: payloads.ChangeSource) -> list[Instance]:
    """Return the members that are there, locked in the order in which all lock them."""
    found = (instances.get(session, one, lock=True) for one in sorted(set_.members))
    return [one for one in found if one is not None]
