"""What alembic runs for each command."""

from __future__ import annotations

from alembic import context

from trove_ng.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
