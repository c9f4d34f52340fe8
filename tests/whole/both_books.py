"""Our record against the bank's own book: what must hold once faults have stopped (architecture.md, "The ledger")."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from ledger.database import Database
from tests.whole.world import World

Json = dict[str, Any]

_CLEARING = text("SELECT coalesce(sum(amount_fen), 0) FROM postings WHERE bucket = 'bank_clearing'")


def disagreements(world: World, database: Database) -> list[str]:
    """Every sentence that is not true of both books, in words; an empty list means that they agree."""
    # The bank first: what it pays while we read is then not held against us, as it is not yet in the copy.
    book, ours = world.book(), {one["id"]: one for one in _record(world)}
    moved = {kind: Counter[str]() for kind in ("payment", "return")}
    for entry in book["entries"]:
        moved[entry["kind"]][entry["client_ref"]] += 1
    found = [f"{ref} was paid {times} times" for ref, times in moved["payment"].items() if times > 1]
    found += [f"{ref} came back {times} times" for ref, times in moved["return"].items() if times > 1]
    for transfer in book["transfers"]:
        ref = transfer["client_ref"]
        if ref not in ours:
            found.append(f"the bank has {ref}, which we don't know")
        elif transfer["amount"] != ours[ref]["amount"]:
            found.append(f"{ref} is {transfer['amount']} at the bank and {ours[ref]['amount']} here")
    for ref, withdrawal in ours.items():
        status, paid, returned = withdrawal["status"], moved["payment"][ref] > 0, moved["return"][ref] > 0
        if paid != (status in ("paid", "returned")) or returned != (status == "returned"):
            found.append(f"{ref} is {status} here; at the bank paid is {paid}, returned is {returned}")
    with database.snapshot() as connection:
        clearing = int(connection.execute(_CLEARING).scalar_one())
    owed = sum(_fen(entry) if entry["kind"] == "payment" else -_fen(entry) for entry in book["entries"])
    if clearing != owed:
        found.append(f"bank_clearing is {clearing}, and the bank paid {owed} more than came back")
    return found


def _fen(entry: Json) -> int:
    return int(Decimal(entry["amount"]) * 100)


def _record(world: World) -> list[Json]:
    """Every withdrawal there is, as finance reads them page by page."""
    finance, found = world.bearer("finance", "auditor"), list[Json]()
    query: dict[str, str] | None = {"limit": "100"}
    while query is not None:
        page: Json = world.api.get("/v1/withdrawals", params=query, headers=finance).raise_for_status().json()
        found += page["items"]
        query = query | {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    return found
