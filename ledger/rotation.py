"""`python -m ledger.rotation`: a new field key while everything runs, and every value rewritten to it.

1. The new key goes into the ring's file and is current from then on; each process reads the file again before its
   next use of a key (``ledger.kept_keys``). Old values still open.
2. Values under other keys are rewritten, some hundred rows a transaction, under row locks; a row that somebody works
   on is skipped and comes up again.
3. Every transaction that began before step 1 has ended, and no value is left under an old key: only then the old key
   leaves the ring. It is kept in a file beside it, for back-ups from before.
"""

from __future__ import annotations

import argparse
import base64
import getpass
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, func, or_, select, text, tuple_, update

from domain.errors import TemporarilyUnavailable
from ledger.database import Database, translated
from ledger.encryption import Undecipherable, key_prefix
from ledger.kept_keys import KeptKeys, KeyRingFile
from ledger.key_events import KeyEvents
from ledger.tables import accounts, idempotency_keys, withdrawals
from settings import RotationSettings, what_is_missing

BATCH = 200
PATIENCE_S = 60.0
"""How long transactions from before the new key are waited for. Idle ones end after 30 s by themselves."""
READ_GRACE_S = 2.0
"""What was read in a transaction is opened right after it."""

SEALED_COLUMNS: Mapping[Table, tuple[str, ...]] = {
    accounts: ("subject_name", "phone"),
    withdrawals: ("account_name", "card_number", "phone"),
    idempotency_keys: ("answer_body",),
}
"""Every column that holds sealed values, by table; the row is named by the primary key, parts joined by a slash."""


@dataclass(frozen=True)
class Rewritten:
    """How many rows were rewritten, and which could not be opened."""

    rows: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Rewriting:
    """Moves values to the current key."""

    database: Database
    keys: KeptKeys

    def rewrite_all(self) -> Rewritten:
        """Goes over every table until only unreadable rows are left under other keys."""
        rows, unreadable = 0, set[str]()
        while True:
            this_round, skipped = 0, 0
            for table in SEALED_COLUMNS:
                for done, broken, locked in self._batches(table):
                    this_round, skipped = this_round + done, skipped + locked
                    unreadable |= broken
            rows += this_round
            if not this_round and not skipped:
                return Rewritten(rows, tuple(sorted(unreadable)))
            if skipped:
                time.sleep(0.05)

    def left_under_others(self) -> int:
        """How many rows still hold a value that is not under the current key."""
        with self.database.transaction() as connection:
            return sum(
                connection.execute(select(func.count()).select_from(table).where(self._is_old(table))).scalar_one()
                for table in SEALED_COLUMNS
            )

    def _batches(self, table: Table) -> Iterator[tuple[int, set[str], int]]:
        """One pass by primary key: per batch the rows rewritten, those that don't open, and those that were locked."""
        key = tuple_(*table.primary_key.columns)
        after: tuple[Any, ...] | None = None
        while True:
            query = select(*table.primary_key.columns).where(self._is_old(table)).order_by(*table.primary_key.columns)
            if after is not None:
                query = query.where(key > after)
            with self.database.transaction() as connection:
                found = [tuple(row) for row in connection.execute(query.limit(BATCH))]
                if not found:
                    return
                after = found[-1]
                taken = (
                    connection.execute(
                        select(table)
                        .where(key.in_(found), self._is_old(table))
                        .order_by(*table.primary_key.columns)
                        # The locks of whoever writes the row: it changes before or after us, and is never overwritten.
                        .with_for_update(key_share=True, skip_locked=True)
                    )
                    .mappings()
                    .all()
                )
                broken = {name for row in taken if (name := self._rewrite(connection, table, row)) is not None}
            yield len(taken) - len(broken), broken, len(found) - len(taken)

    def _rewrite(self, connection: Connection, table: Table, row: Mapping[Any, Any]) -> str | None:
        """Seals one row's values anew; its name if one of them does not open, and then it stays as it is."""
        row_id = "/".join(str(row[column.name]) for column in table.primary_key.columns)
        try:
            values = {
                name: self.keys.encrypt(
                    self.keys.decrypt(row[name], column=f"{table.name}.{name}", row=row_id),
                    column=f"{table.name}.{name}",
                    row=row_id,
                )
                for name in SEALED_COLUMNS[table]
                if row[name] is not None
            }
        except Undecipherable:
            return f"{table.name} {row_id}"
        this = and_(*(column == row[column.name] for column in table.primary_key.columns))
        connection.execute(update(table).where(this).values(**values))
        return None

    def _is_old(self, table: Table) -> ColumnElement[bool]:
        prefix = key_prefix(self.keys.ring.current_field_key)
        # NULL, a value that was blanked, is not old.
        return or_(*(func.substring(table.c[name], 1, len(prefix)) != prefix for name in SEALED_COLUMNS[table]))


class RingFile:
    """The ring's file as the one who rotates it writes it: whole or not at all, and readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.retired = path.with_name(f"{path.stem}.retired{path.suffix}")

    def make_current(self) -> str:
        """Adds a new key under an id that was never used before, and makes it the current one."""
        ring = json.loads(self.path.read_text())
        key_id = f"k-{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"
        ring["field_keys"][key_id] = base64.b64encode(secrets.token_bytes(32)).decode()
        ring["current_field_key"] = key_id
        _replace(self.path, ring)
        return key_id

    def retire_others(self) -> list[str]:
        """Takes every key but the current one out of the ring, once each is safe in the file beside it."""
        ring = json.loads(self.path.read_text())
        old = {key_id: key for key_id, key in ring["field_keys"].items() if key_id != ring["current_field_key"]}
        if old:
            kept = json.loads(self.retired.read_text()) if self.retired.exists() else {}
            _replace(self.retired, {**kept, **old})
            _replace(self.path, {**ring, "field_keys": {ring["current_field_key"]: _current(ring)}})
        return sorted(old)


def wait_for_transactions(database: Database, *, patience_s: float) -> bool:
    """True once every transaction that had begun when this was called has ended.

    Whatever sealed a value with the old key did so inside of one: see ``Accounts.register``.
    """
    deadline = time.monotonic() + patience_s
    with database.transaction() as connection:
        called_at = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    while True:
        with database.transaction() as connection:
            if connection.execute(_BEGAN_BEFORE, {"at": called_at}).scalar_one() == 0:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


_BEGAN_BEFORE = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND xact_start < :at
""").bindparams(bindparam("at"))


def rotate(
    database: Database, ring_file: RingFile, *, by: str, add: bool = True, patience_s: float = PATIENCE_S
) -> int:
    """The whole rotation; 0 if every old key was retired, 1 if a value or a transaction stands against it."""
    keys, events = KeptKeys(KeyRingFile(ring_file.path)), KeyEvents(database)
    with _one_at_a_time(database):
        if add:
            key_id = ring_file.make_current()
            events.record("made_current", key_id, by=by, now=datetime.now(UTC))
            print(f"{key_id} is current: every process takes it up with its next use of a key")
        current = keys.ring.current_field_key
        settled = wait_for_transactions(database, patience_s=patience_s)
        done = Rewriting(database, keys).rewrite_all()
        events.record("rewritten", current, by=by, now=datetime.now(UTC), data={"rows": done.rows})
        print(f"{done.rows} rows were rewritten to {current}")
        if done.unreadable:
            print(f"{len(done.unreadable)} rows do not open: {', '.join(done.unreadable[:10])}", file=sys.stderr)
        # Whoever has read an old value still has to open it.
        settled = wait_for_transactions(database, patience_s=patience_s) and settled
        time.sleep(READ_GRACE_S)
        if not settled or Rewriting(database, keys).left_under_others():
            print("the old keys stay in the ring: run `make rotate-keys FINISH=1` later", file=sys.stderr)
            return 1
        for key_id in ring_file.retire_others():
            events.record("retired", key_id, by=by, now=datetime.now(UTC))
            print(f"{key_id} is retired; {ring_file.retired} keeps it for back-ups from before")
    return 0


@contextmanager
def _one_at_a_time(database: Database) -> Iterator[None]:
    """Two rotations at once would each retire the other's key."""
    with translated(), database.engine.connect() as connection:
        if not connection.execute(text("SELECT pg_try_advisory_lock(727004)")).scalar():
            sys.exit("another rotation is under way")
        # Not in a transaction meanwhile: it would be one that the rotation waits for.
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(727004)"))


def _current(ring: Mapping[str, Any]) -> str:
    key: str = ring["field_keys"][ring["current_field_key"]]
    return key


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, json.dumps(content, indent=2).encode())
        os.fsync(descriptor)
        if path.exists() and os.geteuid() == 0:
            os.fchown(descriptor, path.stat().st_uid, path.stat().st_gid)
    finally:
        os.close(descriptor)
    draft.rename(path)


def main() -> int:
    """0 or 1 as ``rotate``, 2 if there was nothing to begin with."""
    parser = argparse.ArgumentParser(prog="python -m ledger.rotation", description=__doc__)
    parser.add_argument("--finish", action="store_true", help="rewrite and retire only; add no key")
    options = parser.parse_args()
    try:
        told = RotationSettings()
    except ValidationError as incomplete:
        return _not_begun(what_is_missing(incomplete))
    if told.key_file is None:
        return _not_begun("the ring is not in a file: change WITHDRAWALS_KEYS and start the processes again")
    if not os.access(told.key_file, os.R_OK) or not os.access(told.key_file.parent, os.W_OK):
        # A secret as it is mounted in a container: the ring is rotated where it is kept.
        return _not_begun(
            f"{told.key_file} is not there, or its folder is read-only: nothing can be written to it here"
        )
    database = Database.connect(told.database_url.get_secret_value(), pool_size=3)
    try:
        return rotate(database, RingFile(told.key_file), by=getpass.getuser(), add=not options.finish)
    except TemporarilyUnavailable:
        print("PostgreSQL is away: nothing is lost, run it again with --finish if a key was made", file=sys.stderr)
        return 1
    finally:
        database.close()


def _not_begun(why: str) -> int:
    print(f"Nothing was rotated: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
