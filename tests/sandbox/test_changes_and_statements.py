"""The two ways to catch up with the bank: its changes behind a cursor, and the statement of a day."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.sandbox.bank_client import (
    change_settings,
    read_book,
    read_changes,
    set_behaviour,
    submit,
    wait_for_state,
)
from tests.sandbox.conftest import ManualClock, OpenSandbox


async def test_a_reader_of_the_cursor_misses_no_change(sandbox: httpx.AsyncClient) -> None:
    """Read page by page while transfers move, every change comes once, in each transfer's order."""
    await set_behaviour(sandbox, "pay_then_return")

    async def submit_some() -> list[str]:
        return [(await submit(sandbox))["client_ref"] for _ in range(10)]

    writers = [asyncio.create_task(submit_some()) for _ in range(3)]
    seen: list[dict[str, Any]] = []
    cursor = ""
    while not all(writer.done() for writer in writers):
        read, cursor = await read_changes(sandbox, cursor, limit=3)
        seen += read
    refs = [ref for writer in writers for ref in writer.result()]
    for ref in refs:
        await wait_for_state(sandbox, ref, "returned")
    read, cursor = await read_changes(sandbox, cursor, limit=3)
    seen += read

    assert len(seen) == len(refs) * 4
    for ref in refs:
        states = [change["state"] for change in seen if change["client_ref"] == ref]
        assert states == ["accepted", "processing", "succeeded", "returned"]


async def test_an_empty_page_keeps_the_cursor(sandbox: httpx.AsyncClient) -> None:
    """With nothing new the same cursor comes back, and what happens later is behind it."""
    empty = (await sandbox.get("/transfers", params={"updated_since": ""})).json()
    assert empty["items"] == []
    assert empty["next_cursor"]
    await set_behaviour(sandbox, "reject")
    taken = await submit(sandbox)
    page = (await sandbox.get("/transfers", params={"updated_since": empty["next_cursor"]})).json()
    assert [change["client_ref"] for change in page["items"]] == [taken["client_ref"]]
    again = (await sandbox.get("/transfers", params={"updated_since": page["next_cursor"]})).json()
    assert again == {"items": [], "next_cursor": page["next_cursor"]}


async def test_a_page_of_changes_is_bounded(sandbox: httpx.AsyncClient) -> None:
    """A page holds no more than its limit, and no limit is beyond 500."""
    await set_behaviour(sandbox, "reject")
    for _ in range(3):
        await submit(sandbox)
    page = (await sandbox.get("/transfers", params={"limit": 2})).json()
    assert len(page["items"]) == 2
    assert (await sandbox.get("/transfers", params={"limit": 501})).status_code == 422


@pytest.mark.parametrize("cursor", ["1", "not-a-cursor", "Y2hhbmdlOng=", "Y2hhbmdlOjk5OTk="])
async def test_a_cursor_of_another_book_is_refused(sandbox: httpx.AsyncClient, cursor: str) -> None:
    """A cursor this book never gave gets 422: an empty page would hide changes for ever."""
    refused = await sandbox.get("/transfers", params={"updated_since": cursor})
    assert refused.status_code == 422
    assert refused.json()["code"] == "unknown_cursor"


async def test_a_statement_is_of_one_shanghai_day(open_sandbox: OpenSandbox) -> None:
    """A payment at 23:59:59 and its return at 00:00:00 Shanghai time are on two statements."""
    midnight = datetime.fromisoformat("2026-11-23T00:00:00+08:00").timestamp()
    clock = ManualClock(midnight - 1)
    async with open_sandbox(clock=clock) as bank:
        await change_settings(bank, settle_after_s=0, return_after_s=1)
        await set_behaviour(bank, "pay_then_return")
        taken = await submit(bank, amount="88.80")
        await wait_for_state(bank, taken["client_ref"], "succeeded")
        clock.now = midnight
        await wait_for_state(bank, taken["client_ref"], "returned")

        entry = {"bank_ref": taken["bank_ref"], "client_ref": taken["client_ref"], "amount": "88.80"}
        assert (await bank.get("/statements/2026-11-22")).json() == {
            "date": "2026-11-22",
            "items": [{**entry, "kind": "payment", "booked_at": "2026-11-22T15:59:59.000000Z"}],
        }
        assert (await bank.get("/statements/2026-11-23")).json() == {
            "date": "2026-11-23",
            "items": [{**entry, "kind": "return", "booked_at": "2026-11-22T16:00:00.000000Z"}],
        }
        assert (await bank.get("/statements/2026-11-24")).json()["items"] == []
        assert [entry["kind"] for entry in (await read_book(bank))["entries"]] == ["payment", "return"]


async def test_a_statement_needs_a_date(sandbox: httpx.AsyncClient) -> None:
    """What is no date of the calendar gets 422."""
    assert (await sandbox.get("/statements/2026-02-30")).status_code == 422
