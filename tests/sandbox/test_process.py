"""The sandbox as a process: it can be killed at any moment, and can leave its callers without an answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from sandbox.settings import Settings
from tests.sandbox.bank_client import (
    CARD,
    change_settings,
    order,
    read_book,
    read_changes,
    set_behaviour,
    submit,
    wait_for_state,
)
from tests.sandbox.conftest import SandboxProcess


async def test_a_killed_sandbox_loses_nothing_it_answered(sandbox_process: SandboxProcess) -> None:
    """SIGKILL amid submissions: every answered transfer, switch, card, message and cursor still holds."""
    async with httpx.AsyncClient(base_url=sandbox_process.url, trust_env=False) as bank:
        await change_settings(bank, settle_after_s=3600)
        await set_behaviour(bank, "silent", "6222020000000000012")
        await bank.post("/messages", json={"to": "13812341234", "text": "验证码 482913"})
        answered: list[dict[str, str]] = []

        async def submit_until_it_dies() -> None:
            while True:
                answered.append(await submit(bank))

        submitters = [asyncio.create_task(submit_until_it_dies()) for _ in range(4)]
        while len(answered) < 20:  # noqa: ASYNC110 - the submitters only append
            await asyncio.sleep(0.01)
        cursor = (await bank.get("/transfers")).json()["next_cursor"]
        await asyncio.to_thread(sandbox_process.kill)
        ends = await asyncio.gather(*submitters, return_exceptions=True)
        assert all(isinstance(end, httpx.TransportError) for end in ends)

        await asyncio.to_thread(sandbox_process.start)
        for taken in answered:
            assert (await bank.get(f"/transfers/{taken['client_ref']}")).json()["bank_ref"] == taken["bank_ref"]
        assert (await bank.get("/_sandbox/settings")).json()["settle_after_s"] == 3600
        assert (await bank.get("/_sandbox/cards/6222020000000000012")).json()["behaviour"] == "silent"
        (message,) = (await bank.get("/_sandbox/messages", params={"phone": "13812341234"})).json()
        assert message["code"] == "482913"

        await change_settings(bank, settle_after_s=0)
        for taken in answered:
            await wait_for_state(bank, taken["client_ref"], "succeeded")
        later, _ = await read_changes(bank, cursor)
        assert {taken["client_ref"] for taken in answered} <= {
            change["client_ref"] for change in later if change["state"] == "succeeded"
        }
        refs = [entry["client_ref"] for entry in (await read_book(bank))["entries"]]
        assert len(refs) == len(set(refs))


async def test_a_submission_can_time_out_although_it_is_booked(sandbox_process: SandboxProcess) -> None:
    """`time_out_after_booking`: the first caller hears nothing, the query and a second submission do."""
    async with httpx.AsyncClient(base_url=sandbox_process.url, trust_env=False) as bank:
        await change_settings(bank, settle_after_s=0.1)
        await set_behaviour(bank, "time_out_after_booking")
        body = order()
        with pytest.raises(httpx.ReadTimeout):
            await bank.post("/transfers", json=body, timeout=0.5)
        booked = await bank.get(f"/transfers/{body['client_ref']}")
        assert booked.status_code == 200
        again = await bank.post("/transfers", json=body)
        assert again.status_code == 202
        assert again.json()["bank_ref"] == booked.json()["bank_ref"]
        await wait_for_state(bank, body["client_ref"], "succeeded")
        book = await read_book(bank)
        assert [entry["kind"] for entry in book["entries"]] == ["payment"]
        assert book["submissions"] == {body["client_ref"]: 2}
        assert (await bank.get(f"/_sandbox/cards/{CARD}")).json()["behaviour"] == "time_out_after_booking"


async def test_a_held_answer_ends_in_a_cut_connection(sandbox_process: SandboxProcess) -> None:
    """A caller more patient than hold_answer_s gets a cut connection, never a status to rely on."""
    async with httpx.AsyncClient(base_url=sandbox_process.url, trust_env=False) as bank:
        await change_settings(bank, hold_answer_s=0.3)
        await set_behaviour(bank, "time_out_after_booking")
        body = order()
        started = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            await bank.post("/transfers", json=body, timeout=10)
        assert time.monotonic() - started >= 0.3
        assert (await bank.get(f"/transfers/{body['client_ref']}")).status_code == 200


async def test_parallel_submissions_over_real_connections_book_one_transfer(
    sandbox_process: SandboxProcess,
) -> None:
    """Twenty connections submit one reference at once: one transfer, one bank_ref."""
    async with httpx.AsyncClient(base_url=sandbox_process.url, trust_env=False) as bank:
        body = order()
        answers = await asyncio.gather(*(bank.post("/transfers", json=body) for _ in range(20)))
        assert len({answer.json()["bank_ref"] for answer in answers}) == 1
        assert len((await read_book(bank))["transfers"]) == 1


def test_notifications_never_go_out_unsigned(tmp_path: Path) -> None:
    """A notification URL without a webhook secret is refused at the start."""
    with pytest.raises(ValidationError, match="SANDBOX_WEBHOOK_SECRET"):
        Settings(book=tmp_path / "book.sqlite3", signing_key=tmp_path / "key.pem", notify_url="http://127.0.0.1:1/")
