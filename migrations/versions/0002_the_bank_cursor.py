"""The bank cursor, and an index for the sweep over unfinished withdrawals.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"
OPEN = "status IN ('awaiting_approval', 'awaiting_verification', 'processing', 'under_review')"


def upgrade() -> None:
    op.create_table(
        "bank_cursor",
        sa.Column("singleton", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("singleton", name=op.f("bank_cursor_one_row")),
        sa.PrimaryKeyConstraint("singleton", name=op.f("bank_cursor_pkey")),
        comment="Up to where the bank's changes were read and everyone concerned was prompted.",
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON bank_cursor TO {APP_ROLE}")
    op.drop_index("withdrawals_unfinished_idx", table_name="withdrawals")
    op.create_index("withdrawals_unfinished_idx", "withdrawals", ["id"], postgresql_where=sa.text(OPEN))


def downgrade() -> None:
    op.drop_index("withdrawals_unfinished_idx", table_name="withdrawals")
    op.create_index("withdrawals_unfinished_idx", "withdrawals", ["status"], postgresql_where=sa.text(OPEN))
    op.drop_table("bank_cursor")
