"""Caring for certificates of databases that end soon.

Those that the operator's authority issued are renewed, also when their instances got other
addresses.  Owners are told of those that they have
in the key manager, and of those that the service cannot renew.
"""

from __future__ import annotations

import datetime
import functools
import logging
import random
from collections.abc import Sequence

from trove_ng.common.clock import isoformat
from trove_ng.common.context import of_its_own
from trove_ng.common.states import EventKind
from trove_ng.db.repositories import events, operations, tls
from trove_ng.db.rows import AnyRow
from trove_ng.db.session import retry_on_db_error
from trove_ng.domain.certificates import Authority, CertificateError
from trove_ng.domain.instance_status import Task
from trove_ng.operations import payloads, readiness
from trove_ng.operations.tls import authority
from trove_ng.operations.unasked import Unasked, work_on

LOG = logging.getLogger(__name__)

#: certificates that are told of in one transaction
_PAGE = 100
#: until an owner is told again
_WARN_AGAIN = datetime.timedelta(days=7)
#: seconds until a renewal that could not begin, or failed, is tried again; about, and at first
_TRY_AGAIN = 3600.0
#: the same after many failures
_TRY_AT_LEAST = 86400.0


class Renewals(Unasked):
    """Looks for certificates that end soon; one process does so at a time.

    The options are those of conf.tls and conf.health.
    """

    def run(self) -> None:
        """Look once; the statements are bounded by ``renew_limit``, whatever there is."""
        if not self._conf.tls.renew_before_days:
            return
        now = self._clock.now()
        lead = datetime.timedelta(days=min(
            self._conf.tls.renew_before_days, self._conf.tls.certificate_days / 2))
        until = now + lead
        with self._db.reader() as session:
            free = self._conf.tls.renew_limit - operations.count_live(
                session, payloads.INSTANCE_SET_TLS)
            issued = tls.due(session, now, until, _PAGE, given=False)
            given = tls.due(session, now, until, _PAGE, given=True)
        self._warn(given, now, until, given=True)
        renewable = self._renewable(issued)
        if renewable is None:
            # that is for the operator, and may be mended at any time
            return
        self._warn([row for row in issued if row not in renewable], now, until, given=False)
        for row in renewable[:max(0, free)]:
            work_on(f"the certificate of instance {row.instance_id}",
                    functools.partial(self._begin, row.instance_id, until), self._wake)

    def _renewable(self, issued: Sequence[AnyRow]) -> list[AnyRow] | None:
        """Return those that get a certificate that ends later and is trusted by who trusts the
        one that they have; None: the authority cannot be used now."""
        if not issued:
            return []
        try:
            found = authority(self._conf)
        except CertificateError as err:
            LOG.error("%d certificates or more end soon and cannot be renewed: %s",  # noqa: TRY400
                      len(issued), err)
            return None
        wanted = [row for row in issued if _outlives(found, row)]
        if len(wanted) < len(issued):
            LOG.error("%d certificates or more end soon and cannot be renewed: the authority "
                      "ends with them, or did not issue them", len(issued) - len(wanted))
        return wanted

    @retry_on_db_error
    def _warn(self, rows: Sequence[AnyRow], now: datetime.datetime, until: datetime.datetime, *,
              given: bool) -> None:
        """Tell the owners that theirs is for them to replace."""
        if not rows:
            return
        owners = {row.instance_id: row.tenant_id for row in rows}
        with self._db.writer() as session:
            for row in tls.put_off(session, owners, now, until, now + _WARN_AGAIN, given=given):
                ends = isoformat(row.expires_at)
                events.add(
                    session, EventKind.CERTIFICATE_ENDING,
                    f"The certificate of the database {_verb(row.expires_at, now)} {ends}; the "
                    f"service {'does not renew yours' if given else 'cannot renew it'}: enable "
                    "TLS again with another one.", now, tenant_id=owners[row.instance_id],
                    resource_id=row.instance_id, details={"expires_at": ends})

    @retry_on_db_error
    def _begin(self, instance_id: str, until: datetime.datetime) -> list[str]:
        """Begin to renew one, if that may begin now; return the operation's id."""
        now = self._clock.now()
        with self._db.writer() as session:
            loaded = readiness.load(session, instance_id, None, now)
            # what failed together need not be tried together
            again = now + datetime.timedelta(seconds=random.uniform(0.5, 1.5) * min(  # noqa: S311
                _TRY_AGAIN * 2 ** tls.tries(session, instance_id), _TRY_AT_LEAST))
            due = tls.put_off(session, [instance_id], now, until, again, given=False)
            if loaded is None or not due:
                # it is deleted, or has another one by now
                return []
            why = readiness.why_not(loaded, self._conf.agent_heartbeat_expiry)
            if why is not None:
                LOG.warning("its certificate %s and is not renewed yet: %s",
                            _reason(due[0], now), why)
                return []
            instance = loaded.instance
            context = of_its_own(instance.tenant_id)
            accepted = self._attempt(
                session, f"the certificate of {instance.id}", lambda: self._requests.submit(
                    session, action=payloads.INSTANCE_SET_TLS, resource_type="instance",
                    resource_id=instance.id, tenant_id=instance.tenant_id, context=context,
                    payload=payloads.SetTls(mode=due[0].mode, renewal=True), now=now))
            if accepted is None:
                return []
            instance.task, instance.operation_id = Task.UPDATING, accepted.id
            if not tls.begin(session, instance.id, now, now - _WARN_AGAIN):
                # its owner was told when the first attempt began
                return [accepted.id]
            ends = isoformat(due[0].expires_at)
            events.add(
                session, EventKind.CERTIFICATE_RENEWAL,
                f"The certificate of the database {_reason(due[0], now)}; the service renews it.",
                now, tenant_id=instance.tenant_id,
                resource_id=instance.id, operation_id=accepted.id,
                request_id=context.request_id, details={"expires_at": ends})
            return [accepted.id]


def _outlives(found: Authority, row: AnyRow) -> bool:
    return found.expires_at > row.expires_at and found.is_that_of(row.authority or "")


def _reason(row: AnyRow, now: datetime.datetime) -> str:
    """Return what is wrong with a certificate, as an end of a sentence."""
    if row.misnamed:
        return "is for other addresses than the instance has"
    return f"{_verb(row.expires_at, now)} {isoformat(row.expires_at)}"


def _verb(expires_at: datetime.datetime, now: datetime.datetime) -> str:
    return "ends" if expires_at > now else "ended"
