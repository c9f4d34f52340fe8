"""The bank's statements, and where its book and ours differ.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"


def upgrade() -> None:
    op.create_table(
        "statement_entries",
        sa.Column("client_ref", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bank_ref", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("booked_on", sa.Date(), nullable=False),
        sa.CheckConstraint("kind IN ('payment', 'return')", name=op.f("statement_entries_kind")),
        sa.PrimaryKeyConstraint("client_ref", "kind", name=op.f("statement_entries_pkey")),
        comment="What the bank's daily statements say was booked; the reference is the bank's word, not a key of ours.",
    )
    op.create_table(
        "statements",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("statements_pkey")),
        comment="Which days' statements were read.",
    )
    op.create_table(
        "differences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry_kind", sa.Text(), nullable=False),
        sa.Column("client_ref", sa.Text(), nullable=False),
        sa.Column("ours_fen", sa.BigInteger(), nullable=True),
        sa.Column("banks_fen", sa.BigInteger(), nullable=True),
        sa.Column("owner", sa.Text(), server_default="finance", nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('amount_differs', 'not_in_our_book', 'not_on_statement', 'unknown_to_us')",
            name=op.f("differences_kind"),
        ),
        sa.CheckConstraint("entry_kind IN ('payment', 'return')", name=op.f("differences_entry_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("differences_pkey")),
        comment="Where the bank's book and ours differ: each has an owner and an age until it is closed.",
    )
    op.create_index(
        "differences_open",
        "differences",
        ["client_ref", "entry_kind", "kind"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON statement_entries, statements, differences TO {APP_ROLE}")


def downgrade() -> None:
    for table in ("differences", "statements", "statement_entries"):
        op.drop_table(table)
