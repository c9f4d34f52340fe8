"""The bank's promise: one transfer a reference, and an outcome that follows the card."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.sandbox.bank_client import (
    change_settings,
    order,
    read_book,
    read_changes,
    set_behaviour,
    submit,
    wait_for_state,
)

OTHER_CARD = "6222020000000000012"


async def states_of(bank: httpx.AsyncClient, client_ref: str) -> list[tuple[str, str | None]]:
    """Every state the transfer entered, with its reason code."""
    changes, _ = await read_changes(bank)
    return [(change["state"], change["reason_code"]) for change in changes if change["client_ref"] == client_ref]


async def entries_of(bank: httpx.AsyncClient, client_ref: str) -> list[tuple[str, str]]:
    """The money that moved for the transfer."""
    entries = (await read_book(bank))["entries"]
    return [(entry["kind"], entry["amount"]) for entry in entries if entry["client_ref"] == client_ref]


async def test_taken_is_not_paid(sandbox: httpx.AsyncClient) -> None:
    """A submission is answered before anything is paid, with the bank's own reference."""
    await change_settings(sandbox, settle_after_s=60)
    taken = await submit(sandbox)
    assert taken["state"] == "accepted"
    assert taken["bank_ref"]
    assert taken["amount"] == "1234.56"
    assert await entries_of(sandbox, taken["client_ref"]) == []


async def test_a_transfer_is_paid_in_due_course(sandbox: httpx.AsyncClient) -> None:
    """Left alone, a transfer is processed and paid once, with its whole amount."""
    taken = await submit(sandbox, amount="0.01")
    paid = await wait_for_state(sandbox, taken["client_ref"], "succeeded")
    assert paid["bank_ref"] == taken["bank_ref"]
    assert await states_of(sandbox, taken["client_ref"]) == [
        ("accepted", None),
        ("processing", None),
        ("succeeded", None),
    ]
    assert await entries_of(sandbox, taken["client_ref"]) == [("payment", "0.01")]


async def test_the_same_submission_gets_the_same_answer(sandbox: httpx.AsyncClient) -> None:
    """Submitted again unchanged, a reference gets its bank_ref and current state; nothing is paid twice."""
    body = order()
    first = (await sandbox.post("/transfers", json=body)).json()
    await wait_for_state(sandbox, body["client_ref"], "succeeded")
    again = await sandbox.post("/transfers", json=body)
    assert again.status_code == 202
    assert again.json()["bank_ref"] == first["bank_ref"]
    assert again.json()["state"] == "succeeded"
    assert await entries_of(sandbox, body["client_ref"]) == [("payment", "1234.56")]
    assert (await read_book(sandbox))["submissions"] == {body["client_ref"]: 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", "1234.57"),
        ("payee_name", "李四"),
        ("bank_name", "招商银行"),
        ("branch_name", "北京分行"),
        ("card_number", OTHER_CARD),
    ],
)
async def test_a_reference_belongs_to_one_body(sandbox: httpx.AsyncClient, field: str, value: str) -> None:
    """The same reference with any other field is refused with 409, and what was booked stays as it was."""
    body = order()
    await sandbox.post("/transfers", json=body)
    refused = await sandbox.post("/transfers", json={**body, field: value})
    assert refused.status_code == 409
    assert refused.json()["code"] == "client_ref_reused"
    (booked,) = (await read_book(sandbox))["transfers"]
    assert {name: booked[name] for name in body} == body


async def test_parallel_submissions_book_one_transfer(sandbox: httpx.AsyncClient) -> None:
    """Fifty submissions of one reference at the same moment get one bank_ref and make one payment."""
    body = order()
    answers = await asyncio.gather(*(sandbox.post("/transfers", json=body) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["bank_ref"] for answer in answers}) == 1
    await wait_for_state(sandbox, body["client_ref"], "succeeded")
    book = await read_book(sandbox)
    assert len(book["transfers"]) == 1
    assert [entry["kind"] for entry in book["entries"]] == ["payment"]
    assert book["submissions"] == {body["client_ref"]: 50}


async def test_a_card_can_be_refused_at_once(sandbox: httpx.AsyncClient) -> None:
    """`reject`: taken with 202, but failed already, with the reason; nothing is ever paid."""
    await set_behaviour(sandbox, "reject")
    taken = await submit(sandbox)
    assert (taken["state"], taken["reason_code"]) == ("failed", "card_not_accepted")
    assert await states_of(sandbox, taken["client_ref"]) == [("failed", "card_not_accepted")]
    assert await entries_of(sandbox, taken["client_ref"]) == []


async def test_an_accepted_transfer_can_fail(sandbox: httpx.AsyncClient) -> None:
    """`accept_then_fail`: a definite no comes later, with its reason and without a payment."""
    await set_behaviour(sandbox, "accept_then_fail")
    taken = await submit(sandbox)
    assert taken["state"] == "accepted"
    failed = await wait_for_state(sandbox, taken["client_ref"], "failed")
    assert failed["reason_code"] == "account_closed"
    assert await entries_of(sandbox, taken["client_ref"]) == []


async def test_a_paid_transfer_can_come_back(sandbox: httpx.AsyncClient) -> None:
    """`pay_then_return`: paid first, returned later, each booked once with the same amount."""
    await set_behaviour(sandbox, "pay_then_return")
    taken = await submit(sandbox)
    returned = await wait_for_state(sandbox, taken["client_ref"], "returned")
    assert returned["reason_code"] == "name_mismatch"
    assert [state for state, _ in await states_of(sandbox, taken["client_ref"])] == [
        "accepted",
        "processing",
        "succeeded",
        "returned",
    ]
    assert await entries_of(sandbox, taken["client_ref"]) == [("payment", "1234.56"), ("return", "1234.56")]


@pytest.mark.parametrize(
    ("behaviour", "state"), [("pay", "succeeded"), ("accept_then_fail", "failed"), ("reject", "failed")]
)
async def test_a_silent_card_answers_when_its_behaviour_changes(
    sandbox: httpx.AsyncClient, behaviour: str, state: str
) -> None:
    """`silent`: no outcome however long one waits, until the behaviour is changed; then it follows that."""
    await set_behaviour(sandbox, "silent")
    taken = await submit(sandbox)
    await wait_for_state(sandbox, taken["client_ref"], "processing")
    await asyncio.sleep(0.1)
    await wait_for_state(sandbox, taken["client_ref"], "processing")
    await set_behaviour(sandbox, behaviour)
    await wait_for_state(sandbox, taken["client_ref"], state)


async def test_a_changed_behaviour_leaves_other_transfers_alone(sandbox: httpx.AsyncClient) -> None:
    """A behaviour is for submissions to come: a paid or half-way transfer of the card is not turned by it."""
    paid = await submit(sandbox)
    await wait_for_state(sandbox, paid["client_ref"], "succeeded")
    await change_settings(sandbox, settle_after_s=60)
    under_way = await submit(sandbox)
    await set_behaviour(sandbox, "silent", OTHER_CARD)
    silent = await submit(sandbox, card_number=OTHER_CARD)
    await set_behaviour(sandbox, "pay_then_return")
    await change_settings(sandbox, settle_after_s=0, return_after_s=0)
    await wait_for_state(sandbox, under_way["client_ref"], "succeeded")
    await wait_for_state(sandbox, silent["client_ref"], "processing")
    await asyncio.sleep(0.1)
    for transfer in (paid, under_way):
        assert await entries_of(sandbox, transfer["client_ref"]) == [("payment", "1234.56")]
    assert await entries_of(sandbox, silent["client_ref"]) == []


async def test_a_card_can_be_unavailable_for_a_while(sandbox: httpx.AsyncClient) -> None:
    """`unavailable:2`: two 503 with nothing booked, each counted, then paid as if nothing had been."""
    await set_behaviour(sandbox, "unavailable:2")
    body = order()
    for left in (1, 0):
        assert (await sandbox.post("/transfers", json=body)).status_code == 503
        assert (await sandbox.get(f"/transfers/{body['client_ref']}")).status_code == 404
        card = (await sandbox.get(f"/_sandbox/cards/{body['card_number']}")).json()
        assert card == {
            "card_number": body["card_number"],
            "behaviour": "unavailable:2",
            "refusals_left": left,
        }
    assert (await sandbox.post("/transfers", json=body)).status_code == 202
    await wait_for_state(sandbox, body["client_ref"], "succeeded")
    assert (await read_book(sandbox))["submissions"] == {body["client_ref"]: 3}


@pytest.mark.parametrize(
    "behaviour", ["", "Pay", "refuse", "unavailable", "unavailable:0", "unavailable:x", "pay\n", None, 1]
)
async def test_an_unknown_behaviour_is_refused(sandbox: httpx.AsyncClient, behaviour: Any) -> None:
    """A misspelt behaviour gets 422, and the card keeps the one it had."""
    await set_behaviour(sandbox, "silent")
    path = "/_sandbox/cards/6230580000000000018"
    assert (await sandbox.put(path, json={"behaviour": behaviour})).status_code == 422
    assert (await sandbox.get(path)).json()["behaviour"] == "silent"


async def test_a_card_nobody_spoke_of_pays(sandbox: httpx.AsyncClient) -> None:
    """The default behaviour is `pay`."""
    assert (await sandbox.get(f"/_sandbox/cards/{OTHER_CARD}")).json()["behaviour"] == "pay"


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "0.00"},
        {"amount": "1234.5"},
        {"amount": "1,234.56"},
        {"amount": "-1.00"},
        {"amount": "01.00"},
        {"amount": "1.00\n"},
        {"amount": "１.00"},
        {"amount": 1234.56},
        {"amount": None},
        {"client_ref": ""},
        {"client_ref": "a/b"},
        {"client_ref": "a" * 65},
        {"payee_name": ""},
        {"payee_name": "\ud800"},
        {"bank_name": "名" * 101},
        {"card_number": "62305800000"},
        {"card_number": "6230 5800 0000 0000"},
        {"memo": "one field too many"},
    ],
)
async def test_a_bad_submission_is_refused_and_changes_nothing(
    sandbox: httpx.AsyncClient, changed: dict[str, Any]
) -> None:
    """Bad input gets 422 in plain JSON that repeats nothing of it, and the book stays empty."""
    # json.dumps escapes what httpx cannot encode: a lone surrogate is valid JSON and no valid text.
    body = json.dumps({**order(), **changed})
    refused = await sandbox.post("/transfers", content=body, headers={"content-type": "application/json"})
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_request"
    assert refused.json()["errors"]
    assert "6230580000000000018" not in refused.text
    assert await read_book(sandbox) == {"transfers": [], "entries": [], "submissions": {}}


async def test_a_body_that_is_no_json_is_refused(sandbox: httpx.AsyncClient) -> None:
    """Half a JSON document gets 422, not a failure of the bank."""
    refused = await sandbox.post("/transfers", content=b'{"client_ref": ', headers={"content-type": "application/json"})
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_request"


async def test_an_unknown_reference_is_not_found(sandbox: httpx.AsyncClient) -> None:
    """404 for a reference that was never booked."""
    missing = await sandbox.get("/transfers/never-submitted")
    assert missing.status_code == 404
    assert missing.json()["code"] == "transfer_not_found"
