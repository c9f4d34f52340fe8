"""What a client of the sandbox bank sends, and how it waits."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import httpx

CARD = "6230580000000000018"
PATIENCE_S = 10.0


def order(**changed: str) -> dict[str, str]:
    """A submission nobody has made before."""
    return {
        "client_ref": str(uuid.uuid4()),
        "amount": "1234.56",
        "payee_name": "张三",
        "bank_name": "平安银行",
        "branch_name": "上海分行营业部",
        "card_number": CARD,
        **changed,
    }


async def set_behaviour(bank: httpx.AsyncClient, behaviour: str, card: str = CARD) -> None:
    """Raises if the sandbox refuses."""
    answer = await bank.put(f"/_sandbox/cards/{card}", json={"behaviour": behaviour})
    answer.raise_for_status()


async def change_settings(bank: httpx.AsyncClient, **changed: Any) -> None:
    """Raises if the sandbox refuses."""
    answer = await bank.put("/_sandbox/settings", json=changed)
    answer.raise_for_status()


async def submit(bank: httpx.AsyncClient, **changed: str) -> dict[str, Any]:
    """A new transfer, taken."""
    answer = await bank.post("/transfers", json=order(**changed))
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


async def wait_for_state(bank: httpx.AsyncClient, client_ref: str, state: str) -> dict[str, Any]:
    """The transfer once it is in that state; fails when it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = await bank.get(f"/transfers/{client_ref}")
        transfer: dict[str, Any] = answer.json()
        if transfer.get("state") == state:
            return transfer
        assert time.monotonic() < deadline, f"still {transfer}, waited for {state}"
        await asyncio.sleep(0.01)


async def read_book(bank: httpx.AsyncClient) -> dict[str, Any]:
    """Everything ever booked."""
    book: dict[str, Any] = (await bank.get("/_sandbox/book")).json()
    return book


async def read_changes(bank: httpx.AsyncClient, cursor: str = "", limit: int = 100) -> tuple[list[dict[str, Any]], str]:
    """All changes behind the cursor, page by page, and the cursor to go on from."""
    changes: list[dict[str, Any]] = []
    while True:
        page = (await bank.get("/transfers", params={"updated_since": cursor, "limit": limit})).json()
        changes += page["items"]
        if not page["items"]:
            return changes, page["next_cursor"]
        assert page["next_cursor"] != cursor, "a page that leads back to itself is read for ever"
        cursor = page["next_cursor"]
