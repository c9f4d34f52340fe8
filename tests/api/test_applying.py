"""Applying: what is answered first, what a repeat is answered, and what happens when the engine is away."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from datetime import timedelta
from uuid import UUID

import httpx

from domain.withdrawal import Status
from tests.api.clock import ManualClock
from tests.api.console import Console, application, codes, refused
from tests.api.played_engine import PlayedEngine


async def test_an_application_is_answered_with_the_withdrawal(console: Console) -> None:
    """201, where it is, and exactly the fields of the contract, with card and phone masked."""
    answer = await console.apply()
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/withdrawals/{body['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert "idempotency-replayed" not in answer.headers
    assert str(UUID(body["id"])) == body["id"]
    assert body | {"id": ""} == {
        "id": "",
        "account_id": "acct_1001",
        "amount": "500.00",
        "currency": "CNY",
        "status": "awaiting_verification",
        "bank_card": {
            "account_name": "张三",
            "bank_name": "平安银行",
            "branch_name": "上海分行营业部",
            "card_number": "**** 0013",
        },
        "phone": "138****1234",
        "code_expires_at": "2026-11-23T02:10:00Z",
        "approvals": {"needed": 0, "given": []},
        "arrival_window": None,
        "failure": None,
        "created_at": "2026-11-23T02:00:00Z",
        "updated_at": "2026-11-23T02:00:00Z",
    }
    assert await console.read(body) == body
    assert re.fullmatch(r"[0-9]{6}", console.code(body))
    console.holds()


async def test_what_people_write_around_a_name_is_taken_off(console: Console) -> None:
    """Names are trimmed and kept in Unicode's composed form, so that one name is one text."""
    card = application()["bank_card"] | {"bank_name": "  Cre\u0301dit Bank  ", "account_name": "\u3000张三 "}
    taken = await console.applied(bank_card=card)
    assert taken["bank_card"]["bank_name"] == "Cr\u00e9dit Bank"
    assert taken["bank_card"]["account_name"] == "张三"


async def test_a_rare_name_is_a_name(console: Console) -> None:
    """An ideograph newer than the interpreter's Unicode is not taken for an unassigned character."""
    name = "王\U0002ebf0"
    await console.open_account("acct_1001", name=name)
    assert (await console.apply(bank_card=application()["bank_card"] | {"account_name": name})).status_code == 201


async def test_the_same_key_and_body_are_answered_with_the_first_answer(console: Console) -> None:
    """Even once the withdrawal has moved on; key order and white space make no other body."""
    first = await console.apply(key="same")
    await console.verify(first.json())
    body = application()
    reordered = dict(reversed(body.items())) | {"bank_card": dict(reversed(body["bank_card"].items()))}
    again = await console.as_customer(
        "POST",
        "/v1/withdrawals",
        content=json.dumps(reordered, indent=4).encode(),
        headers={"Idempotency-Key": "same", "Content-Type": "application/json"},
    )
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert console.count("withdrawals") == 1


async def test_fifty_parallel_applications_with_one_key_make_one(console: Console, engine: PlayedEngine) -> None:
    """A double click, 25 times over: one withdrawal, one run; everyone else gets the first answer or 409."""
    answers = await asyncio.gather(*(console.apply(key="click") for _ in range(50)))
    outcomes = Counter((answer.status_code, answer.headers.get("idempotency-replayed", "false")) for answer in answers)
    assert outcomes[(201, "false")] == 1
    assert set(outcomes) <= {(201, "false"), (201, "true"), (409, "false")}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["retry-after"] == "1"
            refused(answer, 409, "idempotency_key_in_use")
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert console.count("withdrawals") == console.count("idempotency_keys") == 1
    assert [what for what, _ in engine.heard] == ["open"]
    console.holds()


async def test_fifty_parallel_applications_with_keys_of_their_own_make_one(console: Console) -> None:
    """An account has one open application at a time, however many are sent at once."""
    answers = await asyncio.gather(*(console.apply() for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    assert console.count("withdrawals") == 1
    console.holds()


async def test_a_key_belongs_to_its_account(console: Console) -> None:
    """Two customers may use the same key without seeing each other's answers."""
    mine = await console.applied(key="1")
    theirs = await console.applied(key="1", of="acct_2002")
    assert (mine["account_id"], theirs["account_id"]) == ("acct_1001", "acct_2002")


async def test_while_the_engine_is_away_an_application_is_taken_down(console: Console, engine: PlayedEngine) -> None:
    """202 with the same body; a repeat gets the first answer and starts the run that never was."""
    engine.away = True
    first = await console.apply(key="k")
    assert first.status_code == 202
    assert first.json()["status"] == "awaiting_verification"
    assert first.headers["location"].endswith(first.json()["id"])
    engine.away = False
    again = await console.apply(key="k")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert engine.heard == [("open", UUID(first.json()["id"]))]
    assert (await console.verify(first.json())).status_code == 200


async def test_a_repeat_after_202_leaves_a_finished_withdrawal_alone(console: Console, engine: PlayedEngine) -> None:
    """A final withdrawal never starts a run."""
    engine.away = True
    first = await console.apply(key="k")
    engine.away = False
    await console.as_customer("POST", f"/v1/withdrawals/{first.json()['id']}/cancel")
    engine.heard.clear()
    assert (await console.apply(key="k")).status_code == 202
    assert engine.heard == []


async def test_a_first_request_that_died_is_taken_over(
    console: Console, engine: PlayedEngine, clock: ManualClock
) -> None:
    """Once the claim is over, a repeat drives the same withdrawal on and gives the first answer itself."""

    async def die() -> None:
        raise httpx.ConnectError("the process is gone")

    engine.before_open = die
    assert (await console.apply(key="k")).status_code == 500
    engine.before_open = None
    refused(await console.apply(key="k"), 409, "idempotency_key_in_use")
    clock.move_on(timedelta(seconds=21))
    taken_over = await console.apply(key="k")
    assert taken_over.status_code == 201
    assert "idempotency-replayed" not in taken_over.headers
    assert (await console.apply(key="k")).headers["idempotency-replayed"] == "true"
    assert console.count("withdrawals") == 1


async def test_rules_that_change_before_the_code_is_sent_refuse_the_application(
    console: Console, engine: PlayedEngine
) -> None:
    """The workflow's own check fails the withdrawal; the caller reads why, and so does a repeat."""

    async def spend() -> None:
        await console.book("acct_1001", "charges", "1200.00")

    engine.before_open = spend
    first = await console.apply(key="k")
    assert codes(refused(first, 422, "not_eligible")) == ["amount_exceeds_withdrawable"]
    engine.before_open = None
    again = await console.apply(key="k")
    assert codes(refused(again, 422, "not_eligible")) == ["amount_exceeds_withdrawable"]
    assert again.headers["idempotency-replayed"] == "true"
    record = (await console.as_customer("GET", "/v1/withdrawals")).json()["items"]
    assert [(item["status"], item["failure"]["code"]) for item in record] == [
        (Status.FAILED, "amount_exceeds_withdrawable")
    ]
    console.holds()


async def test_a_refused_application_does_not_use_its_key_up(console: Console) -> None:
    """What was refused can be mended and sent again under the same key."""
    refused(await console.apply(key="k", amount="5000.00"), 422, "not_eligible")
    assert (await console.apply(key="k", amount="50.00")).status_code == 201
