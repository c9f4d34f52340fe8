"""The tables, as SQLAlchemy Core. Amounts are BIGINT fen; times are timestamptz; ``bytea`` columns are sealed.

Whatever lets money move is held here by a constraint and not by an ``if`` elsewhere: once a month, one open
application, four eyes, a freeze that ends once, an operation that is booked once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from domain.bank_card import SubjectType
from domain.statement import DifferenceKind, EntryKind
from domain.withdrawal import OPEN, USES_MONTH, Decision, Door, Status, TransferState, Verb

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)


class Bucket(StrEnum):
    """Where money is. The first three are a customer's, the others are ours."""

    AVAILABLE = "available"
    FROZEN = "frozen"
    VOUCHERS = "vouchers"
    BANK_CLEARING = "bank_clearing"
    FUNDING = "funding"
    REVENUE = "revenue"


OUTBOX_WAITING = "delivered_at IS NULL AND dead_at IS NULL"
"""Neither delivered nor given up."""

CUSTOMER_BUCKETS = (Bucket.AVAILABLE, Bucket.FROZEN, Bucket.VOUCHERS)


class Kind(StrEnum):
    """What a transaction of the book is for."""

    TOP_UP = "top_up"
    VOUCHER = "voucher"
    CHARGE = "charge"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    SETTLE = "settle"
    RETURN = "return"


def _one_of(column: str, words: Any) -> str:
    return f"{column} IN ({', '.join(repr(str(word)) for word in sorted(words))})"


def written_in() -> Column[Any]:
    """Which transaction wrote the row, by PostgreSQL's own word: what the audit chain seals by."""
    return Column("written_in", BigInteger, nullable=False, server_default=text("(pg_current_xact_id()::text)::bigint"))


def written_in_index(table: str) -> Index:
    """Rows are appended in about the order of their transactions, so a BRIN index costs next to nothing."""
    return Index(
        f"{table}_written_in_idx", "written_in", postgresql_using="brin", postgresql_with={"autosummarize": "true"}
    )


def _moment(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


accounts = Table(
    "accounts",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column(
        "subject_type",
        Text,
        CheckConstraint(_one_of("subject_type", SubjectType), name="subject_type"),
        nullable=False,
    ),
    Column("subject_name", LargeBinary, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("phone", LargeBinary),
    Column("phone_masked", Text),
    Column("suspended", Boolean, nullable=False),
    Column("pay_as_you_use", Boolean, nullable=False),
    _moment("updated_at"),
    comment="Whom an account is registered to; fed by billing.",
)

balances = Table(
    "balances",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.account_id"), primary_key=True),
    Column("available", BigInteger, nullable=False, server_default="0"),
    Column(
        "frozen",
        BigInteger,
        CheckConstraint("frozen >= 0", name="frozen_not_negative"),
        nullable=False,
        server_default="0",
    ),
    Column(
        "vouchers",
        BigInteger,
        CheckConstraint("vouchers >= 0", name="vouchers_not_negative"),
        nullable=False,
        server_default="0",
    ),
    comment="A customer's buckets in fen. Its row is the lock under which everything of one account happens.",
)

transactions = Table(
    "transactions",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("operation_key", Text, nullable=False, unique=True),
    Column("kind", Text, CheckConstraint(_one_of("kind", Kind), name="kind"), nullable=False),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id")),
    _moment("occurred_at"),
    CheckConstraint(
        "(kind IN ('freeze', 'unfreeze', 'settle', 'return')) = (withdrawal_id IS NOT NULL)",
        name="withdrawal",
    ),
    Index("transactions_one_freeze", "withdrawal_id", unique=True, postgresql_where=text("kind = 'freeze'")),
    Index(
        "transactions_one_end_of_freeze",
        "withdrawal_id",
        unique=True,
        postgresql_where=text("kind IN ('unfreeze', 'settle')"),
    ),
    Index("transactions_one_return", "withdrawal_id", unique=True, postgresql_where=text("kind = 'return'")),
    Index(None, "account_id", "id"),
    # Most transactions are charges: the moves of one withdrawal are found without walking over them.
    Index("transactions_of_withdrawal_idx", "withdrawal_id", postgresql_where=text("withdrawal_id IS NOT NULL")),
    written_in(),
    written_in_index("transactions"),
    comment="The book: each has two or more postings that sum to zero and is never changed.",
)

postings = Table(
    "postings",
    metadata,
    Column("transaction_id", BigInteger, ForeignKey("transactions.id"), primary_key=True),
    Column("line", SmallInteger, primary_key=True),
    Column("bucket", Text, CheckConstraint(_one_of("bucket", Bucket), name="bucket"), nullable=False),
    Column("account_id", Text),
    Column("amount_fen", BigInteger, CheckConstraint("amount_fen <> 0", name="not_nothing"), nullable=False),
    CheckConstraint(f"({_one_of('bucket', CUSTOMER_BUCKETS)}) = (account_id IS NOT NULL)", name="customer_bucket"),
    Index("postings_account_id_idx", "account_id", postgresql_where=text("account_id IS NOT NULL")),
    written_in(),
    written_in_index("postings"),
    comment="What a transaction adds to a bucket (negative: takes from it), in fen.",
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("applicant", Text, nullable=False),
    Column("amount_fen", BigInteger, CheckConstraint("amount_fen > 0", name="amount_positive"), nullable=False),
    Column("status", Text, CheckConstraint(_one_of("status", Status), name="status"), nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("month", Date, CheckConstraint("extract(day from month) = 1", name="month_first_day"), nullable=False),
    Column("account_name", LargeBinary),
    Column("bank_name", Text, nullable=False),
    Column("branch_name", Text, nullable=False),
    Column("card_number", LargeBinary),
    Column("card_last4", Text, nullable=False),
    Column("phone", LargeBinary),
    Column("phone_masked", Text, nullable=False),
    Column("approvals_needed", SmallInteger, nullable=False),
    _moment("verified_at", nullable=True),
    Column("earliest", Date),
    Column("latest", Date),
    Column("provisional", Boolean),
    Column("failure", JSONB(none_as_null=True)),
    _moment("created_at"),
    _moment("updated_at"),
    UniqueConstraint("id", "applicant"),
    Index(
        "withdrawals_one_open",
        "account_id",
        unique=True,
        postgresql_where=text(_one_of("status", OPEN)),
    ),
    Index(
        "withdrawals_once_a_month",
        "account_id",
        "month",
        unique=True,
        postgresql_where=text(_one_of("status", USES_MONTH)),
    ),
    Index("withdrawals_record_idx", "account_id", text("created_at DESC"), text("id DESC")),
    Index("withdrawals_by_status_idx", "status", text("created_at DESC"), text("id DESC")),
    Index("withdrawals_newest_idx", text("created_at DESC"), text("id DESC")),
    Index("withdrawals_to_blank_idx", "updated_at", postgresql_where=text("card_number IS NOT NULL")),
    Index("withdrawals_unfinished_idx", "id", postgresql_where=text(_one_of("status", OPEN))),
    comment="Every application and where it stands.",
)

withdrawal_events = Table(
    "withdrawal_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("door", Text, CheckConstraint(_one_of("door", Door), name="door"), nullable=False),
    Column("data", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("operation_key", Text, unique=True),
    _moment("at"),
    Index(None, "withdrawal_id", "id"),
    written_in(),
    written_in_index("withdrawal_events"),
    comment="What happened to a withdrawal, when, by whom and through which door; no personal data.",
)

verifications = Table(
    "verifications",
    metadata,
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), primary_key=True),
    Column("code_mac", LargeBinary),
    Column("sends", SmallInteger, CheckConstraint("sends BETWEEN 0 AND 5", name="sends"), nullable=False),
    Column("last_send_key", Text),
    Column("tries_left", SmallInteger, CheckConstraint("tries_left >= 0", name="tries_left"), nullable=False),
    _moment("sent_at", nullable=True),
    _moment("expires_at"),
    Index("verifications_to_blank_idx", "expires_at", postgresql_where=text("code_mac IS NOT NULL")),
    comment="The phone code of an application, as a keyed MAC; its tries are counted down here.",
)

decisions = Table(
    "decisions",
    metadata,
    Column("withdrawal_id", Uuid, primary_key=True),
    Column("approver", Text, primary_key=True),
    Column("applicant", Text, nullable=False),
    Column("decision", Text, CheckConstraint(_one_of("decision", Decision), name="decision"), nullable=False),
    Column("note", Text, nullable=False),
    Column("door", Text, CheckConstraint(_one_of("door", Door), name="door"), nullable=False),
    _moment("decided_at"),
    CheckConstraint("approver <> applicant", name="four_eyes"),
    # The applicant is the withdrawal's own, so the check above can't be talked around.
    ForeignKeyConstraint(["withdrawal_id", "applicant"], ["withdrawals.id", "withdrawals.applicant"]),
    written_in(),
    written_in_index("decisions"),
    comment="Finance's decisions: one a person by primary key, never the applicant's by check.",
)

resolutions = Table(
    "resolutions",
    metadata,
    Column("withdrawal_id", Uuid, primary_key=True),
    Column("resolver", Text, primary_key=True),
    Column("applicant", Text, nullable=False),
    Column("outcome", Text, CheckConstraint("outcome IN ('failed', 'paid')", name="outcome"), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("door", Text, CheckConstraint(_one_of("door", Door), name="door"), nullable=False),
    _moment("resolved_at"),
    CheckConstraint("resolver <> applicant", name="four_eyes"),
    ForeignKeyConstraint(["withdrawal_id", "applicant"], ["withdrawals.id", "withdrawals.applicant"]),
    written_in(),
    written_in_index("resolutions"),
    comment="Finance's word on a transfer whose outcome the bank did not tell.",
)

instructions = Table(
    "instructions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), nullable=False),
    Column("verb", Text, CheckConstraint(_one_of("verb", Verb), name="verb"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("word", Text, nullable=False),
    Column("note", Text, nullable=False),
    _moment("recorded_at"),
    written_in(),
    written_in_index("instructions"),
    comment="What an authenticated caller of the API asked for; the workflow carries out nothing else in their name.",
)

transfers = Table(
    "transfers",
    metadata,
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), primary_key=True),
    Column("amount_fen", BigInteger, nullable=False),
    Column("state", Text, CheckConstraint(_one_of("state", TransferState), name="state"), nullable=False),
    Column("bank_ref", Text),
    Column("reason_code", Text),
    _moment("prepared_at"),
    _moment("updated_at"),
    comment="Committed as prepared before the bank is first asked. The client reference is the withdrawal's id.",
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_digest", LargeBinary, nullable=False),
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), nullable=False),
    _moment("claimed_until"),
    Column("answer_status", SmallInteger),
    Column("answer_body", LargeBinary),
    _moment("created_at"),
    Index("idempotency_keys_to_blank_idx", "created_at", postgresql_where=text("answer_body IS NOT NULL")),
    comment="Written in the transaction of the application it protects; the first answer follows, encrypted.",
)

bank_cursor = Table(
    "bank_cursor",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True, server_default="true"),
    Column("cursor", Text, nullable=False),
    _moment("moved_at"),
    comment="Up to where the bank's changes were read and everyone concerned was prompted.",
)

seen_notifications = Table(
    "seen_notifications",
    metadata,
    Column("id_digest", LargeBinary, primary_key=True),
    _moment("seen_at"),
    Index("seen_notifications_by_age", "seen_at"),
    comment="Event ids of the bank's notifications that have prompted, for a week.",
)

oversight = Table(
    "oversight",
    metadata,
    Column("singleton", Boolean, CheckConstraint("singleton", name="one_row"), primary_key=True, server_default="true"),
    Column("broken_invariants", JSONB, nullable=False),
    _moment("looked_at"),
    comment="What the last look over the invariants found; read by the metrics.",
)

sweep_marks = Table(
    "sweep_marks",
    metadata,
    Column("step", Text, CheckConstraint("step IN ('invariants', 'runs')", name="step"), primary_key=True),
    _moment("seen_until"),
    Column("horizon", BigInteger),
    Column("workflow_id", Text),
    Column("run_id", Text),
    _moment("whole_at", nullable=True),
    comment="Up to where the sweep has looked at runs and rows: the next one looks at what changed since.",
)

statement_entries = Table(
    "statement_entries",
    metadata,
    Column("client_ref", Text, primary_key=True),
    Column("kind", Text, CheckConstraint(_one_of("kind", EntryKind), name="kind"), primary_key=True),
    Column("bank_ref", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    Column("booked_on", Date, nullable=False),
    comment="What the bank's daily statements say was booked; the reference is the bank's word, not a key of ours.",
)

statements = Table(
    "statements",
    metadata,
    Column("day", Date, primary_key=True),
    _moment("read_at"),
    comment="Which days' statements were read.",
)

differences = Table(
    "differences",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, CheckConstraint(_one_of("kind", DifferenceKind), name="kind"), nullable=False),
    Column("entry_kind", Text, CheckConstraint(_one_of("entry_kind", EntryKind), name="entry_kind"), nullable=False),
    Column("client_ref", Text, nullable=False),
    Column("ours_fen", BigInteger),
    Column("banks_fen", BigInteger),
    Column("owner", Text, nullable=False, server_default="finance"),
    _moment("found_at"),
    _moment("closed_at", nullable=True),
    Column("closed_by", Text),
    Column("note", Text),
    Index(
        "differences_open",
        "client_ref",
        "entry_kind",
        "kind",
        unique=True,
        postgresql_where=text("closed_at IS NULL"),
    ),
    comment="Where the bank's book and ours differ: each has an owner and an age until it is closed.",
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("event_id", BigInteger, ForeignKey("withdrawal_events.id"), nullable=False),
    Column("withdrawal_id", Uuid, ForeignKey("withdrawals.id"), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _moment("since"),
    _moment("next_attempt_at"),
    Column("trouble", Text),
    _moment("delivered_at", nullable=True),
    _moment("dead_at", nullable=True),
    CheckConstraint("delivered_at IS NULL OR dead_at IS NULL", name="one_end"),
    Index("outbox_due_idx", "next_attempt_at", postgresql_where=text(OUTBOX_WAITING)),
    Index("outbox_waiting_idx", "withdrawal_id", "id", postgresql_where=text(OUTBOX_WAITING)),
    Index("outbox_dead_idx", "id", postgresql_where=text("dead_at IS NOT NULL")),
    Index("outbox_delivered_idx", "delivered_at", postgresql_where=text("delivered_at IS NOT NULL")),
    comment="Which changes of status the console's backend is still to be told of, or could not be.",
)

working_calendar = Table(
    "working_calendar",
    metadata,
    Column("day", Date, primary_key=True),
    Column("works", Boolean, nullable=False),
    comment="Chinese working days, whole published years only.",
)

daily_uses = Table(
    "daily_uses",
    metadata,
    Column("kind", Text, CheckConstraint("kind IN ('code', 'wrong_try')", name="kind"), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("used", Integer, CheckConstraint("used > 0", name="used"), nullable=False),
    comment="How often a phone (as a keyed MAC) was sent a code and an account tried a wrong one, by Shanghai day.",
)

sms_budget = Table(
    "sms_budget",
    metadata,
    Column("hour", DateTime(timezone=True), primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("used", Integer, CheckConstraint("used >= 0", name="used"), nullable=False, server_default="0"),
    comment="How many codes went out to everybody in an hour, over shards, so that no two customers wait for one row.",
)

FORGETTABLE = (seen_notifications, daily_uses, sms_budget, outbox)
"""Where the application's role may delete: rows that prove nothing, and are of no use after a while."""
