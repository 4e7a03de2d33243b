"""The whole data model of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "backup_strategy",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("backend", sa.String(length=32), nullable=False),
        sa.Column("swift_container", sa.String(length=255), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup_strategy")),
        sa.UniqueConstraint(
            "tenant_id", "instance_id", name=op.f("uq_backup_strategy_tenant_id_instance_id")
        ),
    )
    op.create_table(
        "capabilities",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capabilities")),
        sa.UniqueConstraint("name", name=op.f("uq_capabilities_name")),
    )
    op.create_table(
        "datastores",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("default_version_id", sa.String(length=36), nullable=True),
        sa.Column("live_key", sa.String(length=36), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datastores")),
        sa.UniqueConstraint("name", "live_key", name=op.f("uq_datastores_name_live_key")),
    )
    op.create_table(
        "dns_records",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_dns_records")),
    )
    with op.batch_alter_table("dns_records", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_dns_records_instance_id"), ["instance_id"], unique=False
        )

    op.create_table(
        "duties",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )

    op.create_table(
        "events",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("message", sa.String(length=512), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_resource", ["resource_id", "id"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("claim", sa.String(length=36), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", LONG_TEXT, nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_idempotency_keys")),
    )
    with op.batch_alter_table("idempotency_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_keys_created"), ["created"], unique=False)

    op.create_table(
        "modules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("datastore_id", sa.String(length=36), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("contents", LONG_TEXT, nullable=False),
        sa.Column("md5", sa.String(length=32), nullable=False),
        sa.Column("auto_apply", sa.Boolean(), nullable=False),
        sa.Column("visible", sa.Boolean(), nullable=False),
        sa.Column("live_update", sa.Boolean(), nullable=False),
        sa.Column("priority_apply", sa.Boolean(), nullable=False),
        sa.Column("apply_order", sa.Integer(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("live_key", sa.String(length=36), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_modules")),
        sa.UniqueConstraint(
            "tenant_id",
            "datastore_id",
            "datastore_version_id",
            "name",
            "type",
            "live_key",
            name="uq_modules_live",
        ),
    )
    op.create_table(
        "notifications",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("publisher", sa.String(length=255), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notifications")),
    )

    op.create_table(
        "operations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("live_key", sa.String(length=36), nullable=True),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("secrets", LONG_TEXT, nullable=True),
        sa.Column("owner", sa.String(length=255), nullable=True),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("deadline_at", MOMENT, nullable=True),
        sa.Column("not_before", MOMENT, nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("cancel_reason", sa.String(length=255), nullable=True),
        sa.Column("step", sa.String(length=128), nullable=True),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("trace", LONG_TEXT, nullable=True),
        sa.Column("notification", sa.JSON(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
        sa.UniqueConstraint("live_key", name=op.f("uq_operations_live_key")),
    )
    with op.batch_alter_table("operations", schema=None) as batch_op:
        batch_op.create_index("ix_operations_claim", ["status", "lease_expires_at"], unique=False)
        batch_op.create_index("ix_operations_resource", ["resource_id", "created"], unique=False)
        batch_op.create_index("ix_operations_ended", ["ended_at"], unique=False)
        batch_op.create_index("ix_operations_tenant", ["tenant_id", "created"], unique=False)

    op.create_table(
        "quota_usages",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_usages")),
        sa.UniqueConstraint(
            "tenant_id", "resource", name=op.f("uq_quota_usages_tenant_id_resource")
        ),
    )
    op.create_table(
        "quotas",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("hard_limit", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotas")),
        sa.UniqueConstraint("tenant_id", "resource", name=op.f("uq_quotas_tenant_id_resource")),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
        sa.UniqueConstraint(
            "operation_id", "resource", name=op.f("uq_reservations_operation_id_resource")
        ),
    )
    op.create_table(
        "root_enabled_history",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("user", sa.String(length=255), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_root_enabled_history")),
    )
    op.create_table(
        "volume_config",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("volume_kind", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("provider_type", sa.String(length=255), nullable=True),
        sa.Column("device_type", sa.String(length=64), nullable=False),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume_config")),
    )
    with op.batch_alter_table("volume_config", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_volume_config_name"), ["name"], unique=False)

    op.create_table(
        "datastore_versions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datastore_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("manager", sa.String(length=255), nullable=False),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("image_tags", sa.String(length=255), nullable=True),
        sa.Column("packages", sa.String(length=511), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("visibility", sa.String(length=255), nullable=False),
        sa.Column("registry_ext", sa.String(length=4095), nullable=False),
        sa.Column("repl_strategy", sa.String(length=4095), nullable=False),
        sa.Column("live_key", sa.String(length=36), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["datastore_id"], ["datastores.id"], name=op.f("fk_datastore_versions_datastore_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datastore_versions")),
        sa.UniqueConstraint(
            "datastore_id",
            "name",
            "version",
            "live_key",
            name=op.f("uq_datastore_versions_datastore_id_name_version_live_key"),
        ),
    )
    op.create_table(
        "operation_members",
        sa.Column("resource_id", sa.String(length=36), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_operation_members_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "resource_id", "operation_id", name=op.f("pk_operation_members")),
    )
    op.create_index(
        op.f("ix_operation_members_operation_id"), "operation_members", ["operation_id"],
        unique=False)
    op.create_table(
        "operation_reports",
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("step", sa.String(length=128), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_operation_reports_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "operation_id", "step", "instance_id", name=op.f("pk_operation_reports")
        ),
    )
    op.create_table(
        "operation_records",
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.Column("parent", sa.String(length=255), nullable=False),
        sa.Column("data", LONG_TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_operation_records_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "path", name=op.f("pk_operation_records")),
    )
    op.create_index(
        "ix_operation_records_parent", "operation_records", ["operation_id", "parent"],
        unique=False)
    op.create_table(
        "operation_steps",
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("step", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("blamed_id", sa.String(length=36), nullable=True),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name=op.f("fk_operation_steps_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", "step", name=op.f("pk_operation_steps")),
    )
    op.create_table(
        "backups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=True),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=True),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=255), nullable=True),
        sa.Column("location", sa.String(length=1024), nullable=True),
        sa.Column("container", sa.String(length=255), nullable=True),
        sa.Column("prefix", sa.String(length=512), nullable=True),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("backup_type", sa.String(length=64), nullable=True),
        sa.Column("storage_driver", sa.String(length=32), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("data_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("volume_size", sa.Integer(), nullable=True),
        sa.Column("checksum", sa.String(length=64), nullable=True),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("sealed_key", sa.String(length=255), nullable=True),
        sa.Column("backup_timestamp", MOMENT, nullable=True),
        sa.Column("verified_at", MOMENT, nullable=True),
        sa.Column("restore_seconds", sa.Double(), nullable=True),
        sa.Column("verification", sa.JSON(), nullable=True),
        sa.Column("schedule_id", sa.String(length=36), nullable=True),
        sa.Column("part_key", sa.String(length=64), nullable=True),
        sa.Column("log_stream", sa.String(length=128), nullable=True),
        sa.Column("log_number", sa.BigInteger(), nullable=True),
        sa.Column("log_time", MOMENT, nullable=True),
        sa.Column("for_replicas", sa.Boolean(), nullable=False),
        sa.Column("for_archive", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_backups_datastore_version_id"),
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["backups.id"], name=op.f("fk_backups_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
        sa.UniqueConstraint("part_key", name=op.f("uq_backups_part_key")),
    )
    with op.batch_alter_table("backups", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_backups_datastore_version_id"), ["datastore_version_id"], unique=False
        )
        batch_op.create_index(
            "ix_backups_instance", ["instance_id", "deleted", "state"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_backups_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_backups_schedule_id"), ["schedule_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_backups_state"), ["state"], unique=False)
        batch_op.create_index(
            "ix_backups_tenant_page", ["tenant_id", "deleted", "created", "id"], unique=False
        )

    op.create_table(
        "capability_overrides",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("capability_id", sa.String(length=36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["capability_id"],
            ["capabilities.id"],
            name=op.f("fk_capability_overrides_capability_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_capability_overrides_datastore_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capability_overrides")),
        sa.UniqueConstraint(
            "capability_id",
            "datastore_version_id",
            name=op.f("uq_capability_overrides_capability_id_datastore_version_id"),
        ),
    )
    with op.batch_alter_table("capability_overrides", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_capability_overrides_datastore_version_id"),
            ["datastore_version_id"],
            unique=False,
        )

    op.create_table(
        "configurations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=256), nullable=True),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_configurations_datastore_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_configurations")),
    )
    with op.batch_alter_table("configurations", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_configurations_datastore_version_id"),
            ["datastore_version_id"],
            unique=False,
        )
        batch_op.create_index(
            "ix_configurations_tenant_page", ["tenant_id", "deleted", "id"], unique=False
        )

    op.create_table(
        "datastore_configuration_parameters",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("restart_required", sa.Boolean(), nullable=False),
        sa.Column("max_size", sa.String(length=40), nullable=True),
        sa.Column("min_size", sa.String(length=40), nullable=True),
        sa.Column("data_type", sa.String(length=128), nullable=False),
        sa.Column("choices", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_datastore_configuration_parameters_datastore_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datastore_configuration_parameters")),
        sa.UniqueConstraint(
            "datastore_version_id",
            "name",
            name=op.f("uq_datastore_configuration_parameters_datastore_version_id_name"),
        ),
    )
    op.create_table(
        "datastore_version_members",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_datastore_version_members_datastore_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datastore_version_members")),
        sa.UniqueConstraint(
            "datastore_version_id",
            "tenant_id",
            name=op.f("uq_datastore_version_members_datastore_version_id_tenant_id"),
        ),
    )
    with op.batch_alter_table("datastore_version_members", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_datastore_version_members_tenant_id"), ["tenant_id"], unique=False
        )

    op.create_table(
        "datastore_version_metadata",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_datastore_version_metadata_datastore_version_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datastore_version_metadata")),
        sa.UniqueConstraint(
            "datastore_version_id",
            "key",
            "value",
            name=op.f("uq_datastore_version_metadata_datastore_version_id_key_value"),
        ),
    )
    op.create_table(
        "clusters",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=True),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("configuration_id", sa.String(length=36), nullable=True),
        sa.Column("locality", sa.String(length=32), nullable=True),
        sa.Column("server_group_id", sa.String(length=36), nullable=True),
        sa.Column("extended_properties", sa.JSON(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["configuration_id"], ["configurations.id"], name=op.f("fk_clusters_configuration_id")
        ),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_clusters_datastore_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clusters")),
    )
    with op.batch_alter_table("clusters", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_clusters_configuration_id"), ["configuration_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_clusters_datastore_version_id"), ["datastore_version_id"], unique=False
        )
        batch_op.create_index(
            "ix_clusters_tenant_page", ["tenant_id", "deleted", "id"], unique=False
        )

    op.create_table(
        "configuration_parameters",
        sa.Column("configuration_id", sa.String(length=36), nullable=False),
        sa.Column("configuration_key", sa.String(length=128), nullable=False),
        sa.Column("configuration_value", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["configuration_id"],
            ["configurations.id"],
            name=op.f("fk_configuration_parameters_configuration_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "configuration_id", "configuration_key", name=op.f("pk_configuration_parameters")
        ),
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("hostname", sa.String(length=255), nullable=True),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=False),
        sa.Column("restart_required", sa.Boolean(), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=True),
        sa.Column("compute_instance_id", sa.String(length=36), nullable=True),
        sa.Column("server_status", sa.String(length=64), nullable=True),
        sa.Column("server_host", sa.String(length=255), nullable=True),
        sa.Column("server_status_at", MOMENT, nullable=True),
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("flavor_ram", sa.Integer(), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=True),
        sa.Column("volume_size", sa.Integer(), nullable=True),
        sa.Column("volume_type", sa.String(length=255), nullable=True),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("nics", sa.JSON(), nullable=False),
        sa.Column("port_ids", sa.JSON(), nullable=False),
        sa.Column("security_group_id", sa.String(length=36), nullable=True),
        sa.Column("floating_ip_id", sa.String(length=36), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("locality", sa.String(length=32), nullable=True),
        sa.Column("server_group_id", sa.String(length=36), nullable=True),
        sa.Column("access", sa.JSON(), nullable=False),
        sa.Column("datastore_version_id", sa.String(length=36), nullable=False),
        sa.Column("configuration_id", sa.String(length=36), nullable=True),
        sa.Column("slave_of_id", sa.String(length=36), nullable=True),
        sa.Column("cluster_id", sa.String(length=36), nullable=True),
        sa.Column("shard_id", sa.String(length=36), nullable=True),
        sa.Column("type", sa.String(length=64), nullable=True),
        sa.Column("volume_config", sa.String(length=255), nullable=True),
        sa.Column("deletion_protection", sa.Boolean(), nullable=False),
        sa.Column("accounts_left", sa.Boolean(), nullable=False),
        sa.Column("unopened", sa.Boolean(), nullable=False),
        sa.Column("verifies_id", sa.String(length=36), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["cluster_id"], ["clusters.id"], name=op.f("fk_instances_cluster_id")
        ),
        sa.ForeignKeyConstraint(
            ["configuration_id"], ["configurations.id"], name=op.f("fk_instances_configuration_id")
        ),
        sa.ForeignKeyConstraint(
            ["datastore_version_id"],
            ["datastore_versions.id"],
            name=op.f("fk_instances_datastore_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["slave_of_id"], ["instances.id"], name=op.f("fk_instances_slave_of_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
    )
    with op.batch_alter_table("instances", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_instances_cluster_id"), ["cluster_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_instances_configuration_id"), ["configuration_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_instances_datastore_version_id"), ["datastore_version_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_instances_slave_of_id"), ["slave_of_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_instances_verifies_id"), ["verifies_id"], unique=False
        )
        batch_op.create_index(
            "ix_instances_tenant_page",
            ["tenant_id", "deleted", "id", "cluster_id"],
            unique=False,
        )

    op.create_table(
        "instance_faults",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("message", sa.String(length=255), nullable=False),
        sa.Column("details", LONG_TEXT, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_faults_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_faults")),
    )
    with op.batch_alter_table("instance_faults", schema=None) as batch_op:
        batch_op.create_index(
            "ix_instance_faults_newest", ["instance_id", "deleted", "created"], unique=False
        )

    op.create_table(
        "failovers",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("min_interval_seconds", sa.Integer(), nullable=False),
        sa.Column("max_lag", sa.Integer(), nullable=True),
        sa.Column("last_at", MOMENT, nullable=True),
        sa.Column("refused", sa.String(length=512), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_failovers_instance_id")
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_failovers")),
    )
    with op.batch_alter_table("failovers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_failovers_mode"), ["mode"], unique=False)

    op.create_table(
        "instance_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("encrypted_key", sa.String(length=512), nullable=False),
        sa.Column("next_key", sa.String(length=512), nullable=True),
        sa.Column("previous_key", sa.String(length=512), nullable=True),
        sa.Column("previous_until", MOMENT, nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_keys_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_keys")),
        sa.UniqueConstraint("instance_id", name=op.f("uq_instance_keys_instance_id")),
    )
    op.create_table(
        "instance_metadata",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_metadata_instance_id")
        ),
        sa.PrimaryKeyConstraint("instance_id", "key", name=op.f("pk_instance_metadata")),
    )
    op.create_table(
        "instance_modules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("module_id", sa.String(length=36), nullable=False),
        sa.Column("md5", sa.String(length=32), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_modules_instance_id")
        ),
        sa.ForeignKeyConstraint(
            ["module_id"], ["modules.id"], name=op.f("fk_instance_modules_module_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_modules")),
    )
    with op.batch_alter_table("instance_modules", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_instance_modules_module_id"), ["module_id"], unique=False
        )
        batch_op.create_index(
            "ix_instance_modules_pair", ["instance_id", "module_id"], unique=False
        )

    op.create_table(
        "instance_volumes",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("volume_kind", sa.String(length=64), nullable=False),
        sa.Column("volume_id", sa.String(length=36), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("provider_type", sa.String(length=255), nullable=True),
        sa.Column("device_type", sa.String(length=64), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_volumes_instance_id")
        ),
        sa.PrimaryKeyConstraint("instance_id", "volume_kind", name=op.f("pk_instance_volumes")),
    )
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("pattern", sa.String(length=255), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("full_every", sa.Integer(), nullable=False),
        sa.Column("keep_count", sa.Integer(), nullable=True),
        sa.Column("keep_days", sa.Integer(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_run_at", MOMENT, nullable=True),
        sa.Column("last_run_at", MOMENT, nullable=True),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("verify", sa.JSON(), nullable=True),
        sa.Column("next_verify_at", MOMENT, nullable=True),
        sa.Column("unverified", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_schedules_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
    )
    with op.batch_alter_table("schedules", schema=None) as batch_op:
        batch_op.create_index(
            "ix_schedules_due", ["deleted", "paused", "next_run_at"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_schedules_instance_id"), ["instance_id"], unique=False
        )
        batch_op.create_index("ix_schedules_tenant", ["tenant_id", "deleted"], unique=False)

    op.create_table(
        "instance_tls",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("place", sa.String(length=8), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=True),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("certificate", sa.Text(), nullable=True),
        sa.Column("authority", sa.Text(), nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("misnamed", sa.Boolean(), nullable=False),
        sa.Column("look_at", MOMENT, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("told_at", MOMENT, nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_instance_tls_instance_id")
        ),
        sa.PrimaryKeyConstraint("instance_id", "place", name=op.f("pk_instance_tls")),
    )
    with op.batch_alter_table("instance_tls", schema=None) as batch_op:
        batch_op.create_index("ix_instance_tls_end", ["place", "expires_at"], unique=False)

    op.create_table(
        "log_archives",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("tenant_id", sa.String(length=36), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("container", sa.String(length=255), nullable=False),
        sa.Column("sealed_key", sa.String(length=255), nullable=True),
        sa.Column("stream", sa.String(length=128), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("next_at", MOMENT, nullable=True),
        sa.Column("shipped_at", MOMENT, nullable=True),
        sa.Column("error", sa.String(length=255), nullable=True),
        sa.Column("earliest", MOMENT, nullable=True),
        sa.Column("latest", MOMENT, nullable=True),
        sa.Column("base_since", MOMENT, nullable=True),
        sa.Column("base_id", sa.String(length=36), nullable=True),
        sa.Column("base_refused", sa.String(length=512), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_log_archives_instance_id")
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_log_archives")),
    )
    with op.batch_alter_table("log_archives", schema=None) as batch_op:
        batch_op.create_index("ix_log_archives_base", ["base_since"], unique=False)
        batch_op.create_index("ix_log_archives_due", ["next_at"], unique=False)

    op.create_table(
        "log_pieces",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("first_number", sa.BigInteger(), nullable=False),
        sa.Column("next_number", sa.BigInteger(), nullable=False),
        sa.Column("until", MOMENT, nullable=True),
        sa.Column("data_size", sa.BigInteger(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("damage", sa.String(length=255), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["log_archives.instance_id"], name=op.f("fk_log_pieces_instance_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_pieces")),
    )
    with op.batch_alter_table("log_pieces", schema=None) as batch_op:
        batch_op.create_index("ix_log_pieces_order", ["instance_id", "created"], unique=False)

    op.create_table(
        "service_statuses",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=True),
        sa.Column("heard_since", MOMENT, nullable=True),
        sa.Column("down_since", MOMENT, nullable=True),
        sa.Column("lost_at", MOMENT, nullable=True),
        sa.Column("agent_version", sa.String(length=64), nullable=False),
        sa.Column("volume_total", sa.BigInteger(), nullable=True),
        sa.Column("volume_used", sa.BigInteger(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instances.id"], name=op.f("fk_service_statuses_instance_id")
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_service_statuses")),
    )
    with op.batch_alter_table("service_statuses", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_service_statuses_updated_at"), ["updated_at"], unique=False
        )

    op.create_table(
        "schedule_executions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("schedule_id", sa.String(length=36), nullable=False),
        sa.Column("tick_at", MOMENT, nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("output", sa.String(length=512), nullable=True),
        sa.Column("backup_id", sa.String(length=36), nullable=True),
        sa.Column("verification", sa.String(length=16), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("updated", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedules.id"],
            name=op.f("fk_schedule_executions_schedule_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_executions")),
        sa.UniqueConstraint(
            "schedule_id", "tick_at", name=op.f("uq_schedule_executions_schedule_id_tick_at")
        ),
    )
    with op.batch_alter_table("schedule_executions", schema=None) as batch_op:
        batch_op.create_index("ix_schedule_executions_tick_at", ["tick_at"], unique=False)
