"""The store's schema, revision by revision (alembic); forward only, additive."""
