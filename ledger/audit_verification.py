"""`python -m ledger.audit_verification`: reads every audited row again and says whether the chain is whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError
from sqlalchemy import Connection, text

from domain.errors import TemporarilyUnavailable
from ledger.audit_anchor import Anchor, AnchorBroken, read_anchors, read_public_keys
from ledger.audit_chain import COLUMNS, FORM, GENESIS, Batch, Digest, batches, rows_of
from ledger.database import NO_TIME_LIMIT, Database
from settings import AuditSettings, what_is_missing

_BORDERS = text("""
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS ended,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS begun""")


class ChainBroken(Exception):
    """The first place where what is there is not what was sealed."""


@dataclass(frozen=True)
class Summary:
    """A whole chain: how much it covers, and how much waits to be sealed."""

    batches: int
    rows: int
    unsealed: int
    anchors: int
    anchored_up_to: int


def verify(database: Database, anchors: Sequence[Anchor]) -> Summary:
    """Walks over everything in one snapshot; ``ChainBroken`` with the first place that does not hold."""
    with database.snapshot() as connection:
        connection.execute(NO_TIME_LIMIT)
        ended, begun = connection.execute(_BORDERS).one()
        chain = list(batches(connection))
        _verify_links(chain, ended)
        _verify_anchors(chain, anchors)
        counted = [_verify_table(connection, table, chain, begun) for table in COLUMNS]
    return Summary(
        batches=len(chain),
        rows=sum(sealed for sealed, _ in counted),
        unsealed=sum(waiting for _, waiting in counted),
        anchors=len(anchors),
        anchored_up_to=anchors[-1].seq if anchors else 0,
    )


def _verify_links(chain: Sequence[Batch], ended: int) -> None:
    previous, covered = GENESIS, 0
    for number, batch in enumerate(chain, start=1):
        if batch.seq != number:
            raise ChainBroken(f"batch {number} is missing")
        if batch.previous != previous:
            raise ChainBroken(f"batch {number} does not hold the hash of the batch before it")
        if batch.hash != batch.right_hash:
            raise ChainBroken(f"batch {number} was changed: its hash is another one")
        if batch.from_xid != covered or batch.to_xid > ended:
            raise ChainBroken(f"batch {number} does not begin where the one before ended, or covers what has not ended")
        if batch.form != FORM:
            raise ChainBroken(f"batch {number} has a form that this version does not know")
        previous, covered = batch.hash, batch.to_xid


def _verify_anchors(chain: Sequence[Batch], anchors: Sequence[Anchor]) -> None:
    if chain and not anchors:
        raise ChainBroken("there are batches, and the anchor file is missing or empty")
    for anchor in anchors:
        if anchor.seq > len(chain):
            raise ChainBroken(f"batch {anchor.seq} was anchored at {anchor.at} and is gone: the chain was cut")
        if chain[anchor.seq - 1].hash.hex() != anchor.hash:
            raise ChainBroken(f"batch {anchor.seq} is not the one that was anchored at {anchor.at}")


def _verify_table(connection: Connection, table: str, chain: Sequence[Batch], begun: int) -> tuple[int, int]:
    """One pass over a table: how many of its rows are sealed, and how many wait."""
    sealed = waiting = 0
    batches_to_close = iter(chain)
    batch = next(batches_to_close, None)
    digest = Digest()
    with rows_of(connection, table) as rows:
        for row in rows:
            written_in = row[-1]
            if written_in >= begun:
                raise ChainBroken(f"{table} has a row of a transaction that has not begun: it was written by hand")
            while batch is not None and batch.to_xid <= written_in:
                _close(batch, table, digest)
                batch, digest = next(batches_to_close, None), Digest()
            if batch is None:
                waiting += 1
            else:
                digest.add(row)
                sealed += 1
    while batch is not None:
        _close(batch, table, digest)
        batch, digest = next(batches_to_close, None), Digest()
    return sealed, waiting


def _close(batch: Batch, table: str, found: Digest) -> None:
    """Holds what was found against what was sealed."""
    held = json.loads(batch.digests).get(table, Digest().as_json())
    if found.as_json() != held:
        raise ChainBroken(
            f"batch {batch.seq}: the rows of {table} were changed ({held['rows']} sealed, {found.rows} found)"
        )


def main() -> int:
    """0 and a summary if the chain is whole, 1 and the first broken place if not, 2 if it could not be looked at."""
    try:
        told = AuditSettings()
        keys = read_public_keys(told.audit_public_key_file)
        if not keys:
            return _not_looked_at(f"{told.audit_public_key_file} holds no Ed25519 public key")
        summary = _summary(told, keys)
    except ValidationError as incomplete:
        return _not_looked_at(what_is_missing(incomplete))
    except OSError as unreadable:
        return _not_looked_at(f"{unreadable.filename}: {unreadable.strerror}")
    except TemporarilyUnavailable:
        return _not_looked_at("PostgreSQL is away")
    except (AnchorBroken, ChainBroken) as broken:
        print(f"The audit chain is broken: {broken}", file=sys.stderr)
        return 1
    print(f"The audit chain is whole: {summary.rows} rows in {summary.batches} batches, {summary.unsealed} wait;")
    print(f"{summary.anchors} anchors with good signatures, up to batch {summary.anchored_up_to}.")
    return 0


def _summary(told: AuditSettings, keys: Sequence[Ed25519PublicKey]) -> Summary:
    database = Database.connect(told.database_url.get_secret_value(), pool_size=1)
    anchors = told.audit_anchor_file
    try:
        return verify(database, read_anchors(anchors, keys) if anchors.exists() else [])
    finally:
        database.close()


def _not_looked_at(why: str) -> int:
    print(f"The audit chain was not looked at: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
