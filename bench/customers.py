"""Customers who withdraw once each, through the HTTP API as the console calls it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import aiohttp

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
    """The API and the sandbox, as the customers and their phones reach them.

    By aiohttp, which costs a quarter of httpx: what the benchmark itself uses is missing to those who are measured.
    """

    http: aiohttp.ClientSession
    api_url: str
    sandbox_url: str
    run: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, api_url: str, sandbox_url: str) -> AsyncIterator[Desk]:
        """Until the block is left; proxies of the environment are not asked."""
        async with aiohttp.ClientSession(raise_for_status=True, timeout=aiohttp.ClientTimeout(60)) as http:
            yield cls(http, api_url, sandbox_url)

    async def bearer(self, scope: str, **claims: str) -> dict[str, str]:
        """A token for somebody of this scope."""
        asked = {"scope": scope, "sub": f"bench-{scope}", **claims}
        async with self.http.post(f"{self.sandbox_url}/_sandbox/token", json=asked) as issued:
            return {"Authorization": f"Bearer {(await issued.json())['access_token']}"}

    async def register(self, billing: dict[str, str]) -> Customer:
        """A new account, verified and topped up; nobody measures this."""
        number = next(_numbers)
        account, phone = f"bench_{self.run}_{number}", f"13{(self.run * 1000 + number) % 10**9:09d}"
        path = f"{self.api_url}/v1/accounts/{account}"
        registration = {
            "subject_type": "company", "subject_name": NAME, "verified": True, "phone": phone,
            "suspended": False, "pay_as_you_use": False,
        }  # fmt: skip
        async with self.http.put(path, json=registration, headers=billing):
            pass
        top_up = {"reference": "first", "amount": "1000.00"}
        async with self.http.post(f"{path}/top-ups", json=top_up, headers=billing):
            pass
        bearer = await self.bearer("withdrawals", account_id=account, sub=account)
        return Customer(account, phone, f"62284800{number:011d}", bearer)

    async def register_many(self, count: int) -> list[Customer]:
        """So many customers, eight at a time."""
        billing = await self.bearer("billing")
        return await at_once(8, [lambda: self.register(billing)] * count)

    async def apply(self, customer: Customer, key: str | None = None) -> UUID:
        """The application form; answered once the code was sent."""
        card = {
            "account_name": NAME, "bank_name": "招商银行", "branch_name": "上海分行张江支行",
            "card_number": customer.card_number,
        }  # fmt: skip
        form = {"account_id": customer.account_id, "amount": "500.00", "bank_card": card}
        headers = customer.bearer | {"Idempotency-Key": key or customer.account_id}
        async with self.http.post(f"{self.api_url}/v1/withdrawals", json=form, headers=headers) as applied:
            return UUID((await applied.json())["id"])

    async def code(self, customer: Customer) -> str:
        """Read from the customer's phone; an application that was answered 202 has its code a moment later."""
        for _ in range(200):
            async with self.http.get(f"{self.sandbox_url}/_sandbox/messages?phone={customer.phone}") as inbox:
                if messages := await inbox.json():
                    return str(messages[0]["code"])
            await asyncio.sleep(0.1)
        raise TimeoutError("no code came")

    async def verify(self, customer: Customer, withdrawal_id: UUID, code: str) -> None:
        """The code; answered once the amount is frozen."""
        path = f"{self.api_url}/v1/withdrawals/{withdrawal_id}/verification"
        async with self.http.post(path, json={"code": code}, headers=customer.bearer):
            pass

    async def cancel(self, customer: Customer, withdrawal_id: UUID) -> None:
        """Ends it before the bank is asked."""
        path = f"{self.api_url}/v1/withdrawals/{withdrawal_id}/cancel"
        async with self.http.post(path, headers=customer.bearer):
            pass

    async def withdraw(self, customer: Customer) -> UUID:
        """Applies and enters the code; the bank's part follows by itself."""
        withdrawal_id = await self.apply(customer)
        await self.verify(customer, withdrawal_id, await self.code(customer))
        return withdrawal_id

    async def read(self, customer: Customer, path: str) -> Any:
        """What the API says under a path."""
        async with self.http.get(f"{self.api_url}{path}", headers=customer.bearer) as answer:
            return await answer.json()


async def at_once(limit: int, jobs: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
    """All of them, so many at a time; the first failure ends them."""
    turns = asyncio.Semaphore(limit)

    async def one(job: Callable[[], Awaitable[Result]]) -> Result:
        async with turns:
            return await job()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(job)) for job in jobs]
    return [task.result() for task in tasks]
