"""Change who reaches the database of an instance."""

from __future__ import annotations

from sqlalchemy.orm import Session

from trove_ng.operations import access, names, payloads, replication, roles, servers, tls
from trove_ng.operations.runbook import Runbook, Step
from trove_ng.operations.runbooks import ending
from trove_ng.operations.work import Work


def _wanted(work: Work) -> access.Access:
    return work.payload(payloads.UpdateAccess).access


def _present(work: Work) -> access.Access:
    """Return what held before: the row says so until all is done."""
    return servers.load(work).access or {}


def _open(work: Work) -> None:
    access.open_for(work, _wanted(work))


def _open_as_before(work: Work) -> None:
    access.open_for(work, _present(work))


def _address(work: Work) -> None:
    access.set_address(work, _wanted(work))


def _address_as_before(work: Work) -> None:
    access.set_address(work, _present(work))


def _leave_address(work: Work) -> None:
    names.leave_address(work, _wanted(work))


def _name(work: Work) -> None:
    names.set_address(work, _wanted(work))


def _name_as_before(work: Work) -> None:
    names.set_address(work, _present(work))


def _accounts(work: Work) -> None:
    if work.payload(payloads.UpdateAccess).accounts:
        if servers.load(work).unopened:
            roles.open_source(work, work.resource_id, "open")
        replication.drop_left_accounts(work)


def _succeed(work: Work, session: Session) -> None:
    found = servers.row(work, session)
    found.access = dict(_wanted(work))
    tls.compare(session, found)
    ending.succeed(work, session)


RUNBOOK = Runbook(payloads.INSTANCE_UPDATE_ACCESS, (
    Step("rules", _open, _open_as_before),
    Step("leave_address", _leave_address, _name_as_before),
    # an address that was given back does not come again: all else is done before
    Step("floating_ip", _address, _address_as_before),
    Step("name", _name),
    Step("accounts", _accounts),
), _succeed, ending.fail_unchanged)
