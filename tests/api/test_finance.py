"""Finance's calls: decisions and resolutions."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from tests.api.clock import ManualClock
from tests.api.console import Console, Json, fields, refused
from tests.api.played_engine import PlayedEngine


async def test_one_approval_lets_50_000_go_on(console: Console) -> None:
    """Finance reads who approved; the customer reads that finance did."""
    withdrawal = await console.verified(of="acct_2002", amount="50000.00")
    assert (withdrawal["status"], withdrawal["approvals"]) == ("awaiting_approval", {"needed": 1, "given": []})
    path = f"/v1/withdrawals/{withdrawal['id']}"
    answer = await console.as_finance("POST", f"{path}/decision", json={"decision": "approve"})
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")
    given = {"at": "2026-11-23T02:00:00Z"}
    assert answer.json()["approvals"]["given"] == [given | {"approver": "fin-1"}]
    assert (await console.read(withdrawal))["approvals"]["given"] == [given | {"approver": "finance"}]
    console.holds()


async def test_500_000_takes_two_people(console: Console) -> None:
    """After the first it still waits."""
    withdrawal = await console.verified(of="acct_2002", amount="500000.00")
    path = f"/v1/withdrawals/{withdrawal['id']}/decision"
    statuses = [
        (await console.as_finance("POST", path, who=who, json={"decision": "approve"})).json()["status"]
        for who in ("fin-1", "fin-2")
    ]
    assert statuses == ["awaiting_approval", "processing"]


async def test_a_rejection_gives_everything_back(console: Console) -> None:
    """The amount is available again, and the month is free; a note may have lines."""
    withdrawal = await console.verified(of="acct_2002", amount="50000.00")
    body = {"decision": "reject", "note": "first line\nsecond line"}
    answer = await console.as_finance("POST", f"/v1/withdrawals/{withdrawal['id']}/decision", json=body)
    assert (answer.json()["status"], answer.json()["failure"]["code"]) == ("rejected", "rejected_by_finance")
    account = await console.account("acct_2002")
    assert (account["withdrawable"], account["next_eligible_on"]) == ("900000.00", None)
    console.holds()


@pytest.mark.parametrize(("outcome", "status", "cash"), [("paid", "paid", "780.00"), ("failed", "failed", "1280.00")])
async def test_a_resolution_settles_or_gives_back(
    console: Console, engine: PlayedEngine, clock: ManualClock, outcome: str, status: str, cash: str
) -> None:
    """What the bank would not tell, finance finds out; only under review."""
    withdrawal = await console.verified()
    clock.move_on(timedelta(days=40))
    engine.window_ends(UUID(withdrawal["id"]))
    body = {"outcome": outcome, "evidence": " statement of 2026-12-30, line 7 "}
    answer = await console.as_finance("POST", f"/v1/withdrawals/{withdrawal['id']}/resolution", json=body)
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    account = await console.account()
    assert (account["cash_balance"], account["frozen"]) == (cash, "0.00")
    console.holds()


async def test_words_of_finance_of_another_shape_are_invalid(console: Console, engine: PlayedEngine) -> None:
    """A decision is approve or reject; a resolution has evidence; neither has anything else."""
    withdrawal = await console.verified(of="acct_2002", amount="50000.00")
    engine.heard.clear()
    bad: list[tuple[str, Json, str]] = [
        ("decision", {"decision": "maybe"}, "decision"),
        ("decision", {}, "decision"),
        ("decision", {"decision": "approve", "note": "x" * 1001}, "note"),
        ("decision", {"decision": "approve", "note": "x\u202ey"}, "note"),
        ("decision", {"decision": "approve", "note": None}, "note"),
        ("decision", {"decision": "approve", "approver": "somebody-else"}, "approver"),
        ("resolution", {"outcome": "paid"}, "evidence"),
        ("resolution", {"outcome": "paid", "evidence": "  "}, "evidence"),
        ("resolution", {"outcome": "returned", "evidence": "x"}, "outcome"),
    ]
    async with console.nothing_changes():
        for call, body, field in bad:
            answer = await console.as_finance("POST", f"/v1/withdrawals/{withdrawal['id']}/{call}", json=body)
            assert fields(refused(answer, 422, "invalid_request")) == [field], body
    assert engine.heard == []
