"""What callers of the API asked for, and two indexes for queries that walked over whole tables.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"


def upgrade() -> None:
    op.create_table(
        "instructions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("verb IN ('cancel', 'decide', 'resolve')", name=op.f("instructions_verb")),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawals.id"], name=op.f("instructions_withdrawal_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("instructions_pkey")),
        comment="What an authenticated caller of the API asked for; the workflow carries out nothing else in their name.",
    )
    op.execute("""
        CREATE TRIGGER instructions_append_only BEFORE UPDATE OR DELETE ON instructions
        FOR EACH ROW EXECUTE FUNCTION refuse_change()""")
    op.execute("""
        CREATE TRIGGER instructions_not_truncated BEFORE TRUNCATE ON instructions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""")
    op.execute(f"GRANT SELECT, INSERT ON instructions TO {APP_ROLE}")
    op.create_index(
        "transactions_of_withdrawal_idx",
        "transactions",
        ["withdrawal_id"],
        postgresql_where=sa.text("withdrawal_id IS NOT NULL"),
    )
    op.create_index(
        "withdrawals_by_status_idx", "withdrawals", ["status", sa.text("created_at DESC"), sa.text("id DESC")]
    )


def downgrade() -> None:
    raise NotImplementedError("instructions are kept; restore a back-up instead")
