"""The ledger: accounts, the book, withdrawals and what is written down about them.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


APP_ROLE = "withdrawals_app"
APPEND_ONLY = ("transactions", "postings", "withdrawal_events", "decisions", "resolutions")
CHANGING = (
    "accounts",
    "balances",
    "withdrawals",
    "verifications",
    "transfers",
    "idempotency_keys",
    "working_calendar",
)


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
        END $$""")
    # The postings of a transaction are inserted by one statement, so each statement must balance by itself,
    # and one that begins with a later line would add to a transaction that is closed.
    op.execute("""
        CREATE FUNCTION check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM posted GROUP BY transaction_id
                       HAVING sum(amount_fen) <> 0 OR count(*) < 2 OR min(line) <> 1) THEN
                RAISE EXCEPTION 'the postings of a transaction come at once and sum to zero'
                    USING ERRCODE = 'integrity_constraint_violation';
            END IF;
            RETURN NULL;
        END $$""")
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("subject_type", sa.Text(), nullable=False),
        sa.Column("subject_name", sa.LargeBinary(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=True),
        sa.Column("phone_masked", sa.Text(), nullable=True),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("pay_as_you_use", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("subject_type IN ('company', 'person')", name=op.f("accounts_subject_type")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("accounts_pkey")),
        comment="Whom an account is registered to; fed by billing.",
    )
    op.create_table(
        "working_calendar",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("works", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("working_calendar_pkey")),
        comment="Chinese working days, whole published years only.",
    )
    op.create_table(
        "balances",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("frozen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("vouchers", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("frozen >= 0", name=op.f("balances_frozen_not_negative")),
        sa.CheckConstraint("vouchers >= 0", name=op.f("balances_vouchers_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("balances_account_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("balances_pkey")),
        comment="A customer's buckets in fen. Its row is the lock under which everything of one account happens.",
    )
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("applicant", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("account_name", sa.LargeBinary(), nullable=False),
        sa.Column("bank_name", sa.Text(), nullable=False),
        sa.Column("branch_name", sa.Text(), nullable=False),
        sa.Column("card_number", sa.LargeBinary(), nullable=False),
        sa.Column("card_last4", sa.Text(), nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=False),
        sa.Column("phone_masked", sa.Text(), nullable=False),
        sa.Column("approvals_needed", sa.SmallInteger(), nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("earliest", sa.Date(), nullable=True),
        sa.Column("latest", sa.Date(), nullable=True),
        sa.Column("provisional", sa.Boolean(), nullable=True),
        sa.Column("failure", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_fen > 0", name=op.f("withdrawals_amount_positive")),
        sa.CheckConstraint(
            "status IN ('awaiting_approval', 'awaiting_verification', 'cancelled', 'expired', 'failed', 'paid', 'processing', 'rejected', 'returned', 'under_review')",
            name=op.f("withdrawals_status"),
        ),
        sa.CheckConstraint("extract(day from month) = 1", name=op.f("withdrawals_month_first_day")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("withdrawals_account_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("withdrawals_pkey")),
        sa.UniqueConstraint("id", "applicant", name=op.f("withdrawals_id_applicant_key")),
        comment="Every application and where it stands.",
    )
    op.create_index(
        "withdrawals_newest_idx",
        "withdrawals",
        [sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "withdrawals_once_a_month",
        "withdrawals",
        ["account_id", "month"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('awaiting_approval', 'awaiting_verification', 'paid', 'processing', 'under_review')"
        ),
    )
    op.create_index(
        "withdrawals_one_open",
        "withdrawals",
        ["account_id"],
        unique=True,
        postgresql_where=sa.text(
            "status IN ('awaiting_approval', 'awaiting_verification', 'processing', 'under_review')"
        ),
    )
    op.create_index(
        "withdrawals_record_idx",
        "withdrawals",
        ["account_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_index(
        "withdrawals_unfinished_idx",
        "withdrawals",
        ["status"],
        unique=False,
        postgresql_where=sa.text(
            "status IN ('awaiting_approval', 'awaiting_verification', 'processing', 'under_review')"
        ),
    )
    op.create_table(
        "decisions",
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("applicant", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('approve', 'reject')", name=op.f("decisions_decision")),
        sa.CheckConstraint("door IN ('api', 'bank', 'temporal', 'workflow')", name=op.f("decisions_door")),
        sa.CheckConstraint("approver <> applicant", name=op.f("decisions_four_eyes")),
        sa.ForeignKeyConstraint(
            ["withdrawal_id", "applicant"],
            ["withdrawals.id", "withdrawals.applicant"],
            name=op.f("decisions_withdrawal_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("withdrawal_id", "approver", name=op.f("decisions_pkey")),
        comment="Finance's decisions: one a person by primary key, never the applicant's by check.",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=False),
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer_status", sa.SmallInteger(), nullable=True),
        sa.Column("answer_body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["withdrawal_id"], ["withdrawals.id"], name=op.f("idempotency_keys_withdrawal_id_fkey")
        ),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("idempotency_keys_pkey")),
        comment="Written in the transaction of the application it protects; the first answer follows, encrypted.",
    )
    op.create_table(
        "resolutions",
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("resolver", sa.Text(), nullable=False),
        sa.Column("applicant", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('failed', 'paid')", name=op.f("resolutions_outcome")),
        sa.CheckConstraint("door IN ('api', 'bank', 'temporal', 'workflow')", name=op.f("resolutions_door")),
        sa.CheckConstraint("resolver <> applicant", name=op.f("resolutions_four_eyes")),
        sa.ForeignKeyConstraint(
            ["withdrawal_id", "applicant"],
            ["withdrawals.id", "withdrawals.applicant"],
            name=op.f("resolutions_withdrawal_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("withdrawal_id", "resolver", name=op.f("resolutions_pkey")),
        comment="Finance's word on a transfer whose outcome the bank did not tell.",
    )
    op.create_table(
        "transactions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("operation_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("withdrawal_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('charge', 'freeze', 'return', 'settle', 'top_up', 'unfreeze', 'voucher')",
            name=op.f("transactions_kind"),
        ),
        sa.CheckConstraint(
            "(kind IN ('freeze', 'unfreeze', 'settle', 'return')) = (withdrawal_id IS NOT NULL)",
            name=op.f("transactions_withdrawal"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("transactions_account_id_fkey")),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawals.id"], name=op.f("transactions_withdrawal_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("transactions_pkey")),
        sa.UniqueConstraint("operation_key", name=op.f("transactions_operation_key_key")),
        comment="The book: each has two or more postings that sum to zero and is never changed.",
    )
    op.create_index(op.f("transactions_account_id_id_idx"), "transactions", ["account_id", "id"], unique=False)
    op.create_index(
        "transactions_one_end_of_freeze",
        "transactions",
        ["withdrawal_id"],
        unique=True,
        postgresql_where=sa.text("kind IN ('unfreeze', 'settle')"),
    )
    op.create_index(
        "transactions_one_freeze",
        "transactions",
        ["withdrawal_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'freeze'"),
    )
    op.create_index(
        "transactions_one_return",
        "transactions",
        ["withdrawal_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'return'"),
    )
    op.create_table(
        "transfers",
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("bank_ref", sa.Text(), nullable=True),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("prepared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('accepted', 'failed', 'prepared', 'processing', 'returned', 'succeeded')",
            name=op.f("transfers_state"),
        ),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawals.id"], name=op.f("transfers_withdrawal_id_fkey")),
        sa.PrimaryKeyConstraint("withdrawal_id", name=op.f("transfers_pkey")),
        comment="Committed as prepared before the bank is first asked. The client reference is the withdrawal's id.",
    )
    op.create_table(
        "verifications",
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("code_mac", sa.LargeBinary(), nullable=True),
        sa.Column("sends", sa.SmallInteger(), nullable=False),
        sa.Column("last_send_key", sa.Text(), nullable=True),
        sa.Column("tries_left", sa.SmallInteger(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("sends BETWEEN 0 AND 5", name=op.f("verifications_sends")),
        sa.CheckConstraint("tries_left >= 0", name=op.f("verifications_tries_left")),
        sa.ForeignKeyConstraint(["withdrawal_id"], ["withdrawals.id"], name=op.f("verifications_withdrawal_id_fkey")),
        sa.PrimaryKeyConstraint("withdrawal_id", name=op.f("verifications_pkey")),
        comment="The phone code of an application, as a keyed MAC; its tries are counted down here.",
    )
    op.create_table(
        "withdrawal_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("withdrawal_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("door", sa.Text(), nullable=False),
        sa.Column(
            "data",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("operation_key", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("door IN ('api', 'bank', 'temporal', 'workflow')", name=op.f("withdrawal_events_door")),
        sa.ForeignKeyConstraint(
            ["withdrawal_id"], ["withdrawals.id"], name=op.f("withdrawal_events_withdrawal_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("withdrawal_events_pkey")),
        sa.UniqueConstraint("operation_key", name=op.f("withdrawal_events_operation_key_key")),
        comment="What happened to a withdrawal, when, by whom and through which door; no personal data.",
    )
    op.create_index(
        op.f("withdrawal_events_withdrawal_id_id_idx"),
        "withdrawal_events",
        ["withdrawal_id", "id"],
        unique=False,
    )
    op.create_table(
        "postings",
        sa.Column("transaction_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "bucket IN ('available', 'bank_clearing', 'frozen', 'funding', 'revenue', 'vouchers')",
            name=op.f("postings_bucket"),
        ),
        sa.CheckConstraint("amount_fen <> 0", name=op.f("postings_not_nothing")),
        sa.CheckConstraint(
            "(bucket IN ('available', 'frozen', 'vouchers')) = (account_id IS NOT NULL)",
            name=op.f("postings_customer_bucket"),
        ),
        sa.ForeignKeyConstraint(["transaction_id"], ["transactions.id"], name=op.f("postings_transaction_id_fkey")),
        sa.PrimaryKeyConstraint("transaction_id", "line", name=op.f("postings_pkey")),
        comment="What a transaction adds to a bucket (negative: takes from it), in fen.",
    )
    op.create_index(
        "postings_account_id_idx",
        "postings",
        ["account_id"],
        unique=False,
        postgresql_where=sa.text("account_id IS NOT NULL"),
    )
    for table in APPEND_ONLY:
        op.execute(f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION refuse_change()""")
        op.execute(f"""
            CREATE TRIGGER {table}_not_truncated BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()""")
    op.execute("""
        CREATE TRIGGER postings_sum_to_zero AFTER INSERT ON postings
        REFERENCING NEW TABLE AS posted
        FOR EACH STATEMENT EXECUTE FUNCTION check_postings()""")
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}")
    op.execute(f"GRANT SELECT, INSERT ON {', '.join(APPEND_ONLY)} TO {APP_ROLE}")
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON {', '.join(CHANGING)} TO {APP_ROLE}")


def downgrade() -> None:
    """There is no way back from a ledger: restore a back-up instead."""
    raise NotImplementedError("a ledger is not downgraded; restore a back-up")
