"""All tables; importing this package fills ``Base.metadata``."""

from __future__ import annotations

from trove_ng.db.models.backups import Backup, BackupStrategy, Schedule, ScheduleExecution
from trove_ng.db.models.base import Base
from trove_ng.db.models.clusters import Cluster
from trove_ng.db.models.configurations import Configuration, ConfigurationItem
from trove_ng.db.models.datastores import (
    Capability,
    CapabilityOverride,
    Datastore,
    DatastoreConfigurationParameter,
    DatastoreVersion,
    DatastoreVersionMember,
    DatastoreVersionMetadata,
)
from trove_ng.db.models.instances import (
    DnsRecord,
    Failover,
    Instance,
    InstanceFault,
    InstanceKey,
    InstanceMetadata,
    InstanceModule,
    InstanceTls,
    InstanceVolume,
    RootHistory,
    ServiceStatusRow,
    VolumeConfig,
)
from trove_ng.db.models.log_archives import LogArchive, LogPiece
from trove_ng.db.models.modules import Module
from trove_ng.db.models.notifications import Notification
from trove_ng.db.models.operations import (
    Duty,
    Event,
    IdempotencyKey,
    Operation,
    OperationMember,
    OperationRecord,
    OperationReport,
    OperationStep,
)
from trove_ng.db.models.quotas import Quota, QuotaUsage, Reservation

__all__ = [
    "Backup", "BackupStrategy", "Base", "Capability", "CapabilityOverride", "Cluster",
    "Configuration", "ConfigurationItem", "Datastore", "DatastoreConfigurationParameter",
    "DatastoreVersion", "DatastoreVersionMember", "DatastoreVersionMetadata", "DnsRecord",
    "Duty", "Event", "Failover", "IdempotencyKey", "Instance", "InstanceFault", "InstanceKey",
    "InstanceMetadata", "InstanceModule", "InstanceTls", "InstanceVolume", "LogArchive",
    "LogPiece", "Module", "Notification", "Operation", "OperationMember", "OperationRecord",
    "OperationReport", "OperationStep", "Quota", "QuotaUsage", "Reservation", "RootHistory",
    "Schedule", "ScheduleExecution", "ServiceStatusRow", "VolumeConfig",
]
