"""Customers who withdraw once each, through the HTTP API as the console calls it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import httpx

NAME = "云上科技（上海）有限公司"

Result = TypeVar("Result")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Customer:
    """An account with 1,000.00, and a token of its owner."""

    account_id: str
    phone: str
    card_number: str
    bearer: dict[str, str] = field(repr=False)


@dataclass
class Desk:
    """The API and the sandbox, as the customers and their banks reach them."""

    api: httpx.AsyncClient
    sandbox: httpx.AsyncClient
    run: int = field(default_factory=lambda: int(time.time()))

    async def bearer(self, scope: str, **claims: str) -> dict[str, str]:
        """A token for somebody of this scope."""
        issued = await self.sandbox.post("/_sandbox/token", json={"scope": scope, "sub": f"bench-{scope}", **claims})
        return {"Authorization": f"Bearer {issued.raise_for_status().json()['access_token']}"}

    async def register(self, billing: dict[str, str]) -> Customer:
        """A new account, verified and topped up; nobody measures this."""
        number = next(_numbers)
        account, phone = f"bench_{self.run}_{number}", f"13{(self.run * 1000 + number) % 10**9:09d}"
        registration = {
            "subject_type": "company", "subject_name": NAME, "verified": True, "phone": phone,
            "suspended": False, "pay_as_you_use": False,
        }  # fmt: skip
        (await self.api.put(f"/v1/accounts/{account}", json=registration, headers=billing)).raise_for_status()
        top_up = {"reference": "first", "amount": "1000.00"}
        (await self.api.post(f"/v1/accounts/{account}/top-ups", json=top_up, headers=billing)).raise_for_status()
        bearer = await self.bearer("withdrawals", account_id=account, sub=account)
        return Customer(account, phone, f"62284800{number:011d}", bearer)

    async def register_many(self, count: int) -> list[Customer]:
        """So many customers, eight at a time."""
        billing = await self.bearer("billing")
        return await at_once(8, [lambda: self.register(billing)] * count)

    async def apply(self, customer: Customer) -> UUID:
        """The application form; answered once the code was sent."""
        card = {
            "account_name": NAME, "bank_name": "招商银行", "branch_name": "上海分行张江支行",
            "card_number": customer.card_number,
        }  # fmt: skip
        form = {"account_id": customer.account_id, "amount": "500.00", "bank_card": card}
        headers = customer.bearer | {"Idempotency-Key": customer.account_id}
        applied = await self.api.post("/v1/withdrawals", json=form, headers=headers)
        return UUID(applied.raise_for_status().json()["id"])

    async def code(self, customer: Customer) -> str:
        """Read from the customer's phone."""
        inbox = await self.sandbox.get(f"/_sandbox/messages?phone={customer.phone}")
        return str(inbox.raise_for_status().json()[0]["code"])

    async def verify(self, customer: Customer, withdrawal_id: UUID, code: str) -> None:
        """The code; answered once the amount is frozen."""
        path = f"/v1/withdrawals/{withdrawal_id}/verification"
        (await self.api.post(path, json={"code": code}, headers=customer.bearer)).raise_for_status()

    async def withdraw(self, customer: Customer) -> UUID:
        """Applies and enters the code; the bank's part follows by itself."""
        withdrawal_id = await self.apply(customer)
        await self.verify(customer, withdrawal_id, await self.code(customer))
        return withdrawal_id

    async def read(self, customer: Customer, withdrawal_id: UUID) -> dict[str, Any]:
        """How it stands."""
        answer = await self.api.get(f"/v1/withdrawals/{withdrawal_id}", headers=customer.bearer)
        content: dict[str, Any] = answer.raise_for_status().json()
        return content


async def at_once(limit: int, jobs: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
    """All of them, so many at a time; the first failure ends them."""
    turns = asyncio.Semaphore(limit)

    async def one(job: Callable[[], Awaitable[Result]]) -> Result:
        async with turns:
            return await job()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(job)) for job in jobs]
    return [task.result() for task in tasks]
