"""The audit chain: batches that seal every row of the audited tables, each holding the hash of the one before.

Ids are drawn before a transaction commits, so a row with a lower id may appear after one with a higher id was sealed.
A batch therefore seals by transaction, not by id: every row says which transaction wrote it (``written_in``), and a
batch covers the transactions below ``pg_snapshot_xmin``, all of which have ended. What a batch covers can never grow
or shrink afterwards, and whoever writes a row waits for nobody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Result, Select, Text, bindparam, select, text

from domain.errors import InvariantBroken
from ledger.audit_tables import audit_batches, metadata
from ledger.database import NO_TIME_LIMIT, Database

GENESIS = bytes(32)
"""What the first batch has in place of a hash before it."""

FORM = 1
"""Which columns are sealed and how they are written. Whoever changes it teaches the verification to read both."""

COLUMNS: Mapping[str, Sequence[str]] = {
    "account_changes": (
        *("id", "account_id", "actor", "changed", "facts", "subject_name_mac", "phone_mac", "at", "written_in"),
    ),
    "decisions": ("withdrawal_id", "approver", "applicant", "decision", "note", "door", "decided_at", "written_in"),
    "instructions": ("id", "withdrawal_id", "verb", "actor", "word", "note", "recorded_at", "written_in"),
    "key_events": ("id", "kind", "key_id", "actor", "data", "at", "written_in"),
    "postings": ("transaction_id", "line", "bucket", "account_id", "amount_fen", "written_in"),
    "resolutions": (
        *("withdrawal_id", "resolver", "applicant", "outcome", "evidence", "door", "resolved_at", "written_in"),
    ),
    "transactions": ("id", "operation_key", "kind", "account_id", "withdrawal_id", "occurred_at", "written_in"),
    "withdrawal_events": (
        *("id", "withdrawal_id", "kind", "status", "actor", "door", "data", "operation_key", "at", "written_in"),
    ),
}
"""Form 1: every column of every audited table, by name."""


@dataclass(frozen=True)
class Batch:
    """One link. ``digests`` is JSON, ``{table: {"rows": count, "sha256": hex}}``, of the tables with rows in it."""

    seq: int
    form: int
    from_xid: int
    to_xid: int
    digests: str
    sealed_at: datetime
    previous: bytes = field(repr=False)
    hash: bytes

    @property
    def right_hash(self) -> bytes:
        """SHA-256 over everything else; the invariant in ``ledger.invariants`` says the same in SQL."""
        seconds = int(self.sealed_at.timestamp())
        words = (self.previous.hex(), self.seq, self.form, self.from_xid, self.to_xid, self.digests, seconds)
        return hashlib.sha256("|".join(str(word) for word in words).encode()).digest()


@dataclass
class Digest:
    """SHA-256 over the rows of one table, in the order of transaction and primary key, a line of JSON each."""

    rows: int = 0
    _sha256: Any = field(default_factory=hashlib.sha256, repr=False)

    def add(self, row: Sequence[Any]) -> None:
        """One row more."""
        self.rows += 1
        self._sha256.update(line_of(row))

    def as_json(self) -> dict[str, Any]:
        """What a batch holds of it."""
        return {"rows": self.rows, "sha256": self._sha256.hexdigest()}


_LAST = select(audit_batches).order_by(audit_batches.c.seq.desc()).limit(1)
_HORIZON = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(727003)")


@dataclass(frozen=True)
class AuditChain:
    """Seals what was written since the last batch. Locks nothing that a customer's transaction needs."""

    database: Database

    def seal(self, *, now: datetime) -> Batch | None:
        """Adds a batch; None if there is nothing new, or somebody else is sealing right now.

        ``InvariantBroken`` where transaction numbers went back: what is written would count as sealed long ago.
        """
        with self.database.transaction() as connection:
            # READ COMMITTED, and the lock first: each later statement sees what the sealer before us committed.
            if not connection.execute(_ONE_AT_A_TIME).scalar():
                return None
            connection.execute(NO_TIME_LIMIT)
            last = _batch(connection.execute(_LAST).mappings().first())
            from_xid = 0 if last is None else last.to_xid
            to_xid = connection.execute(_HORIZON).scalar_one()
            if to_xid < from_xid:
                raise InvariantBroken(
                    f"the chain covers transactions up to {from_xid}, and this server is at {to_xid}:"
                    " it was restored without its transaction numbers"
                )
            if to_xid == from_xid:
                return None
            digests = _digests(connection, from_xid, to_xid)
            if not digests:
                return None
            unhashed = Batch(
                seq=1 if last is None else last.seq + 1,
                form=FORM,
                from_xid=from_xid,
                to_xid=to_xid,
                digests=digests,
                sealed_at=now.astimezone(UTC).replace(microsecond=0),
                previous=GENESIS if last is None else last.hash,
                hash=b"",
            )
            batch = replace(unhashed, hash=unhashed.right_hash)
            connection.execute(audit_batches.insert(), asdict(batch))
            return batch

    def head(self) -> Batch | None:
        """The newest batch."""
        with self.database.transaction() as connection:
            return _batch(connection.execute(_LAST).mappings().first())


def batches(connection: Connection) -> Iterator[Batch]:
    """Every batch, in the order of the chain."""
    for row in connection.execute(select(audit_batches).order_by(audit_batches.c.seq)).mappings():
        yield Batch(**row)


def rows_of(connection: Connection, table: str, *, from_xid: int = 0, to_xid: int | None = None) -> Result[Any]:
    """The rows that a range of transactions wrote, by transaction and primary key; last comes ``written_in``."""
    described = metadata.tables[table]
    written_in = described.c.written_in
    key = (
        # By bytes: the order must not depend on the collation of the server that reads.
        column.collate("C") if isinstance(column.type, Text) else column
        for column in described.primary_key.columns
    )
    columns = (described.c[name] for name in COLUMNS[table])
    query: Select[Any] = select(*columns).where(written_in >= bindparam("from_xid"))
    if to_xid is not None:
        query = query.where(written_in < bindparam("to_xid"))
    ordered = query.order_by(written_in, *key)
    bounds = {"from_xid": from_xid, "to_xid": to_xid}
    return connection.execute(ordered, bounds, execution_options={"yield_per": 2000})


def line_of(row: Sequence[Any]) -> bytes:
    """A row as bytes: a JSON array in UTF-8, no white space, keys sorted, times in UTC to the microsecond, hex."""
    values = [_plain(value) for value in row]
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _digests(connection: Connection, from_xid: int, to_xid: int) -> str:
    digests = {}
    for table in COLUMNS:
        digest = Digest()
        with rows_of(connection, table, from_xid=from_xid, to_xid=to_xid) as rows:
            for row in rows:
                digest.add(row)
        if digest.rows:
            digests[table] = digest.as_json()
    return json.dumps(digests, sort_keys=True, separators=(",", ":")) if digests else ""


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, UUID):
        return str(value)
    return value


def _batch(row: Mapping[Any, Any] | None) -> Batch | None:
    return None if row is None else Batch(**row)
