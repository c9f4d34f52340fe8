"""The outbox: which changes of status the console's backend is still to be told of.

Revision ID: 0040
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0020"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"
WAITING = sa.text("delivered_at IS NULL AND dead_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("delivered_at IS NULL OR dead_at IS NULL", name=op.f("outbox_one_end")),
        sa.ForeignKeyConstraint(["event_id"], ["withdrawal_events.id"], name=op.f("outbox_event_id_fkey")),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawals.id"], name=op.f("outbox_withdrawal_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        comment="Which changes of status the console's backend is still to be told of, or could not be.",
    )
    op.create_index("outbox_due_idx", "outbox", ["next_attempt_at"], postgresql_where=WAITING)
    op.create_index("outbox_waiting_idx", "outbox", ["withdrawal_id", "id"], postgresql_where=WAITING)
    op.create_index("outbox_dead_idx", "outbox", ["id"], postgresql_where=sa.text("dead_at IS NOT NULL"))
    op.create_index(
        "outbox_delivered_idx", "outbox", ["delivered_at"], postgresql_where=sa.text("delivered_at IS NOT NULL")
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO {APP_ROLE}")


def downgrade() -> None:
    op.drop_table("outbox")
