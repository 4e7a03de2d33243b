"""Make a replica the source of its set, while the source lives: no committed change is lost.

Nobody writes from ``freeze`` to ``writable``.  Until ``roles`` all of it is taken back when
something fails, or takes too long, the source first; from there on the replica is the source.
"""

from __future__ import annotations

from trove_ng.operations import payloads, replication, roles, root
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import replication_messages as rm

#: seconds in which replicas that have almost all get the rest, while nobody can write
_REST_SECONDS = 60.0


def _others(work: Work) -> list[str]:
    return [one for one in roles.wanted(work).replica_ids if one != work.resource_id]


def _catch_up(work: Work, position: str, seconds: float) -> None:
    """Wait until all replicas have all changes up to a position."""
    for one in roles.wanted(work).replica_ids:
        def reached(replica_id: str = one) -> bool | None:
            return roles.guest(work, replica_id).wait_for_position(rm.PositionRequest(
                position=position, seconds=roles.AT_ONCE)) or None

        work.wait(f"replica {one} to have all changes", reached, seconds)


def _make_accounts(work: Work) -> None:
    """Have the new source have the accounts of all that will follow it, while it follows."""
    source_id = roles.wanted(work).source_id
    for one in roles.wanted(work).replica_ids:
        roles.move(work, one, source_id, "ready")
    roles.add_account(work, source_id, source_id)


def _unready(work: Work) -> None:
    """Have the replicas follow the source; take the account that it has at itself."""
    source_id = roles.wanted(work).source_id
    if roles.accounts_are_data(work) and not roles.is_done(work, work.resource_id):
        # some of them may have a password that the source does not know, or it one of theirs
        roles.each(work, roles.wanted(work).replica_ids, lambda one: roles.move(
            work, one, source_id, "unready"))
        with roles.blaming(work, source_id):
            roles.guest(work, source_id).set_replica_accounts(rm.ReplicaAccounts(keep=[
                replication.account(one) for one in roles.wanted(work).replica_ids]))


def _ready(work: Work) -> None:
    """Have the replicas near enough, so that nobody waits long for them."""
    if roles.accounts_are_data(work):
        _make_accounts(work)
    _catch_up(work, roles.guest(work, roles.wanted(work).source_id).get_position(),
              work.tools.conf.guest_long_call_timeout)


def _freeze(work: Work) -> None:
    roles.hurry(work)
    position = roles.guest(work, roles.wanted(work).source_id).stop_writes(
        roles.step(work, "freeze"))
    _catch_up(work, position, _REST_SECONDS)


def _thaw(work: Work) -> None:
    if not roles.is_done(work, work.resource_id):
        source_id = roles.wanted(work).source_id
        with roles.blaming(work, source_id), roles.insisting():
            roles.guest(work, source_id).allow_writes(roles.step(work, "thaw"))


def _take_over(work: Work) -> None:
    roles.hurry(work)
    roles.let_go(work, work.resource_id, "take_over")
    roles.leave(work, work.resource_id, roles.wanted(work).source_id)


def _give_back(work: Work) -> None:
    if not roles.is_done(work, work.resource_id):
        # whatever becomes of the replica: nobody writes to it
        _thaw(work)
        with roles.blaming(work, work.resource_id):
            roles.move(work, work.resource_id, roles.wanted(work).source_id, "follow_back")
            roles.guest(work, work.resource_id).set_replica_accounts(rm.ReplicaAccounts())


def _check_data(work: Work) -> None:
    """Check that the new source has all changes, where those that follow it copy its data.

    It may have ended since, and have begun again with older data.

    :raises StepFailed: it has not
    """
    if not roles.datastore(work).replicas_copy:
        return
    # which its agent remembers
    position = roles.guest(work, roles.wanted(work).source_id).stop_writes(
        roles.step(work, "freeze"))
    if not roles.guest(work, work.resource_id).wait_for_position(
            rm.PositionRequest(position=position, seconds=0)):
        raise StepFailed("The new source has lost changes that the source has.")


def _follow(work: Work) -> None:
    roles.hurry(work)
    source_id = roles.wanted(work).source_id
    for one in _others(work):
        _check_data(work)
        roles.move(work, one, work.resource_id, "follow", source_id)
    _check_data(work)
    roles.move(work, source_id, work.resource_id, "follow")


def _follow_back(work: Work) -> None:
    if roles.is_done(work, work.resource_id):
        return
    source_id = roles.wanted(work).source_id

    def back(one: str) -> None:
        if one == source_id:
            roles.let_go(work, source_id, "let_go")
            # its clients have waited long enough
            _thaw(work)
            roles.leave(work, source_id, work.resource_id)
        else:
            roles.move(work, one, source_id, "follow_back", work.resource_id)

    roles.each(work, [source_id, *_others(work)], back)


def _roles(work: Work) -> None:
    # there is no way back once they are written, however long that took, and by whom
    if not roles.is_done(work, work.resource_id):
        roles.hurry(work)
        roles.write(work, work.resource_id)
    work.limit(None)


def _writable(work: Work) -> None:
    roles.open_source(work, work.resource_id, "writable")


def _settle(work: Work) -> None:
    root.try_to_look(work)
    roles.settle(work, work.resource_id, [roles.wanted(work).source_id, *_others(work)])


def _accounts(work: Work) -> None:
    """Take the accounts from the source of before, and at the new one its own."""
    for one in (roles.wanted(work).source_id, work.resource_id):
        replication.drop_account(work, one)


RUNBOOK = Runbook(payloads.INSTANCE_PROMOTE, (
    Step("ready", _ready, _unready),
    Step(roles.FREEZE, _freeze, _thaw),
    Step("take_over", _take_over, _give_back),
    Step("follow", _follow, _follow_back),
    Step("roles", _roles, final=True),
    Step("writable", _writable),
    Step("settle", _settle),
    Step("accounts", _accounts),
), ending.succeed_set, ending.fail_set)
