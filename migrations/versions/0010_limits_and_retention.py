"""What is counted for a day or an hour, and personal data that may be blanked.

Revision ID: 0010
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0005"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"
PERSONAL = ("account_name", "card_number", "phone")


def upgrade() -> None:
    op.create_table(
        "daily_uses",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('code', 'wrong_try')", name=op.f("daily_uses_kind")),
        sa.CheckConstraint("used > 0", name=op.f("daily_uses_used")),
        sa.PrimaryKeyConstraint("kind", "subject", "day", name=op.f("daily_uses_pkey")),
        comment="How often a phone (as a keyed MAC) was sent a code and an account tried a wrong one, by Shanghai day.",
    )
    op.create_table(
        "sms_budget",
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("used", sa.Integer(), server_default="0", nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("sms_budget_used")),
        sa.PrimaryKeyConstraint("hour", "shard", name=op.f("sms_budget_pkey")),
        comment="How many codes went out to everybody in an hour, over shards, so that no two customers wait for one row.",
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON daily_uses, sms_budget TO {APP_ROLE}")
    for column in PERSONAL:
        op.alter_column("withdrawals", column, nullable=True)
    op.create_index(
        "withdrawals_to_blank_idx",
        "withdrawals",
        ["updated_at"],
        postgresql_where=sa.text("card_number IS NOT NULL"),
    )
    op.create_index(
        "idempotency_keys_to_blank_idx",
        "idempotency_keys",
        ["created_at"],
        postgresql_where=sa.text("answer_body IS NOT NULL"),
    )
    op.create_index(
        "verifications_to_blank_idx",
        "verifications",
        ["expires_at"],
        postgresql_where=sa.text("code_mac IS NOT NULL"),
    )


def downgrade() -> None:
    raise NotImplementedError("what was blanked does not come back; restore a back-up instead")
