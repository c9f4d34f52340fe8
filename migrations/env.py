"""Runs the migrations as the role that owns the schema (``WITHDRAWALS_MIGRATION_DATABASE_URL``)."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool

from ledger.audit_tables import metadata
from settings import MigrationSettings


def run() -> None:
    """Upgrades online, each run in one transaction, one run at a time."""
    url = MigrationSettings().migration_database_url.get_secret_value()
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        # Two processes that migrate at once (two API replicas starting) take turns.
        connection.exec_driver_sql("SELECT pg_advisory_lock(727001)")
        connection.commit()
        context.configure(
            connection=connection, target_metadata=metadata, compare_type=True, compare_server_default=True
        )
        with context.begin_transaction():
            context.run_migrations()


run()
