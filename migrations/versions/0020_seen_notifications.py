"""Which of the bank's notifications have prompted already.

Revision ID: 0020
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0011"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"


def upgrade() -> None:
    op.create_table(
        "seen_notifications",
        sa.Column("id_digest", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id_digest", name=op.f("seen_notifications_pkey")),
        comment="Event ids of the bank's notifications that have prompted, for a week.",
    )
    op.create_index("seen_notifications_by_age", "seen_notifications", ["seen_at"])
    # UPDATE for the row locks of the clean-up.
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON seen_notifications TO {APP_ROLE}")


def downgrade() -> None:
    op.drop_table("seen_notifications")
