"""Differences between the bank's book and ours, as operators see and close them."""

from __future__ import annotations

from datetime import timedelta

from domain.shanghai import day_of
from domain.statement import EntryKind, StatementEntry
from ledger.database import Database
from ledger.statements import Statements
from tests.api.clock import ManualClock
from tests.api.console import Console, refused


async def test_an_open_difference_is_shown_with_its_owner_and_age_until_it_is_closed(
    console: Console, ledger_database: Database, clock: ManualClock
) -> None:
    """Then it is gone, and closing it again finds nothing."""
    statements = Statements(ledger_database)
    today = day_of(clock())
    statements.record(today, [StatementEntry("B1", "stranger", EntryKind.PAYMENT, 7_00)], now=clock())
    statements.match(now=clock())
    clock.move_on(timedelta(days=2))
    shown = (await console.as_operations("GET", "/v1/reconciliation")).json()
    assert shown["statements_read_until"] == today.isoformat()
    [item] = shown["items"]
    assert item | {"id": 0, "found_at": ""} == {
        "id": 0,
        "kind": "unknown_to_us",
        "entry": "payment",
        "client_ref": "stranger",
        "our_amount": None,
        "bank_amount": "7.00",
        "owner": "finance",
        "found_at": "",
        "age_days": 2,
    }
    path = f"/v1/reconciliation/{item['id']}/closing"
    closed = await console.as_operations("POST", path, json={"note": "the bank's own mistake, taken back"})
    assert closed.status_code == 204
    assert (await console.as_operations("GET", "/v1/reconciliation")).json()["items"] == []
    refused(await console.as_operations("POST", path, json={"note": "again"}), 404, "not_found")


async def test_the_list_is_for_operators_alone(console: Console) -> None:
    """Neither customers nor finance nor billing read it here."""
    for call in (console.as_customer, console.as_finance, console.as_billing):
        refused(await call("GET", "/v1/reconciliation"), 403, "forbidden")


async def test_a_difference_is_not_closed_without_a_word(console: Console) -> None:
    """Nor by a name that is no number."""
    refused(await console.as_operations("POST", "/v1/reconciliation/1/closing", json={}), 422, "invalid_request")
    answer = await console.as_operations("POST", "/v1/reconciliation/one/closing", json={"note": "x"})
    assert answer.status_code in {404, 422}
