"""The audit chain: which transaction wrote a row, batches that seal rows, and two records that were missing.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

APP_ROLE = "withdrawals_app"
WRITTEN_IN = "(pg_current_xact_id()::text)::bigint"
# What the application may write: everything but the number of the transaction, which is PostgreSQL's to say.
SEALED = {
    "transactions": "operation_key, kind, account_id, withdrawal_id, occurred_at",
    "postings": "transaction_id, line, bucket, account_id, amount_fen",
    "withdrawal_events": "withdrawal_id, kind, status, actor, door, data, operation_key, at",
    "decisions": "withdrawal_id, approver, applicant, decision, note, door, decided_at",
    "resolutions": "withdrawal_id, resolver, applicant, outcome, evidence, door, resolved_at",
    "instructions": "id, withdrawal_id, verb, actor, word, note, recorded_at",
    "account_changes": "account_id, actor, changed, facts, subject_name_mac, phone_mac, at",
    "key_events": "kind, key_id, actor, data, at",
}
NEW = ("account_changes", "key_events", "audit_batches")


def upgrade() -> None:
    op.create_table(
        "account_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("changed", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.Column("subject_name_mac", sa.LargeBinary(), nullable=False),
        sa.Column("phone_mac", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("account_changes_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("account_changes_pkey")),
        comment="What billing changed about an account, and when; names and phones as keyed MACs only.",
    )
    op.create_index(op.f("account_changes_account_id_id_idx"), "account_changes", ["account_id", "id"])
    op.create_table(
        "key_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('made_current', 'retired', 'rewritten', 'taken_up')", name=op.f("key_events_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("key_events_pkey")),
        comment="Which field key was made, taken up by a process, rewritten to and retired, by whom and when.",
    )
    op.create_table(
        "audit_batches",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("form", sa.SmallInteger(), nullable=False),
        sa.Column("from_xid", sa.BigInteger(), nullable=False),
        sa.Column("to_xid", sa.BigInteger(), nullable=False),
        sa.Column("digests", sa.Text(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("seq > 0", name=op.f("audit_batches_seq")),
        sa.CheckConstraint("to_xid > from_xid", name=op.f("audit_batches_range")),
        sa.CheckConstraint(
            "octet_length(previous) = 32 AND octet_length(hash) = 32", name=op.f("audit_batches_sha256")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("audit_batches_pkey")),
        comment="The chain: each seals every row of the audited tables that a range of transactions wrote.",
    )
    for table, columns in SEALED.items():
        # Rows from before get the number of this migration, and are sealed with the first batch.
        op.add_column(
            table, sa.Column("written_in", sa.BigInteger(), server_default=sa.text(WRITTEN_IN), nullable=False)
        )
        # Numbers grow with the table, so a few pages for each range of blocks do what a B-tree would cost at each row.
        op.create_index(
            f"{table}_written_in_idx",
            table,
            ["written_in"],
            postgresql_using="brin",
            postgresql_with={"autosummarize": "true"},
        )
        op.execute(f"REVOKE INSERT ON {table} FROM {APP_ROLE}")
        op.execute(f"GRANT SELECT, INSERT ({columns}) ON {table} TO {APP_ROLE}")
    op.execute(f"GRANT SELECT, INSERT ON audit_batches TO {APP_ROLE}")
    for table in NEW:
        op.execute(f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change()""")
        op.execute(f"""
            CREATE TRIGGER {table}_not_truncated BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""")


def downgrade() -> None:
    raise NotImplementedError("an audit chain is not taken down; restore a back-up instead")
