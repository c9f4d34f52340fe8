"""The tables of the audit chain, beside those of the ledger it seals."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.tables import (
    decisions,
    instructions,
    metadata,
    postings,
    resolutions,
    transactions,
    withdrawal_events,
    written_in,
    written_in_index,
)

account_changes = Table(
    "account_changes",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.account_id"), nullable=False),
    Column("actor", Text, nullable=False),
    Column("changed", ARRAY(Text), nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("subject_name_mac", LargeBinary, nullable=False),
    Column("phone_mac", LargeBinary),
    Column("at", DateTime(timezone=True), nullable=False),
    written_in(),
    Index(None, "account_id", "id"),
    written_in_index("account_changes"),
    comment="What billing changed about an account, and when; names and phones as keyed MACs only.",
)

key_events = Table(
    "key_events",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "kind",
        Text,
        CheckConstraint("kind IN ('made_current', 'retired', 'rewritten', 'taken_up')", name="kind"),
        nullable=False,
    ),
    Column("key_id", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("at", DateTime(timezone=True), nullable=False),
    written_in(),
    written_in_index("key_events"),
    comment="Which field key was made, taken up by a process, rewritten to and retired, by whom and when.",
)

audit_batches = Table(
    "audit_batches",
    metadata,
    Column("seq", BigInteger, CheckConstraint("seq > 0", name="seq"), primary_key=True, autoincrement=False),
    Column("form", SmallInteger, nullable=False),
    Column("from_xid", BigInteger, nullable=False),
    Column("to_xid", BigInteger, nullable=False),
    Column("digests", Text, nullable=False),
    Column("sealed_at", DateTime(timezone=True), nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("to_xid > from_xid", name="range"),
    CheckConstraint("octet_length(previous) = 32 AND octet_length(hash) = 32", name="sha256"),
    comment="The chain: each seals every row of the audited tables that a range of transactions wrote.",
)

SEALED = (
    transactions,
    postings,
    withdrawal_events,
    decisions,
    resolutions,
    instructions,
    account_changes,
    key_events,
)
"""What the chain covers."""

__all__ = ["APPEND_ONLY", "SEALED", "account_changes", "audit_batches", "key_events", "metadata"]

APPEND_ONLY = (*SEALED, audit_batches)
"""Never updated, never deleted: by trigger, and by the rights of the application's role."""
