"""Sandbox: the book, one SQLite file that outlives the process."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Clock = Callable[[], float]
"""The time as Unix seconds."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS transfers (
    client_ref   TEXT PRIMARY KEY,
    bank_ref     TEXT NOT NULL UNIQUE,
    amount_fen   INTEGER NOT NULL CHECK (amount_fen > 0),
    payee_name   TEXT NOT NULL,
    bank_name    TEXT NOT NULL,
    branch_name  TEXT NOT NULL,
    card_number  TEXT NOT NULL,
    fate         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('accepted', 'processing', 'succeeded', 'failed', 'returned')),
    reason_code  TEXT,
    submitted_at REAL NOT NULL,
    updated_at   REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS transfers_due ON transfers (state, fate, updated_at);
CREATE INDEX IF NOT EXISTS transfers_of_card ON transfers (card_number, fate);

-- How often each reference was submitted, refused submissions included.
CREATE TABLE IF NOT EXISTS submissions (
    client_ref TEXT PRIMARY KEY,
    attempts   INTEGER NOT NULL
) STRICT;

-- A row for each state a transfer entered. AUTOINCREMENT never reuses a number, so a cursor never skips.
CREATE TABLE IF NOT EXISTS changes (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    client_ref  TEXT NOT NULL REFERENCES transfers,
    state       TEXT NOT NULL,
    reason_code TEXT,
    changed_at  REAL NOT NULL
) STRICT;

-- Money that moved. A transfer is paid at most once and returned at most once.
CREATE TABLE IF NOT EXISTS entries (
    id         INTEGER PRIMARY KEY,
    client_ref TEXT NOT NULL REFERENCES transfers,
    kind       TEXT NOT NULL CHECK (kind IN ('payment', 'return')),
    amount_fen INTEGER NOT NULL,
    booked_at  REAL NOT NULL,
    booked_on  TEXT NOT NULL,
    UNIQUE (client_ref, kind)
) STRICT;
CREATE INDEX IF NOT EXISTS entries_of_day ON entries (booked_on);

CREATE TABLE IF NOT EXISTS cards (
    card_number   TEXT PRIMARY KEY,
    behaviour     TEXT NOT NULL,
    refusals_left INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS switches (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    json     TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS notifications (
    id              INTEGER PRIMARY KEY,
    webhook_id      TEXT NOT NULL UNIQUE,
    body            TEXT NOT NULL,
    copies          INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dropped', 'given_up')),
    next_attempt_at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (next_attempt_at) WHERE state = 'pending';

-- How often the bank answered badly, by the way it did.
CREATE TABLE IF NOT EXISTS faults (
    kind  TEXT PRIMARY KEY,
    times INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS messages (
    id         INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL UNIQUE,
    recipient  TEXT NOT NULL,
    text       TEXT NOT NULL,
    sent_at    REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS messages_of_phone ON messages (recipient, id);
"""


class Book:
    """One connection behind one lock: what a transaction sees, no other thread changes before it ends.

    What was committed is on disk (WAL, synchronous=FULL), so a killed process loses nothing it has answered.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # isolation_level=None: transactions begin where `transaction` says, not where the driver guesses.
        self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit all of the block, or none of it."""
        with self._lock:
            # IMMEDIATE takes the writer's place before the first read, so that no other process on the same
            # book can change what this one decides upon.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """One statement, one moment: the rows are fetched before anyone else may write."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """Wait for the transaction under way, then let go of the file."""
        with self._lock:
            self._connection.close()


def count_fault(connection: sqlite3.Connection, kind: str) -> None:
    """In the transaction of whatever else the fault does."""
    connection.execute("INSERT INTO faults VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1", (kind,))


def as_rfc3339(moment: float) -> str:
    """UTC with microseconds, `2026-11-23T08:08:00.000000Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
