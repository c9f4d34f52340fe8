"""What bad input gets (product.md), the rows about keys, rules, codes and statuses, and what is away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import create_engine, text

from domain.withdrawal import BankAnswer, TransferState
from tests import databases
from tests.api.clock import ManualClock
from tests.api.console import Console, application, codes, fields, refused
from tests.api.played_engine import PlayedEngine

CARD = application()["bank_card"]


def card(**changed: Any) -> dict[str, Any]:
    """An application with a spoiled card."""
    return {"bank_card": {name: value for name, value in (CARD | changed).items() if value is not ...}}


async def test_no_idempotency_key_is_refused(console: Console) -> None:
    """400, whatever else is wrong with the application."""
    async with console.nothing_changes():
        for body in (application(), {}):
            answer = await console.as_customer("POST", "/v1/withdrawals", json=body)
            refused(answer, 400, "idempotency_key_missing")


async def test_the_same_key_with_another_body_is_refused(console: Console) -> None:
    """The key stands for what it was first sent with."""
    await console.applied(key="k")
    async with console.nothing_changes():
        refused(await console.apply(key="k", amount="500.01"), 422, "idempotency_key_reused")
        refused(await console.apply(key="k", **card(branch_name="北京分行")), 422, "idempotency_key_reused")


async def test_the_same_key_while_the_first_is_being_answered_is_refused(
    console: Console, engine: PlayedEngine
) -> None:
    """409 and when to come again."""
    early: list[httpx.Response] = []

    async def repeat() -> None:
        engine.before_open = None
        async with console.nothing_changes():
            early.append(await console.apply(key="k"))

    engine.before_open = repeat
    assert (await console.apply(key="k")).status_code == 201
    refused(early[0], 409, "idempotency_key_in_use")
    assert early[0].headers["retry-after"] == "1"


async def test_the_rules_say_no_with_every_reason_at_once(console: Console) -> None:
    """Amount, verification, suspension, phone and name in one answer, and how to withdraw everything."""
    await console.open_account(
        "acct_1001", verified=False, suspended=True, phone=None, name="李四", pay_as_you_use=True
    )
    async with console.nothing_changes():
        problem = refused(await console.apply(amount="1200.00"), 422, "not_eligible")
    assert sorted(codes(problem)) == [
        "account_suspended",
        "amount_exceeds_withdrawable",
        "bank_account_name_mismatch",
        "phone_missing",
        "subject_not_verified",
    ]
    too_much = next(e for e in problem["errors"] if e["code"] == "amount_exceeds_withdrawable")
    assert "1080.00" in too_much["message"]
    assert "stop using those products" in too_much["message"]


async def test_arrears_say_no(console: Console) -> None:
    """An account below zero is to be topped up first."""
    await console.book("acct_1001", "charges", "1300.00")
    async with console.nothing_changes():
        problem = refused(await console.apply(), 422, "not_eligible")
    assert sorted(codes(problem)) == ["account_in_arrears", "amount_exceeds_withdrawable"]


async def test_a_second_withdrawal_in_the_month_says_no(console: Console, engine: PlayedEngine) -> None:
    """Once a calendar month, after the first was paid."""
    paid = await console.verified()
    engine.bank_says(UUID(paid["id"]), BankAnswer(TransferState.SUCCEEDED, "B1"))
    async with console.nothing_changes():
        problem = refused(await console.apply(amount="10.00"), 422, "not_eligible")
    assert codes(problem) == ["already_withdrawn_this_month"]
    assert (await console.account())["next_eligible_on"] == "2026-12-01"


async def test_another_open_application_is_in_progress(console: Console) -> None:
    """409 with the id of the open one, whichever status it waits in."""
    first = await console.applied()
    for _ in ("before the code", "after it"):
        async with console.nothing_changes():
            problem = refused(await console.apply(amount="10.00"), 409, "withdrawal_in_progress")
        assert problem["withdrawal_id"] == first["id"]
        await console.verify(first)


async def test_rules_that_no_longer_hold_at_the_freeze_fail_the_withdrawal(console: Console) -> None:
    """The code is right, the money is gone: not eligible, failed with the reason, and nothing frozen."""
    withdrawal = await console.applied()
    await console.book("acct_1001", "charges", "1200.00")
    problem = refused(await console.verify(withdrawal), 422, "not_eligible")
    assert codes(problem) == ["amount_exceeds_withdrawable"]
    failed = await console.read(withdrawal)
    assert (failed["status"], failed["failure"]["code"]) == ("failed", "amount_exceeds_withdrawable")
    assert (await console.account())["frozen"] == "0.00"
    console.holds()


async def test_a_wrong_code_says_how_many_tries_are_left(console: Console, engine: PlayedEngine) -> None:
    """Four, three, two, one, none; after the fifth it is expired, the run is told, and the month is free again."""
    withdrawal = await console.applied()
    wrong = console.wrong_code(withdrawal)
    for left in (4, 3, 2, 1, 0):
        assert refused(await console.verify(withdrawal, wrong), 422, "wrong_code")["attempts_left"] == left
    assert engine.heard[1:] == [("look", UUID(withdrawal["id"]))]
    async with console.nothing_changes():
        refused(await console.verify(withdrawal), 409, "code_expired")
    assert (await console.read(withdrawal))["status"] == "expired"
    assert (await console.account())["next_eligible_on"] is None
    console.holds()


async def test_a_fifth_wrong_code_counts_while_the_engine_is_away(console: Console, engine: PlayedEngine) -> None:
    """Nobody gets more guesses for lack of Temporal."""
    withdrawal = await console.applied()
    wrong = console.wrong_code(withdrawal)
    engine.away = True
    for left in (4, 3, 2, 1, 0):
        assert refused(await console.verify(withdrawal, wrong), 422, "wrong_code")["attempts_left"] == left


async def test_a_code_that_is_not_six_digits_uses_no_try_up(console: Console) -> None:
    """A typing error is not a guess."""
    path = f"/v1/withdrawals/{(await console.applied())['id']}/verification"
    async with console.nothing_changes():
        for code in ("12345", "1234567", "12345a", "１２３４５６", " 123456", "123456\n", "", 123456, None):
            answer = await console.as_customer("POST", path, json={"code": code})
            assert fields(refused(answer, 422, "invalid_request")) == ["code"], code


async def test_a_code_over_its_time_is_expired(console: Console, clock: ManualClock) -> None:
    """Ten minutes, to the second; then neither the code nor another one helps."""
    withdrawal = await console.applied()
    clock.move_on(timedelta(minutes=10))
    async with console.nothing_changes():
        refused(await console.verify(withdrawal), 409, "code_expired")
        path = f"/v1/withdrawals/{withdrawal['id']}/verification/resend"
        refused(await console.as_customer("POST", path), 409, "code_expired")


async def test_a_resend_too_soon_says_when(console: Console, clock: ManualClock) -> None:
    """60 seconds between two, five altogether."""
    withdrawal = await console.applied()
    path = f"/v1/withdrawals/{withdrawal['id']}/verification/resend"
    clock.move_on(timedelta(seconds=20))
    async with console.nothing_changes():
        early = await console.as_customer("POST", path)
        refused(early, 429, "too_many_requests")
    assert early.headers["retry-after"] == "40"
    for _ in range(4):
        clock.move_on(timedelta(seconds=60))
        assert (await console.as_customer("POST", path)).status_code == 202
    clock.move_on(timedelta(seconds=60))
    async with console.nothing_changes():
        refused(await console.as_customer("POST", path), 429, "too_many_requests")


async def test_what_the_status_does_not_allow_says_which_it_is(console: Console, engine: PlayedEngine) -> None:
    """Cancelling after the bank was asked, deciding what waits for nobody, resolving what is not under review."""
    withdrawal = await console.verified()
    path = f"/v1/withdrawals/{withdrawal['id']}"
    decision, resolution = {"decision": "approve"}, {"outcome": "paid", "evidence": "statement 7"}
    async with console.nothing_changes():
        for answer in (
            await console.as_customer("POST", f"{path}/cancel"),
            await console.as_customer("POST", f"{path}/verification/resend"),
            await console.as_finance("POST", f"{path}/decision", json=decision),
            await console.as_finance("POST", f"{path}/resolution", json=resolution),
        ):
            assert refused(answer, 409, "not_possible_now")["withdrawal_status"] == "processing"


async def test_a_final_withdrawal_never_starts_a_run(console: Console, engine: PlayedEngine) -> None:
    """Whatever is asked of it, PostgreSQL is asked first, and Temporal not at all."""
    withdrawal = await console.applied()
    path = f"/v1/withdrawals/{withdrawal['id']}"
    assert (await console.as_customer("POST", f"{path}/cancel")).json()["status"] == "cancelled"
    engine.heard.clear()
    async with console.nothing_changes():
        for answer in (
            await console.as_customer("POST", f"{path}/cancel"),
            await console.as_customer("POST", f"{path}/verification", json={"code": console.code(withdrawal)}),
            await console.as_customer("POST", f"{path}/verification/resend"),
            await console.as_finance("POST", f"{path}/decision", json={"decision": "reject"}),
            await console.as_finance("POST", f"{path}/resolution", json={"outcome": "failed", "evidence": "x"}),
        ):
            assert refused(answer, 409, "not_possible_now")["withdrawal_status"] == "cancelled"
    assert engine.heard == []


async def test_deciding_twice_or_on_ones_own_violates_four_eyes(console: Console) -> None:
    """The applicant is no approver, and nobody counts twice."""
    withdrawal = await console.verified(of="acct_2002", amount="500000.00")
    path = f"/v1/withdrawals/{withdrawal['id']}/decision"
    approve = {"decision": "approve", "note": "checked"}
    async with console.nothing_changes():
        own = await console.as_finance("POST", path, who="customer-of-acct_2002", json=approve)
        refused(own, 403, "four_eyes_violated")
    assert (await console.as_finance("POST", path, who="fin-1", json=approve)).status_code == 200
    async with console.nothing_changes():
        refused(await console.as_finance("POST", path, who="fin-1", json=approve), 403, "four_eyes_violated")
    assert (await console.as_finance("POST", path, who="fin-2", json=approve)).json()["status"] == "processing"
    async with console.nothing_changes():
        refused(await console.as_finance("POST", path, who="fin-3", json=approve), 409, "not_possible_now")


async def test_without_the_engine_calls_are_to_be_made_again(console: Console, engine: PlayedEngine) -> None:
    """503 and when to come again; nothing is lost: the same call then goes through."""
    withdrawal = await console.applied()
    engine.away = True
    path = f"/v1/withdrawals/{withdrawal['id']}"
    async with console.nothing_changes():
        for call in ("verification/resend", "cancel"):
            answer = await console.as_customer("POST", f"{path}/{call}")
            refused(answer, 503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        assert (await console.as_customer("GET", path)).status_code == 200
        assert (await console.as_customer("GET", "/v1/accounts/acct_1001")).status_code == 200
    refused(await console.verify(withdrawal), 503, "temporarily_unavailable")
    engine.away = False
    assert (await console.verify(withdrawal)).json()["status"] == "processing"
    console.holds()


async def test_without_the_database_calls_are_to_be_made_again(console: Console, database: databases.Database) -> None:
    """503, from reads as well as writes, and nothing of the driver's words gets out."""
    owner = create_engine(database.owner_url.replace(f"/{database.name}", "/postgres"), isolation_level="AUTOCOMMIT")

    def admit(new_connections: bool) -> None:
        with owner.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS {new_connections}"))

    before = console.rows()
    console.database.close()
    admit(new_connections=False)
    try:
        for answer in (
            await console.apply(),
            await console.as_customer("GET", "/v1/accounts/acct_1001"),
            await console.as_customer("GET", "/v1/withdrawals"),
        ):
            refused(answer, 503, "temporarily_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "psycopg" not in answer.text
    finally:
        admit(new_connections=True)
        owner.dispose()
    assert console.rows() == before
    assert (await console.apply()).status_code == 201


async def test_our_own_fault_leaks_nothing(console: Console, engine: PlayedEngine) -> None:
    """An unexpected error is a 500 with an id for the log, and not a word of what it was."""

    async def break_down() -> None:
        raise RuntimeError("secret of the house: 6230580000000000013")

    engine.before_open = break_down
    answer = await console.apply()
    refused(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    console.holds()
