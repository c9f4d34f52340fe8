"""What the last look over the invariants found, for the metrics.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"


def upgrade() -> None:
    op.create_table(
        "oversight",
        sa.Column("singleton", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("broken_invariants", JSONB(), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("singleton", name=op.f("oversight_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("oversight_pkey")),
        comment="What the last look over the invariants found; read by the metrics.",
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON oversight TO {APP_ROLE}")


def downgrade() -> None:
    op.drop_table("oversight")
