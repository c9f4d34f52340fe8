"""The Withdrawal Record (rule 10): pages, filters, events, and who sees what."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from domain.withdrawal import BankAnswer, TransferState
from tests.api.clock import ManualClock
from tests.api.console import Console, Json, fields, refused
from tests.api.played_engine import PlayedEngine


async def cancelled_applications(console: Console, clock: ManualClock, how_many: int) -> list[str]:
    """Ids, newest first; two and two of the same moment, and no more than a phone's five codes a day."""
    ids = []
    for number in range(how_many):
        if number % 2 == 0:
            clock.move_on(timedelta(minutes=1) if number < 4 else timedelta(days=1))
        withdrawal = await console.applied(amount=f"{number + 1}.00")
        await console.as_customer("POST", f"/v1/withdrawals/{withdrawal['id']}/cancel")
        ids.append((withdrawal["created_at"], withdrawal["id"]))
    return [withdrawal_id for _, withdrawal_id in sorted(ids, reverse=True)]


async def test_the_record_is_read_page_by_page(console: Console, clock: ManualClock) -> None:
    """Newest first; every application once, also those of one moment and while new ones arrive."""
    ids = await cancelled_applications(console, clock, 7)
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await console.as_customer("GET", "/v1/withdrawals", params=query)).json()
        assert len(page["items"]) <= 3
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if len(seen) == 3:
            clock.move_on(timedelta(minutes=1))
            await console.applied()
    assert seen == ids


async def test_a_page_holds_20_unless_told(console: Console, clock: ManualClock) -> None:
    """And a last page that is full has no next one."""
    await cancelled_applications(console, clock, 21)
    page = (await console.as_customer("GET", "/v1/withdrawals")).json()
    assert len(page["items"]) == 20
    assert page["next_cursor"]
    whole = (await console.as_customer("GET", "/v1/withdrawals?limit=21")).json()
    assert (len(whole["items"]), whole["next_cursor"]) == (21, None)


async def test_the_record_can_be_narrowed(console: Console, clock: ManualClock) -> None:
    """By status and by time, its end exclusive; times may carry any offset."""
    await cancelled_applications(console, clock, 2)
    clock.move_on(timedelta(hours=1))
    open_one = await console.applied()

    async def found(**query: str) -> list[str]:
        answer = await console.as_customer("GET", "/v1/withdrawals", params=query)
        assert answer.status_code == 200, answer.text
        return [item["status"] for item in answer.json()["items"]]

    assert await found(status="cancelled") == ["cancelled", "cancelled"]
    assert await found(status="awaiting_verification") == ["awaiting_verification"]
    created = open_one["created_at"]
    assert created == "2026-11-23T03:01:00Z"
    assert await found(created_since=created) == ["awaiting_verification"]
    assert await found(created_until=created) == ["cancelled", "cancelled"]
    assert await found(created_since="2026-11-23T11:01:00+08:00") == ["awaiting_verification"]
    assert await found(created_since=created, created_until=created) == []
    assert await found(account_id="acct_1001", status="cancelled") == ["cancelled", "cancelled"]


async def test_our_own_people_read_every_account(console: Console) -> None:
    """Finance and operations see all of them, or one account's."""
    await console.applied()
    await console.applied(of="acct_2002")
    for ask in (console.as_finance, console.as_operations):
        everything = (await ask("GET", "/v1/withdrawals")).json()["items"]
        assert {item["account_id"] for item in everything} == {"acct_1001", "acct_2002"}
        one = (await ask("GET", "/v1/withdrawals?account_id=acct_2002")).json()["items"]
        assert [item["account_id"] for item in one] == ["acct_2002"]
        assert (await ask("GET", "/v1/withdrawals?account_id=acct_none")).json() == {
            "items": [],
            "next_cursor": None,
        }
    own = (await console.as_customer("GET", "/v1/withdrawals")).json()["items"]
    assert [item["account_id"] for item in own] == ["acct_1001"]


async def test_a_bad_query_is_invalid(console: Console) -> None:
    """Each parameter is named; an unknown one is left alone."""
    for name, value in (
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "many"),
        ("cursor", "x"),
        ("cursor", "A" * 31 + "="),
        ("cursor", "é" * 32),
        ("cursor", "f3" * 16),
        ("cursor", ""),
        ("status", "lost"),
        ("created_since", "yesterday"),
        ("created_since", "2026-11-23"),
        ("created_until", "2026-11-23T02:00:00"),
        ("created_until", "1700000000"),
        ("created_until", "2026-13-01T00:00:00Z"),
        ("account_id", "acct 1"),
        ("account_id", "\x00"),
    ):
        answer = await console.as_customer("GET", "/v1/withdrawals", params={name: value})
        assert fields(refused(answer, 422, "invalid_request")) == [name], value
    assert (await console.as_customer("GET", "/v1/withdrawals?unknown=1")).status_code == 200


async def everything_that_happened(console: Console, engine: PlayedEngine) -> Json:
    """A withdrawal that was applied for, guessed at, verified, approved, paid and sent back."""
    withdrawal = await console.applied(of="acct_2002", amount="50000.00")
    await console.verify(withdrawal, console.wrong_code(withdrawal))
    await console.verify(withdrawal)
    body = {"decision": "approve", "note": "called the customer"}
    await console.as_finance("POST", f"/v1/withdrawals/{withdrawal['id']}/decision", json=body)
    for state in (TransferState.SUCCEEDED, TransferState.RETURNED):
        engine.bank_says(UUID(withdrawal["id"]), BankAnswer(state, "B1"))
    return withdrawal


async def test_events_say_what_happened_when_and_by_whom(console: Console, engine: PlayedEngine) -> None:
    """In order, with the status after each and the way it came in; colleagues read names."""
    withdrawal = await everything_that_happened(console, engine)
    answer = await console.as_operations("GET", f"/v1/withdrawals/{withdrawal['id']}/events")
    told = [(event["kind"], event["status"], event["by"], event["via"]) for event in answer.json()["items"]]
    customer = "customer-of-acct_2002"
    assert told == [
        ("applied", "awaiting_verification", customer, "api"),
        ("code_sent", "awaiting_verification", "system", "workflow"),
        ("wrong_code", "awaiting_verification", customer, "api"),
        ("verified", "awaiting_verification", customer, "api"),
        ("frozen", "awaiting_approval", "system", "workflow"),
        ("approved", "processing", "fin-1", "api"),
        ("bank_asked", "processing", "system", "workflow"),
        ("paid", "paid", "bank", "bank"),
        ("returned", "returned", "bank", "bank"),
    ]
    assert answer.json()["items"][2]["data"] == {"attempts_left": 4}
    assert {event["at"] for event in answer.json()["items"]} == {"2026-11-23T02:00:00Z"}


async def test_a_customer_does_not_read_who_of_finance_it_was(console: Console, engine: PlayedEngine) -> None:
    """`finance` instead of the person, and none of what colleagues wrote; their own name stays."""
    withdrawal = await everything_that_happened(console, engine)
    path = f"/v1/withdrawals/{withdrawal['id']}/events"
    answer = await console.as_customer("GET", path, of="acct_2002")
    by = {event["kind"]: event["by"] for event in answer.json()["items"]}
    assert (by["approved"], by["applied"], by["paid"]) == ("finance", "customer-of-acct_2002", "bank")
    assert "fin-1" not in answer.text
    assert "called the customer" not in answer.text


async def test_nobody_reads_a_whole_card_or_phone(console: Console, engine: PlayedEngine) -> None:
    """Neither the customer nor colleagues, from no call, and not the code either."""
    withdrawal = await console.applied()
    for ask in (console.as_customer, console.as_finance, console.as_operations):
        for path in ("", f"/{withdrawal['id']}", f"/{withdrawal['id']}/events"):
            seen = (await ask("GET", f"/v1/withdrawals{path}")).text
            for secret in ("6230580000000000013", "13800001234", console.code(withdrawal)):
                assert secret not in seen
