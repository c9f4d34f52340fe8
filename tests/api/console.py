"""A client of the API for every kind of caller, and a look at the ledger behind it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from ledger.database import Database
from ledger.invariants import violations
from tests.api.issuer import TestIssuer
from tests.api.played_engine import PlayedEngine

Json = dict[str, Any]

PERSONS_CARD = {
    "account_name": "张三",
    "bank_name": "平安银行",
    "branch_name": "上海分行营业部",
    "card_number": "6230580000000000013",
}
COMPANYS_CARD = PERSONS_CARD | {
    "account_name": "云上科技（上海）有限公司",
    "bank_name": "招商银行",
    "card_number": "6228480000000000711",
}

_TABLES = (
    "accounts",
    "balances",
    "transactions",
    "postings",
    "withdrawals",
    "withdrawal_events",
    "verifications",
    "decisions",
    "resolutions",
    "transfers",
    "idempotency_keys",
    "account_changes",
    "daily_uses",
    "sms_budget",
)


@dataclass
class Console:
    """Each call says who makes it; the default is the customer of acct_1001."""

    http: httpx.AsyncClient
    issuer: TestIssuer
    engine: PlayedEngine
    database: Database
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def bearer(self, **claims: Any) -> dict[str, str]:
        """The header of a good token with these claims."""
        return {"Authorization": f"Bearer {self.issuer.token(**claims)}"}

    async def as_customer(self, method: str, path: str, *, of: str = "acct_1001", **more: Any) -> httpx.Response:
        """The customer's console calls."""
        sub = "customer-1" if of == "acct_1001" else f"customer-of-{of}"
        return await self._call(method, path, self.bearer(account_id=of, sub=sub), more)

    async def as_finance(self, method: str, path: str, *, who: str = "fin-1", **more: Any) -> httpx.Response:
        """Somebody of finance calls."""
        return await self._call(method, path, self.bearer(scope="finance", sub=who, account_id=None), more)

    async def as_operations(self, method: str, path: str, **more: Any) -> httpx.Response:
        """An operator calls."""
        return await self._call(method, path, self.bearer(scope="operations", sub="op-1", account_id=None), more)

    async def as_billing(self, method: str, path: str, **more: Any) -> httpx.Response:
        """The billing system calls."""
        return await self._call(method, path, self.bearer(scope="billing", sub="billing", account_id=None), more)

    async def open_account(self, account_id: str, *, cash: str | None = None, **changed: Any) -> None:
        """Registers an account as billing does, and tops it up."""
        answer = await self.as_billing("PUT", f"/v1/accounts/{account_id}", json=registration(**changed))
        assert answer.status_code == 200, answer.text
        if cash is not None:
            await self.book(account_id, "top-ups", cash)

    async def book(self, account_id: str, what: str, amount: str) -> None:
        """One top-up, charge or voucher."""
        booking = {"reference": f"{what}-{next(self._numbers)}", "amount": amount}
        answer = await self.as_billing("POST", f"/v1/accounts/{account_id}/{what}", json=booking)
        assert answer.status_code == 201, answer.text

    async def apply(
        self, *, of: str = "acct_1001", key: str | None = None, headers: Json | None = None, **changed: Any
    ) -> httpx.Response:
        """One application, under a key of its own unless one is given."""
        sent = {"Idempotency-Key": key or f"key-{next(self._numbers)}", **(headers or {})}
        return await self.as_customer("POST", "/v1/withdrawals", of=of, headers=sent, json=application(of, **changed))

    async def applied(self, **how: Any) -> Json:
        """An application that was taken."""
        answer = await self.apply(**how)
        assert answer.status_code == 201, answer.text
        taken: Json = answer.json()
        return taken

    async def verify(self, withdrawal: Json, code: str | None = None) -> httpx.Response:
        """Enters a code: the right one unless another is given."""
        sent = {"code": code or self.code(withdrawal)}
        path = f"/v1/withdrawals/{withdrawal['id']}/verification"
        return await self.as_customer("POST", path, of=withdrawal["account_id"], json=sent)

    async def verified(self, **how: Any) -> Json:
        """An application whose phone is verified."""
        answer = await self.verify(await self.applied(**how))
        assert answer.status_code == 200, answer.text
        taken: Json = answer.json()
        return taken

    def code(self, withdrawal: Json) -> str:
        """What the newest SMS said."""
        return self.engine.codes[UUID(withdrawal["id"])]

    def wrong_code(self, withdrawal: Json) -> str:
        """Six digits, and not the right ones."""
        return "000000" if self.code(withdrawal) != "000000" else "111111"

    async def account(self, account_id: str = "acct_1001") -> Json:
        """The account as its customer sees it."""
        answer = await self.as_customer("GET", f"/v1/accounts/{account_id}", of=account_id)
        assert answer.status_code == 200, answer.text
        seen: Json = answer.json()
        return seen

    async def read(self, withdrawal: Json) -> Json:
        """The withdrawal as its customer sees it now."""
        path = f"/v1/withdrawals/{withdrawal['id']}"
        answer = await self.as_customer("GET", path, of=withdrawal["account_id"])
        assert answer.status_code == 200, answer.text
        seen: Json = answer.json()
        return seen

    def rows(self) -> dict[str, list[Any]]:
        """Every row of the ledger."""
        with self.database.snapshot() as connection:
            return {
                table: sorted(connection.execute(text(f"SELECT md5(t::text) FROM {table} t")).scalars().all())
                for table in _TABLES
            }

    def count(self, table: str) -> int:
        """How many rows a table has."""
        return len(self.rows()[table])

    @asynccontextmanager
    async def nothing_changes(self) -> AsyncIterator[None]:
        """Whatever is refused inside leaves every row of the ledger as it was."""
        before = self.rows()
        yield
        assert self.rows() == before
        self.holds()

    def holds(self) -> None:
        """Every invariant of the ledger holds."""
        assert violations(self.database) == []

    async def _call(self, method: str, path: str, bearer: Json, more: Json) -> httpx.Response:
        headers = bearer | (more.pop("headers", None) or {})
        return await self.http.request(method, path, headers=headers, **more)


def registration(name: str = "张三", **changed: Any) -> Json:
    """A verified person with a phone."""
    return {
        "subject_type": "person",
        "subject_name": name,
        "verified": True,
        "phone": "13800001234",
        "suspended": False,
        "pay_as_you_use": False,
    } | changed


def application(of: str = "acct_1001", **changed: Any) -> Json:
    """500.00 to the account's own card."""
    card = PERSONS_CARD if of == "acct_1001" else COMPANYS_CARD
    return {"account_id": of, "amount": "500.00", "bank_card": dict(card)} | changed


def refused(answer: httpx.Response, status: int, code: str) -> Json:
    """The problem document, which has the shape of RFC 9457 and the contract's code."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem: Json = answer.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def fields(problem: Json) -> list[str]:
    """Which fields a problem names."""
    return sorted(error.get("field", "") for error in problem["errors"])


def codes(problem: Json) -> list[str]:
    """Which reasons a problem gives."""
    return [error["code"] for error in problem["errors"]]
