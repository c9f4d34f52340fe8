"""Whose is whose, seen from the database: another's and a missing one cost the same questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event

from ledger.database import Database
from tests.api.console import Console, refused

CALLS = [
    ("GET", "", None),
    ("GET", "/events", None),
    ("POST", "/cancel", None),
    ("POST", "/verification", {"code": "123456"}),
    ("POST", "/verification/resend", None),
]


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Every statement sent to PostgreSQL meanwhile, with its parameters."""
    sent: list[tuple[str, Any]] = []

    class Watched(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Watched:
            sent.append((str(query), params))
            super().execute(query, params, **options)
            return self

    def watch(driver: Any, record: Any, *_: object) -> None:
        driver.cursor_factory = Watched
        record.info.clear()  # No cursor from before is used on.

    def leave(driver: Any, record: Any) -> None:
        driver.cursor_factory = psycopg.Cursor
        record.info.clear()

    event.listen(database.engine, "checkout", watch)
    event.listen(database.engine, "checkin", leave)
    try:
        yield sent
    finally:
        event.remove(database.engine, "checkout", watch)
        event.remove(database.engine, "checkin", leave)


@pytest.mark.parametrize(("method", "call", "body"), CALLS)
async def test_anothers_costs_the_same_as_a_missing_one(
    console: Console, ledger_database: Database, method: str, call: str, body: object
) -> None:
    """One and the same statement, which finds no row either way: so nothing is decrypted, and no clock tells.

    A try of a code takes the lock of the caller's own account before it.
    """
    theirs = await console.applied(of="acct_2002")
    asked = []
    for withdrawal_id in (theirs["id"], uuid4()):
        with statements(ledger_database) as sent:
            answer = await console.as_customer(method, f"/v1/withdrawals/{withdrawal_id}{call}", json=body)
        refused(answer, 404, "not_found")
        asked.append([statement for statement, _ in sent])
        assert not any("acct_2002" in str(told) for _, told in sent)
    assert asked[0] == asked[1]
    assert len(asked[0]) == (2 if call == "/verification" else 1)
    assert "account_id = " in asked[0][-1]


async def test_anothers_account_is_refused_before_the_database_is_asked(
    console: Console, ledger_database: Database
) -> None:
    """An account that exists and one that does not: no statement at all."""
    for account_id in ("acct_2002", "acct_404"):
        with statements(ledger_database) as sent:
            refused(await console.as_customer("GET", f"/v1/accounts/{account_id}"), 404, "not_found")
            refused(await console.as_customer("GET", f"/v1/withdrawals?account_id={account_id}"), 404, "not_found")
            refused(await console.apply(account_id=account_id), 404, "not_found")
        assert sent == []


async def test_the_plan_for_anothers_runs_no_subquery(console: Console, ledger_database: Database) -> None:
    """The filter on the account comes before the approvals are gathered."""
    theirs = await console.applied(of="acct_2002")
    for withdrawal_id in (theirs["id"], uuid4()):
        with statements(ledger_database) as sent:
            await console.as_customer("GET", f"/v1/withdrawals/{withdrawal_id}")
        ((statement, parameters),) = sent
        with ledger_database.transaction() as connection:
            explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", parameters)
            plan = "\n".join(explained.scalars())
        assert "SubPlan" in plan
        assert "Aggregate (never executed)" in plan, plan


async def test_another_accounts_cursor_opens_nothing(console: Console) -> None:
    """A cursor is a place in time and no key: the rows after it are the caller's own."""
    await console.applied(of="acct_2002")
    everyone = await console.as_operations("GET", "/v1/withdrawals?limit=1")
    mine = await console.applied()
    page = await console.as_operations("GET", "/v1/withdrawals?limit=1")
    cursor = page.json()["next_cursor"]
    assert everyone.json()["items"][0]["account_id"] == "acct_2002"
    answer = await console.as_customer("GET", f"/v1/withdrawals?cursor={cursor}")
    assert answer.json() == {"items": [], "next_cursor": None}
    answer = await console.as_customer("GET", "/v1/withdrawals")
    assert [item["id"] for item in answer.json()["items"]] == [mine["id"]]
