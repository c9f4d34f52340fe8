"""Up to where the sweep has looked, so that the next one looks at what changed since.

Revision ID: 0051
Revises: 0040
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0040"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"


def upgrade() -> None:
    op.create_table(
        "sweep_marks",
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("seen_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=True),
        sa.Column("workflow_id", sa.Text(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("whole_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("step IN ('invariants', 'runs')", name=op.f("sweep_marks_step")),
        sa.PrimaryKeyConstraint("step", name=op.f("sweep_marks_pkey")),
        comment="Up to where the sweep has looked at runs and rows: the next one looks at what changed since.",
    )
    # No index is added: those of retention, of the finance desk and of the audit chain find what changed.
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON sweep_marks TO {APP_ROLE}")


def downgrade() -> None:
    op.drop_table("sweep_marks")
