"""The typed messages that cross the bus.

A message is a :class:`msgspec.Struct`; nothing crosses as loose keyword
arguments.  Compatibility: a field is only ever added, with a default, so that a
peer one release behind is served (unknown fields are ignored when reading).
Sizes are bytes unless a name says otherwise; times are naive UTC ISO 8601.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from trove_ng.common.secret import Secret
from trove_ng.common.states import ReportState, ServiceStatus

#: version of the message set; raised with each addition, see ``HISTORY``
VERSION = "1.0"
#: what each version added
HISTORY = {"1.0": "first release"}

T = TypeVar("T")

#: in the result of a step that failed: a backup is to blame, :class:`Damage`
DAMAGED = "damaged"
#: in the result of a step that failed: a backup cannot continue the other one, only a full one
#: can be made
FULL_NEEDED = "full_needed"
#: what a guest may say is bounded by what the store can hold
Count = Annotated[int, msgspec.Meta(ge=0, le=2 ** 63 - 1)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
Ident = Annotated[str, msgspec.Meta(max_length=36)]
Name = Annotated[str, msgspec.Meta(max_length=128)]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all messages."""


# ---- values ---------------------------------------------------------------


class DatabaseSpec(Message, frozen=True, kw_only=True):
    """A database (schema) inside a server."""

    name: str
    character_set: str | None = None
    collate: str | None = None


class UserSpec(Message, frozen=True, kw_only=True):
    """A database user; ``databases`` are names the user is granted."""

    name: str
    password: Secret | None = None
    host: str | None = None
    databases: list[str] = []


class UserChange(Message, frozen=True, kw_only=True):
    """What to change of a user; None leaves as it is."""

    name: str | None = None
    password: Secret | None = None
    host: str | None = None


class DatabasePage(Message, frozen=True, kw_only=True):
    """One page of databases; ``next_marker`` is None on the last page."""

    databases: list[DatabaseSpec]
    next_marker: str | None = None


class UserPage(Message, frozen=True, kw_only=True):
    """One page of users, without passwords."""

    users: list[UserSpec]
    next_marker: str | None = None


class VolumeSpec(Message, frozen=True, kw_only=True):
    """A volume the guest mounts.

    :param kind: ``data``, ``binlog``, ``user_log``
    :param device: device path as the cloud told, for example ``/dev/vdb``
    :param fstype: ext3, ext4 or xfs; that of a share
    :param raw: it is a block device, which is formatted if it is empty; else a share, of
        which ``device`` names server, directory and, last, the instance's own directory
    """

    kind: str = "data"
    device: str
    mount_point: str
    fstype: str = "ext4"
    mount_options: str = "noatime"
    raw: bool = True


class DeviceConfig(Message, frozen=True, kw_only=True):
    """A volume as the cloud gave it to the server; the agent knows where it belongs.

    :param volume_kind: ``data``, ``binlog``, ``user_log``
    :param device_type: how to prepare it, for example ``block_ext4``
    :param device_path: as the cloud told, for example ``/dev/vdb``
    :param volume_id: by which the server's own names for devices may tell it
    :param mount_options: where the agent's configuration has none for the device type
    """

    volume_kind: str
    device_type: str
    device_path: str
    volume_id: str | None = None
    mount_options: str = ""


class ObjectStoreGrant(Message, frozen=True, kw_only=True):
    """Leave to use objects below one prefix, by Swift TempURL signatures.

    Wire format: Swift TempURL middleware, ``temp_url_prefix`` form.

    :param container_url: URL of the container, without a trailing slash
    :param prefix: object name prefix the grant covers
    :param get_query: query string for GET and HEAD
    :param put_query: query string for PUT; None for a read-only grant
    :param expires_at: Unix time, seconds
    """

    container_url: str
    prefix: str
    get_query: Secret
    put_query: Secret | None = None
    expires_at: int


class Segment(Message, frozen=True, kw_only=True):
    """One stored piece of a backup.

    :param name: object name inside the container
    :param size: bytes
    :param md5: hex digest as Swift's ETag gives it
    :param sha256: hex digest, checked before a restore touches data
    """

    name: str
    size: int
    md5: str
    sha256: str


class StoredBackup(Message, frozen=True, kw_only=True):
    """What a backup consists of, as reported by the guest and kept in the store.

    :param strategy: name of the backup strategy, for example ``mariabackup``
    :param checksum: hex SHA-256 of the concatenated segments' sha256 values
    :param size: stored bytes (compressed)
    :param data_size: bytes of the database before compression
    :param metadata: strategy-specific position data (LSN, GTID)
    """

    strategy: str
    segments: list[Segment]
    checksum: str
    size: int
    data_size: int = 0
    metadata: dict[str, str] = {}


# ---- requests to the guest ------------------------------------------------


class OrderedRequest(Message, frozen=True, kw_only=True):
    """A request of an operation that is not heard after newer ones of the same.

    :param operation_id: operation that asks
    :param fence: rises each time another worker takes the operation; 0: the sender does not
        tell, and the request has no place in the order
    :param word: rises with each request of the same worker
    """

    operation_id: str = ""
    fence: int = 0
    word: int = 0


class StepRequest(OrderedRequest, frozen=True, kw_only=True):
    """A long request of an operation; repeated deliveries do the work once.

    :param step: name of its step; with the operation the idempotency key
    """

    operation_id: str
    step: str


class LogReplay(Message, frozen=True, kw_only=True):
    """The log to apply after backups.

    :param until: Unix time after which no change is applied
    :param pieces: each continues the one before; the first, what the last backup has
    :param grant: leave to read them all
    :param keys: see :class:`RestoreSpec`
    """

    until: Moment
    pieces: list[StoredBackup]
    grant: ObjectStoreGrant
    keys: list[Secret | None] = []


class RestoreSpec(Message, frozen=True, kw_only=True):
    """Where the data of a new instance comes from.

    :param chain: backups to apply, the full one first
    :param grants: one grant per backup of the chain, same order
    :param keys: what each of them is encrypted with, None for one that is not; empty if
        none is
    :param region: that the backup is stored in
    :param log: what to apply after them; None: nothing
    """

    backup_id: str
    chain: list[StoredBackup]
    grants: list[ObjectStoreGrant]
    keys: list[Secret | None] = []
    region: str | None = None
    log: LogReplay | None = None


class Prepared(Message, frozen=True, kw_only=True):
    """What became of a prepare.

    :param restored_to: of a restore to a time: Unix time of the last change that was applied,
        None if there was none after the backup
    """

    restored_to: Moment | None = None


class ExistingData(Message, frozen=True, kw_only=True):
    """Data that the volume holds already: that of a snapshot.

    :param version: of the server that wrote them
    """

    version: str


class CheckRequest(StepRequest, frozen=True, kw_only=True):
    """Look through all data, changing nothing.

    :param seconds: that it may take
    """

    seconds: float


class DataReport(Message, frozen=True, kw_only=True):
    """What a look through the data found.

    :param counts: what was looked at → how many
    :param size: bytes that the data have on the volume
    :param problems: sentences on what is damaged; none: all is well
    """

    counts: dict[str, int] = {}
    size: int = 0
    problems: list[str] = []


class HoldRequest(OrderedRequest, frozen=True, kw_only=True):
    """Let the data on the volume be as a backup needs them, and stay so.

    :param token: names the hold; what is held by another one is released
    :param seconds: after which it ends by itself
    """

    token: Name
    seconds: float


class Held(Message, frozen=True, kw_only=True):
    """What is held.

    :param version: of the server
    :param fstype: of the volume's file system
    :param used: bytes of it that are in use
    """

    version: str
    fstype: str = ""
    used: int = 0


class PrepareRequest(StepRequest, frozen=True, kw_only=True):
    """Make an empty server a database instance.

    :param memory_mb: memory the database may plan with, in MiB
    :param volume: the data volume, or None when data lives on the root disk; agents that
        know of ``device_config`` leave it out of account if that is there
    :param device_config: all volumes
    :param config: settings of the datastore's configuration template that
        the control plane computed (flavor-dependent), section → key → value
    :param overrides: settings of the user's configuration group
    :param existing: the volume holds data, which become the instance's; None: it is empty
    :param replica: it is read only from its first start; who it follows is told later
    """

    datastore: str
    datastore_version: str
    memory_mb: int
    volume: VolumeSpec | None = None
    device_config: list[DeviceConfig] = []
    databases: list[DatabaseSpec] = []
    users: list[UserSpec] = []
    root_password: Secret | None = None
    restore: RestoreSpec | None = None
    config: dict[str, dict[str, Any]] = {}
    overrides: dict[str, Any] = {}
    existing: ExistingData | None = None
    replica: bool = False


class BackupRequest(StepRequest, frozen=True, kw_only=True):
    """Make a backup and stream it to object storage.

    :param parent: the backup this one continues, for an incremental one
    :param segment_size: bytes of one stored segment
    :param key: what to encrypt it with, 32 bytes in URL-safe base64; None leaves it as it is
    """

    backup_id: str
    strategy: str
    grant: ObjectStoreGrant
    parent: StoredBackup | None = None
    segment_size: int = 2 * 1024 ** 3
    key: Secret | None = None


class ResizeRequest(StepRequest, frozen=True, kw_only=True):
    """Start the database with settings for another amount of memory."""

    memory_mb: int
    config: dict[str, dict[str, Any]] = {}


class OverridesRequest(StepRequest, frozen=True, kw_only=True):
    """Make the settings of the user's configuration group exactly these.

    :param values: setting → value with its JSON type; empty takes all away
    :param restart: names of settings that take effect at the next start only
    """

    values: dict[str, Any] = {}
    restart: list[str] = []


class OverridesResult(Message, frozen=True, kw_only=True):
    """What became of the settings.

    :param restart_required: some take effect at the next start only
    """

    restart_required: bool = False


class FilesystemStats(Message, frozen=True, kw_only=True):
    """Space on the data volume, in bytes."""

    total: Count
    used: Count
    free: Count


class KeyRequest(Message, frozen=True, kw_only=True):
    """Use another key for messages.

    :param key: the new one; the one before is understood still
    :param forget_after: seconds after which the ones before are refused; None says nothing
        about that yet, since the new one may not be known everywhere
    """

    key: Secret
    forget_after: int | None = None


# ---- reports of the guest -------------------------------------------------


class Heartbeat(Message, frozen=True, kw_only=True):
    """The state of an instance.

    :param sequence: rises with each report of this agent, also over its
        restarts; an older one never overwrites a newer one
    :param sent_at: guest's clock, Unix time in seconds
    """

    status: ServiceStatus
    sequence: Count
    sent_at: Moment
    description: str = ""
    agent_version: str = ""
    volume: FilesystemStats | None = None
    details: dict[str, Any] = {}


class Damage(Message, frozen=True, kw_only=True):
    """That a backup is not what was stored.

    :param proved: by what it holds; otherwise the store says so, and may say another thing to
        who asks elsewhere, or later
    :param checksum: of the backup, one of those that were to be restored; empty if it is not
        known which of them it is
    """

    proved: bool = False
    checksum: str = ""


class StepReport(Message, frozen=True, kw_only=True):
    """Progress or end of a step that the guest was asked for by a cast.

    :param result: JSON of the step's result message when it succeeded; :data:`DAMAGED` →
        :class:`Damage` when it failed because a backup is not what was stored;
        :data:`FULL_NEEDED` → true when it failed because one cannot continue the other
    :param error: a sentence without secrets when it failed
    """

    operation_id: Ident
    step: Name
    state: ReportState
    sequence: Count
    percent: int = 0
    result: dict[str, Any] = {}
    error: str = ""


class Wake(Message, frozen=True, kw_only=True):
    """Tell a taskmanager that an operation waits."""

    operation_id: str


# ---- plain values ---------------------------------------------------------


class Empty(Message, frozen=True, kw_only=True):
    """No content."""


class Flag(Message, frozen=True, kw_only=True):
    """A yes or no."""

    value: bool


class PageRequest(Message, frozen=True, kw_only=True):
    """Which page of a list.

    :param marker: last name (``name@host`` for users) of the page before
    """

    limit: int = 20
    marker: str | None = None
    include_marker: bool = False


class DatabasesRequest(Message, frozen=True, kw_only=True):
    databases: list[DatabaseSpec]


class UsersRequest(Message, frozen=True, kw_only=True):
    users: list[UserSpec]


class NameRequest(Message, frozen=True, kw_only=True):
    name: str


class UserRequest(Message, frozen=True, kw_only=True):
    """Which user; without a host, the engine's default host is meant."""

    name: str
    host: str | None = None


class UserUpdateRequest(UserRequest, frozen=True, kw_only=True):
    change: UserChange


class AccessRequest(UserRequest, frozen=True, kw_only=True):
    """Databases to grant to or revoke from a user."""

    databases: list[str]


class DatabaseList(Message, frozen=True, kw_only=True):
    databases: list[DatabaseSpec]


class RootRequest(Message, frozen=True, kw_only=True):
    """Enable root; without a password the guest makes one."""

    password: Secret | None = None


def _encode_hook(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"cannot send a {type(value).__name__}")


def _decode_hook(kind: type, value: Any) -> Any:
    if kind is Secret:
        return Secret(value)
    raise TypeError(f"cannot read a {kind.__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_hook)


def encode(message: Any) -> bytes:
    """Return a message, or a JSON value, as JSON with its secrets revealed.

    Only for what is encrypted next.
    """
    return _ENCODER.encode(message)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return the message of the given type.

    :raises msgspec.ValidationError: the data does not fit
    """
    return msgspec.json.decode(data, type=kind, dec_hook=_decode_hook)
