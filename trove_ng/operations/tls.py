"""Certificates for the database of an instance."""

from __future__ import annotations

import datetime
import logging
import pathlib
from typing import Any

from oslo_config import cfg
from sqlalchemy.orm import Session

from trove_ng.common.secret import Secret
from trove_ng.db.models import Instance
from trove_ng.db.repositories import tls
from trove_ng.domain.certificates import Authority, CertificateError, describe
from trove_ng.operations import guest, payloads, servers
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc import tls_messages as tm

LOG = logging.getLogger(__name__)

#: in which the end of a certificate that was just put in force is not looked at
_SETTLED = datetime.timedelta(hours=1)
_NO_CERTIFICATE = "The agent of the instance tells what is no certificate."


def authority(conf: cfg.ConfigOpts) -> Authority:
    """Return the operator's authority, as its files are now.

    :raises CertificateError: there is none, or it cannot be used
    """
    texts = []
    for name in ("ca_certificate", "ca_private_key"):
        path = conf.tls[name]
        if not path:
            raise CertificateError(f"[tls] {name} is not configured.")
        try:
            texts.append(pathlib.Path(path).read_text("ascii"))
        except (OSError, ValueError):
            raise CertificateError(f"The file of [tls] {name} cannot be read.") from None
    return Authority(texts[0], Secret(texts[1]))


def issued(work: Work, mode: str, *, renewal: bool) -> tm.TlsRequest:
    """Return the request that gives an instance a new certificate of the authority.

    :param renewal: it takes the place of the one before
    :raises StepFailed: none can be issued
    """
    instance = servers.load(work)
    try:
        made = authority(work.tools.conf).issue(
            instance.id, _names(instance), work.tools.conf.tls.certificate_days,
            work.tools.clock.now())
    except CertificateError as err:
        # what is wrong with the operator's files is for the operator
        LOG.error("operation %s: no certificate: %s", work.id, err)  # noqa: TRY400
        raise StepFailed("The service cannot issue a certificate.") from err
    return tm.TlsRequest(
        operation_id=work.id, step="tls", mode=mode, certificate=made.certificate,
        key=made.key, authority=made.authority, renewal=renewal)


def given(work: Work, mode: str, reference: str) -> tm.TlsRequest:
    """Return the request that gives an instance what its owner has in the key manager.

    :raises StepFailed: it is lost
    """
    secrets = work.secrets()
    try:
        certificate, key, authority = (secrets[name] for name in (
            payloads.TLS_CERTIFICATE, payloads.TLS_KEY, payloads.TLS_AUTHORITY))
    except KeyError:
        raise StepFailed("The certificate is lost.") from None
    return tm.TlsRequest(
        operation_id=work.id, step="tls", mode=mode, certificate=certificate.reveal(), key=key,
        authority=authority.reveal(), reference=reference)


def _names(instance: Instance) -> list[str]:
    """Return what clients reach an instance under."""
    found = [str(one["address"]) for one in instance.addresses]
    return [*found, instance.hostname] if instance.hostname else found


def compare(session: Session, instance: Instance) -> None:
    """Have a certificate of the authority renewed if its instance has other names."""
    found = tls.get(session, instance.id)
    if found is None or found.mode is None or found.reference is not None:
        return
    if {*describe(found.certificate).names} != {*_names(instance)}:
        tls.misname(session, instance.id)


def use(work: Work, result: tm.TlsResult, *, at_once: bool = False,
        restart: str = "tls_restart") -> None:
    """Note whether the instance needs a restart now.

    :param at_once: it is restarted if it does
    :param restart: name of that for its agent
    """
    if at_once and result.restart_required:
        work.tools.guests(work.resource_id, work.context).restart(
            messages.StepRequest(operation_id=work.id, step=restart))
        guest.wait_for_database(work, work.resource_id)
    servers.note(work, restart_required=result.restart_required and not at_once)


def put(work: Work, request: tm.TlsRequest, *, at_once: bool = False) -> None:
    """Have the database speak TLS with its clients, or no more.

    :param at_once: it is restarted if it needs that
    """
    use(work, work.tools.guests(work.resource_id, work.context).set_tls(request),
        at_once=at_once)


def spoken(work: Work) -> tuple[str, tuple[str, ...]]:
    """Return what the instance's certificate is verified with, and the names that it is for.

    :return: nothing and none if it speaks no TLS
    :raises StepFailed: its agent tells what is no certificate
    """
    current = work.tools.guests(work.resource_id, work.context).get_tls().current
    if current.mode is None:
        return "", ()
    try:
        return current.authority, describe(current.certificate).names
    except CertificateError as err:
        raise StepFailed(_NO_CERTIFICATE) from err


def as_source(work: Work) -> None:
    """Have a new replica speak TLS with its clients as its source does."""
    with work.reader() as session:
        found = tls.get(session, servers.load(work).slave_of_id or "")
    if found is not None and found.mode is not None:
        put(work, issued(work, found.mode, renewal=False), at_once=True)
        write_down(work)


def write_down(work: Work) -> None:
    """Store what the server has.

    :raises StepFailed: its agent tells what is no certificate
    """
    state = work.tools.guests(work.resource_id, work.context).get_tls()
    # a server that tells of an end that never moves is not renewed all the time
    now = work.tools.clock.now()
    current = _columns(state.current)
    ends = current.get("expires_at")
    # one that went back to what has ended has nothing to wait for
    ended = (work.action == payloads.INSTANCE_ROLL_BACK_TLS and ends is not None
             and ends <= now)
    current["look_at"] = None if ended else now + _SETTLED
    entries = {tls.CURRENT: current,
               tls.PREVIOUS: _columns(state.previous) if state.previous else None}
    with work.writer() as session:
        tls.replace(session, work.resource_id, entries)


def _columns(entry: tm.TlsEntry) -> dict[str, Any]:
    if entry.mode is None:
        return {"mode": None}
    try:
        expires_at = describe(entry.certificate).expires_at
    except CertificateError as err:
        raise StepFailed(_NO_CERTIFICATE) from err
    return {"mode": entry.mode, "reference": entry.reference or None, "expires_at": expires_at,
            "certificate": entry.certificate, "authority": entry.authority or None}
