"""What an operation is asked to do, beside what its resource's row says.

A payload is stored as JSON and holds no secret; secrets are sealed apart from it
(see :mod:`trove_ng.operations.requests`).  A field is only ever added, with a default,
so that an operation accepted by an older release is run.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from trove_ng.common.states import DATA_VOLUME

INSTANCE_CREATE = "instance.create"
INSTANCE_CREATE_REPLICA = "instance.create_replica"
INSTANCE_DETACH_REPLICA = "instance.detach_replica"
INSTANCE_PROMOTE = "instance.promote"
INSTANCE_EJECT = "instance.eject"
INSTANCE_DELETE = "instance.delete"
INSTANCE_FORCE_DELETE = "instance.force_delete"
INSTANCE_RESTART = "instance.restart"
INSTANCE_RESIZE_FLAVOR = "instance.resize_flavor"
INSTANCE_RESIZE_VOLUME = "instance.resize_volume"
INSTANCE_GROW_SET = "instance.grow_set"
INSTANCE_CONFIGURE = "instance.configure"
CONFIGURATION_APPLY = "configuration.apply"
INSTANCE_SET_TLS = "instance.set_tls"
INSTANCE_ROLL_BACK_TLS = "instance.roll_back_tls"
INSTANCE_UPDATE_ACCESS = "instance.update_access"
INSTANCE_STOP = "instance.stop"
INSTANCE_REBOOT = "instance.reboot"
INSTANCE_MIGRATE = "instance.migrate"
INSTANCE_REBUILD = "instance.rebuild"
INSTANCE_UPGRADE = "instance.upgrade"
INSTANCE_RECOVER = "instance.recover"
INSTANCE_UPGRADE_AGENT = "instance.upgrade_agent"
BACKUP_CREATE = "backup.create"
BACKUP_DELETE = "backup.delete"
BACKUP_IMPORT = "backup.import"
BACKUP_SNAPSHOT = "backup.snapshot"
BACKUP_SEED_REPLICAS = "backup.seed_replicas"
BACKUP_DELETE_SNAPSHOT = "backup.delete_snapshot"
BACKUP_VERIFY = "backup.verify"
MODULE_REAPPLY = "module.reapply"

#: work on a backup for which the agent of the instance is needed
BACKUPS_BY_AGENTS = (BACKUP_CREATE, BACKUP_SNAPSHOT, BACKUP_SEED_REPLICAS)

#: work on a whole set of replicas, if there is one; its payload is an :class:`OfSet`
OF_SETS = frozenset({INSTANCE_PROMOTE, INSTANCE_EJECT, INSTANCE_GROW_SET, INSTANCE_SET_TLS,
                     INSTANCE_ROLL_BACK_TLS})


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all payloads."""


class Database(Payload, frozen=True, kw_only=True):
    """A database to create with the instance."""

    name: str
    character_set: str | None = None
    collate: str | None = None


class User(Payload, frozen=True, kw_only=True):
    """A user to create with the instance; its password is in the secrets.

    The key of the password is :func:`user_secret`.
    """

    name: str
    host: str | None = None
    databases: list[str] = []


class CreateInstance(Payload, frozen=True, kw_only=True):
    """Build an instance; flavor, volume, networks and zone are in its row.

    :param backup_id: the backup to restore, None for an empty database
    :param restore_time: to which moment, naive UTC in ISO 8601; None: that of the backup
    :param enable_root: enable root at the first start; its password is in the secrets
        under :data:`ROOT_SECRET`
    :param modules: ids of the modules to apply, those that nobody asked for among them
    """

    databases: list[Database] = []
    users: list[User] = []
    backup_id: str | None = None
    restore_time: str | None = None
    enable_root: bool = False
    modules: list[str] = []


class CreateReplica(CreateInstance, frozen=True, kw_only=True):
    """Build an instance that follows another one; which one, is in its row.

    The password of its account there is in the secrets under :data:`REPLICA_SECRET`.
    """


class DetachReplica(Payload, frozen=True, kw_only=True):
    """Let a replica follow its source no more.

    :param source_id: of the source
    """

    source_id: str


class OfSet(Payload, frozen=True, kw_only=True):
    """Do something with a set of replicas.

    :param source_id: of the source that the set has; empty: there is none
    :param replica_ids: of those that follow it and belong to the operation until it ends
    :param others: the same, that the operation could do without
    """

    source_id: str = ""
    replica_ids: list[str] = []
    others: list[str] = []

    @property
    def members(self) -> list[str]:
        """The ids of all that belong to the operation."""
        return [*([self.source_id] if self.source_id else []), *self.replica_ids, *self.others]


class ChangeSource(OfSet, frozen=True, kw_only=True):
    """Give a set of replicas another source.

    The passwords that the members get at other members are in the secrets, under
    :func:`member_secret`.  The replicas are all there are; where nobody asked those that can take
    its place, and the others follow who does if they can.

    :param automatic: nobody asked for it
    :param living: nobody did, and the agent of the source can be asked to keep its database down
    """

    automatic: bool = False
    living: bool = False


class DeleteInstance(Payload, frozen=True, kw_only=True):
    """Delete an instance and all that was made for it."""


class RestartInstance(Payload, frozen=True, kw_only=True):
    """Restart the database."""


class ConfigureInstance(Payload, frozen=True, kw_only=True):
    """Give an instance the settings of a group as they are now.

    :param configuration_id: None takes the group's settings away
    """

    configuration_id: str | None = None


class SetTls(OfSet, frozen=True, kw_only=True):
    """Have the databases of an instance and its replicas speak TLS with their clients.

    Certificate, key and authority of a reference are in the secrets, under
    :data:`TLS_CERTIFICATE`, :data:`TLS_KEY` and :data:`TLS_AUTHORITY`, and the passwords that
    the replicas get at their source under :func:`member_secret`.

    :param mode: one of :data:`trove_ng.common.tls.MODES`; None: no TLS
    :param reference: where the key manager has them; None: the service issues a certificate, as
        it does for replicas in any case
    :param renewal: nobody asked for it: the one before ends soon
    """

    mode: str | None = None
    reference: str | None = None
    renewal: bool = False


class RollBackTls(OfSet, frozen=True, kw_only=True):
    """Have the database speak with its clients as before the last change of that.

    The passwords that the replicas get at their source are in the secrets, under
    :func:`member_secret`.

    :param mode: which is this one, that its replicas get, too
    """

    mode: str | None = None


class ApplyConfiguration(Payload, frozen=True, kw_only=True):
    """Give all instances of a group its settings as they are now.

    :param event: how it is told, by the name of the event
    """

    event: str = "configuration_update"


class ResizeFlavor(Payload, frozen=True, kw_only=True):
    """Give the server another flavor.

    :param flavor_id: in the configured region
    :param ram_mb: memory of the new flavor, MiB
    :param there: its id in the region of the instance, where that is another one
    """

    flavor_id: str
    ram_mb: int
    there: str | None = None

    @property
    def server_flavor_id(self) -> str:
        """The flavor's id as the server has it."""
        return self.there or self.flavor_id


class ResizeVolume(Payload, frozen=True, kw_only=True):
    """Grow a volume.

    :param size: the new size, GB
    :param kind: which one
    """

    size: int
    kind: str = DATA_VOLUME


class GrowSet(OfSet, frozen=True, kw_only=True):
    """Grow a volume of those replicas that have a smaller one, and then of their source.

    What is done with each member is in it as in a :class:`ResizeVolume`.
    """

    size: int
    kind: str = DATA_VOLUME


class UpdateAccess(Payload, frozen=True, kw_only=True):
    """Change who reaches the database.

    :param access: what ``instances.access`` says afterwards
    :param accounts: also take the accounts of replicas that are gone, and let clients write to
        a source that never let them
    """

    access: dict[str, Any]
    accounts: bool = False


class StopInstance(Payload, frozen=True, kw_only=True):
    """Stop the database; it stays stopped until it is restarted."""


class RebootInstance(Payload, frozen=True, kw_only=True):
    """Boot the server again."""


class MigrateInstance(Payload, frozen=True, kw_only=True):
    """Move the server to another machine.

    :param host: name of that machine; None leaves the choice to the cloud
    """

    host: str | None = None


class RebuildInstance(Payload, frozen=True, kw_only=True):
    """Replace the root disk."""

    image_id: str


class UpgradeInstance(Payload, frozen=True, kw_only=True):
    """Replace the root disk by that of another datastore version.

    :param previous_id: the version that the instance had
    """

    datastore_version_id: str
    previous_id: str | None = None


class RecoverInstance(Payload, frozen=True, kw_only=True):
    """Start the database on a root disk that nobody waits for any more."""


class UpgradeAgent(Payload, frozen=True, kw_only=True):
    """Give an instance another release of the agent.

    :param location: URL of its package
    :param sha256: of the package
    """

    version: str
    location: str
    sha256: str


class CreateBackup(Payload, frozen=True, kw_only=True):
    """Back an instance up; all else that matters is in the backup's row.

    :param parent_implied: nobody named the backup to continue: a full one does as well
    """

    parent_implied: bool = False


class ImportBackup(Payload, frozen=True, kw_only=True):
    """Make a backup known that is in the object store.

    :param remote_location: its URL
    """

    remote_location: str


class DeleteBackup(Payload, frozen=True, kw_only=True):
    """Delete a backup's objects and its row."""


class VerifyBackup(CreateInstance, frozen=True, kw_only=True):
    """Restore a backup into an instance of the service, look through it and remove it.

    :param instance_id: of that instance, which is made later
    :param flavor_id: of its server, in the configured region
    """

    instance_id: str
    flavor_id: str


class ReapplyModule(Payload, frozen=True, kw_only=True):
    """Give instances that have a module its present contents.

    :param tenant_id: owner of the instances; None: any
    :param md5: only instances that have these contents
    :param force: also instances that have the present contents already
    :param batch_size: instances before a pause
    :param batch_delay: seconds of a pause
    """

    batch_size: int
    batch_delay: int
    tenant_id: str | None = None
    md5: str | None = None
    include_clustered: bool = False
    force: bool = False


#: key of root's password in an operation's secrets
ROOT_SECRET = "root"  # noqa: S105 - the name of a key

#: key of the password that a replica has at its source, in an operation's secrets
TLS_CERTIFICATE, TLS_KEY, TLS_AUTHORITY = "tls_certificate", "tls_key", "tls_authority"
REPLICA_SECRET = "replica"  # noqa: S105 - the name of a key

P = TypeVar("P", bound=Payload)


def user_secret(name: str, host: str | None) -> str:
    """Return the key of a user's password in an operation's secrets."""
    return f"user:{name}@{host or '%'}"


def member_secret(instance_id: str) -> str:
    """Return the key of the password that a member of a set gets, in an operation's secrets."""
    return f"{REPLICA_SECRET}:{instance_id}"


def dump(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON values."""
    values: dict[str, Any] = msgspec.to_builtins(payload)
    return values


def load(values: dict[str, Any], kind: type[P]) -> P:
    """Return the payload that was stored.

    :raises msgspec.ValidationError: it does not fit
    """
    return msgspec.convert(values, kind)
