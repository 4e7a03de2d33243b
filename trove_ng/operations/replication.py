"""Instances that follow another one: accounts at the source, where the data come from.

Each replica has an account of its own at its source, with a password that no other knows.
"""

from __future__ import annotations

import logging
import uuid

from trove_ng.common.errors import GuestError, ServiceUnavailable, TroveError
from trove_ng.common.secret import Secret, generate_password
from trove_ng.common.states import BackupState
from trove_ng.datastores.base import REPLICA_USERS
from trove_ng.db.models import Instance
from trove_ng.db.repositories import backups, instances
from trove_ng.db.trouble import StoreAway
from trove_ng.operations import access, payloads, servers, tls
from trove_ng.operations.work import StepFailed, Work
from trove_ng.rpc import messages
from trove_ng.rpc import replication_messages as rm
from trove_ng.rpc.lines import BusAway

LOG = logging.getLogger(__name__)

_PASSWORD_LENGTH = 40


def account(instance_id: str) -> str:
    """Return the name of the account that a replica has at its source."""
    return REPLICA_USERS + uuid.UUID(instance_id).hex


def new_password() -> Secret:
    """Return a password for an account at a source."""
    return Secret(generate_password(_PASSWORD_LENGTH))


def load(work: Work, instance_id: str | None) -> Instance:
    """Return an instance of the set, detached.

    :raises StepFailed: it is gone
    """
    found = _find(work, instance_id or "")
    if found is None:
        raise StepFailed("The source of the replica is gone.")
    return found


def _find(work: Work, instance_id: str) -> Instance | None:
    with work.reader() as session:
        return instances.get(session, instance_id)


def wait_for_snapshot(work: Work) -> None:
    """Wait until the data of the source are in the object store, if they are to be.

    :raises StepFailed: they will not be
    """
    backup_id = work.payload(payloads.CreateReplica).backup_id
    if backup_id is None:
        return

    def ready() -> bool | None:
        with work.reader() as session:
            found = backups.get(session, backup_id)
        if found is None or found.state == BackupState.FAILED:
            why = (found.error or "") if found is not None else "It is gone."
            raise StepFailed(f"The snapshot of the source could not be made: {why}")
        return True if found.state == BackupState.COMPLETED else None

    work.wait_for_others("the snapshot of the source", ready)


def open_account(work: Work) -> None:
    """Let the new replica in at its source: its address, its account."""
    instance = servers.load(work)
    source = load(work, instance.slave_of_id)
    access.let_in(work, source)
    try:
        _set_accounts(work, source, messages.UserSpec(
            name=account(instance.id), password=_password(work)))
    except GuestError as err:
        # its database may be restarted just now: it is asked again
        raise ServiceUnavailable(err.message) from err


def close_account(work: Work) -> None:
    """Take the account of a replica that goes away from its source."""
    source_id = _source_of(work)
    if source_id is not None:
        shut_out(work, source_id)
        drop_account(work, source_id)


def close_way(work: Work) -> None:
    """Let the address of a replica that could not be made in at its source no more."""
    source_id = _source_of(work)
    if source_id is not None:
        shut_out(work, source_id)


def drop_first_account(work: Work) -> None:
    """Take the account of a replica that could not be made from its source, whoever made it."""
    source_id = _source_of(work)
    if source_id is not None:
        drop_account(work, source_id)


def _source_of(work: Work) -> str | None:
    instance = _find(work, work.resource_id)
    return instance.slave_of_id if instance is not None else None


def shut_out(work: Work, source_id: str) -> None:
    """Let the address of the instance in at a source no more, if that is there still."""
    source = _find(work, source_id)
    if source is not None:
        access.let_out(work, source)


def let_back(work: Work, source_id: str) -> None:
    """Let the address of the instance in at its source again, if it follows that still."""
    source = _find(work, source_id)
    if source is not None and servers.load(work).slave_of_id == source_id:
        access.let_in(work, source)


def drop_account(work: Work, source_id: str) -> None:
    """Take the account of the instance from a source, and those of all that do not follow it.

    A source that does not answer keeps the account, which is written down: a reconciliation
    takes it when the source answers again.
    """
    source = _find(work, source_id)
    if source is None:
        return
    try:
        _set_accounts(work, source, None)
    except (StoreAway, BusAway):
        raise
    except TroveError as err:
        LOG.warning("operation %s: instance %s keeps accounts that no replica needs: %s",
                    work.id, source.id, err.message)
        with work.writer() as session:
            row = instances.get(session, source.id)
            if row is not None:
                row.accounts_left = True


def drop_left_accounts(work: Work) -> None:
    """Take the accounts from the instance that were left there, unless others may be by now."""
    with work.writer() as session:
        if instances.are_replicas_idle(session, work.resource_id):
            servers.row(work, session).accounts_left = False
    try:
        drop_account(work, work.resource_id)
    except BusAway:
        with work.writer() as session:
            servers.row(work, session).accounts_left = True
        raise


def _set_accounts(work: Work, source: Instance, add: messages.UserSpec | None) -> None:
    with work.reader() as session:
        replicas = instances.replica_ids(session, [source.id]).get(source.id, [])
    work.tools.guests(source.id, work.context).set_replica_accounts(rm.ReplicaAccounts(
        keep=[account(one) for one in replicas if one != work.resource_id], add=add))


def _password(work: Work) -> Secret:
    found = work.secrets().get(payloads.REPLICA_SECRET)
    if found is None:
        raise StepFailed("The password of the replica is lost.")
    return found


def follow_first(work: Work) -> None:
    """Have the new replica go on where its data end."""
    instance = servers.load(work)
    source = load(work, instance.slave_of_id)
    follow(work, source, "follow", _password(work), _position(work))


def _position(work: Work) -> dict[str, str]:
    """Return what the snapshot says that the data are from; nothing if there is none."""
    backup_id = work.payload(payloads.CreateReplica).backup_id
    if backup_id is None:
        return {}
    with work.reader() as session:
        backup = backups.get(session, backup_id)
    if backup is None:
        raise StepFailed("The snapshot of the source is gone.")
    return dict(backup.manifest.get("metadata", {}))


def follow(work: Work, source: Instance, step: str, password: Secret,
           position: dict[str, str] | None = None) -> None:
    """Have the instance follow a source, at which it has an account.

    :param step: for the memory of its agent
    :param position: where its data end; None: its database knows
    """
    instance = servers.load(work)
    version, _ = servers.load_version(work, instance)
    engine = work.tools.datastores[version.manager]
    (_, port, _), *_ = engine.ports
    host = _address(source, instance)
    authority, names = tls.spoken(work.on(source.id))
    work.tools.guests(instance.id, work.context).follow(rm.FollowRequest(
        operation_id=work.id, step=step, host=host,
        port=(engine.tls_port or port) if authority else port,
        user=account(instance.id), password=password, position=position,
        authority=authority, named=host in names))


def _address(source: Instance, replica: Instance) -> str:
    """Return where a replica reaches its source: in a network that both have, if there is one.

    :raises StepFailed: the source has no address
    """
    own = {one["network"] for one in replica.addresses}
    found = sorted(source.addresses, key=lambda one: one["network"] not in own)
    if not found:
        raise StepFailed("The source of the replica has no address.")
    return str(found[0]["address"])
