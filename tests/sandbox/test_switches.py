"""The switches: what they turn, and that they stay turned."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from tests.sandbox.bank_client import change_settings, order, read_book, submit, wait_for_state
from tests.sandbox.conftest import OpenSandbox


async def test_a_change_names_only_what_changes(sandbox: httpx.AsyncClient) -> None:
    """PUT changes the switches it names and leaves the others."""
    before = (await sandbox.get("/_sandbox/settings")).json()
    after = (await sandbox.put("/_sandbox/settings", json={"notify": False})).json()
    assert after == {**before, "notify": False}
    assert (await sandbox.get("/_sandbox/settings")).json() == after


async def test_outcomes_take_two_seconds_unless_told_otherwise(open_sandbox: OpenSandbox) -> None:
    """A fresh book settles after two seconds, notifies, and has no fault switched on."""
    async with open_sandbox() as bank:
        settings = (await bank.get("/_sandbox/settings")).json()
    assert settings["settle_after_s"] == 2
    assert settings["notify"] is True
    faults = (
        "unavailable",
        "failure_rate",
        "lost_answer_rate",
        "latency_s",
        "drop_notifications",
        "sms_unavailable",
    )
    assert not any(settings[fault] for fault in faults)


@pytest.mark.parametrize(
    "changed",
    [
        {"settle_afters": 1},
        {"settle_after_s": -1},
        {"settle_after_s": "soon"},
        {"notify": "no"},
        {"failure_rate": 1.5},
        [],
    ],
)
async def test_a_bad_change_changes_nothing(sandbox: httpx.AsyncClient, changed: Any) -> None:
    """An unknown switch or a bad value gets 422, and the switches named beside it stay too."""
    before = (await sandbox.get("/_sandbox/settings")).json()
    body = {"latency_s": 5, **changed} if isinstance(changed, dict) else changed
    assert (await sandbox.put("/_sandbox/settings", json=body)).status_code == 422
    assert (await sandbox.get("/_sandbox/settings")).json() == before


async def test_waiting_transfers_follow_a_new_settlement_time(sandbox: httpx.AsyncClient) -> None:
    """A transfer that would wait an hour is settled as soon as the time is turned down."""
    await change_settings(sandbox, settle_after_s=3600)
    taken = await submit(sandbox)
    await change_settings(sandbox, settle_after_s=0)
    await wait_for_state(sandbox, taken["client_ref"], "succeeded")


@pytest.mark.parametrize("fault", [{"unavailable": True}, {"failure_rate": 1}])
async def test_a_bank_that_is_away_answers_nothing(sandbox: httpx.AsyncClient, fault: dict[str, Any]) -> None:
    """503 on every bank call, nothing booked; the attempt is counted, and the book can still be looked at."""
    await change_settings(sandbox, **fault)
    body = order()
    answers = [
        await sandbox.post("/transfers", json=body),
        await sandbox.get(f"/transfers/{body['client_ref']}"),
        await sandbox.get("/transfers"),
        await sandbox.get("/statements/2026-11-23"),
    ]
    assert [answer.status_code for answer in answers] == [503] * 4
    assert {answer.json()["code"] for answer in answers} == {"unavailable"}
    book = await read_book(sandbox)
    assert book == {"transfers": [], "entries": [], "submissions": {body["client_ref"]: 1}}
    faults = (await sandbox.get("/_sandbox/faults")).json()
    assert (faults["submissions_unavailable"], faults["questions_unavailable"]) == (1, 3)


async def test_an_answer_can_be_lost_after_booking(sandbox: httpx.AsyncClient) -> None:
    """lost_answer_rate: the submission gets 503 although the transfer is booked, and paid."""
    await change_settings(sandbox, lost_answer_rate=1)
    body = order()
    assert (await sandbox.post("/transfers", json=body)).status_code == 503
    await wait_for_state(sandbox, body["client_ref"], "succeeded")


async def test_the_bank_can_be_slow(sandbox: httpx.AsyncClient) -> None:
    """latency_s: each bank call takes at least that long."""
    await change_settings(sandbox, latency_s=0.1)
    for call in (sandbox.post("/transfers", json=order()), sandbox.get("/transfers")):
        started = time.monotonic()
        await call
        assert time.monotonic() - started >= 0.1
