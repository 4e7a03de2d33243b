"""Names of instances in the DNS.

A name is made of the instance's id, so that it is found again, and no other instance ever
has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trove_ng.cloud.dns import Record, description
from trove_ng.cloud.errors import CloudConflict
from trove_ng.db.models import Instance
from trove_ng.db.repositories import dns_records, instances
from trove_ng.operations import servers
from trove_ng.operations.access import Access
from trove_ng.operations.work import StepFailed, Work


def make(work: Work) -> None:
    """Register the name of a new instance and wait until it is served."""
    options = work.tools.conf.dns
    if not options.enabled:
        return
    if not options.domain_name:
        raise StepFailed("The operator named no domain for instances.")
    instance = servers.load(work)
    name = f"{instance.id}.{options.domain_name.strip('.')}"
    _point(work, name, _address(instance, bool((instance.access or {}).get("is_public"))))


def leave_address(work: Work, access: Access) -> None:
    """Let the name not point to the public address any more, if that is given back."""
    if not access.get("is_public"):
        _follow(work, public=False)


def set_address(work: Work, access: Access) -> None:
    """Let the name point to the address at which the instance is reached."""
    _follow(work, public=bool(access.get("is_public")))


def _follow(work: Work, *, public: bool) -> None:
    instance = servers.load(work)
    # one that was made without a name gets none
    if instance.hostname and work.tools.conf.dns.enabled:
        _point(work, instance.hostname, _address(instance, public))


def _address(instance: Instance, public: bool) -> str:
    found = address_of(instance.addresses, public=public)
    if found is None:
        raise StepFailed("The instance has no address that a name could have.")
    return found


def address_of(addresses: Sequence[Mapping[str, str]], *, public: bool) -> str | None:
    """Return the floating address, which is the last one, or the first one of the ports."""
    return str(addresses[-1 if public else 0]["address"]) if addresses else None


def _point(work: Work, name: str, address: str) -> None:
    known = work.tools.clouds.names.find(name)
    # a row with a name is one that may be registered
    servers.note(work, hostname=name)
    record = _registered(work, name, address, known)
    with work.writer() as session:
        dns_records.note(session, work.resource_id, name, record.id)

    def served() -> Record | None:
        for one in work.tools.clouds.names.find(name):
            if one.failed:
                raise StepFailed("The dns service could not serve the name of the instance.")
            if one.ready and one.address == address:
                return one
        return None

    if not record.ready:
        work.wait("the name of the instance to be served", served,
                  work.tools.conf.dns.timeout)


def _registered(work: Work, name: str, address: str, known: list[Record]) -> Record:
    names = work.tools.clouds.names
    if not known:
        try:
            return names.create(name, address, description(work.resource_id))
        except CloudConflict:
            # that of an earlier attempt, whose answer was lost
            known = names.find(name)
            if not known:
                raise
    first = known[0]
    if first.address == address and not first.failed:
        return first
    return names.change(first.id, address)


def drop(work: Work) -> None:
    """Forget the name."""
    with work.reader() as session:
        ids = {one.record_id for one in dns_records.of(session, work.resource_id)}
        found = instances.get(session, work.resource_id)
        name = found.hostname if found is not None else None
    if name:
        # one whose answer was lost too
        ids |= {one.id for one in work.tools.clouds.names.find(name)}
    for one in sorted(ids):
        work.tools.clouds.names.delete(one)
    if ids or name:
        with work.writer() as session:
            dns_records.forget(session, work.resource_id)
        servers.forget(work, hostname=None)
