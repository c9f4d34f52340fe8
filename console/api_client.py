"""The console's way to the HTTP API: one person's calls, and every refusal as a fact."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from console.people import Person

Json = dict[str, Any]


class Refused(Exception):
    """The API understood and said no. ``errors`` are the problem document's entries ``{code, message, field?}``."""

    def __init__(self, status: int, problem: Json, retry_after_s: int | None) -> None:
        self.status = status
        self.code = str(problem.get("code", "internal_error"))
        self.errors: list[Json] = [error for error in problem.get("errors", ()) if isinstance(error, dict)]
        self.facts = problem
        self.retry_after_s = retry_after_s
        super().__init__(f"{status} {self.code}")


class Away(Exception):
    """The API or something behind it does not answer now. Whether the call was carried out is not known."""


class SessionOver(Exception):
    """The API no longer takes the person's token."""


@dataclass(frozen=True)
class ApiClient:
    """Calls the API with the token that ``token_of`` has for a person; ``anew`` asks for another than the last."""

    http: httpx.AsyncClient
    token_of: Callable[[Person, bool], Awaitable[str]]

    def of(self, person: Person) -> Calls:
        """The calls of this person."""
        return Calls(self, person)

    async def call(self, person: Person, method: str, path: str, **options: Any) -> Json:
        """The answer's body; ``Refused``, ``Away`` or ``SessionOver``. A token refused once is asked for anew."""
        headers = options.pop("headers", {})
        for anew in (False, True):
            try:
                token = await self.token_of(person, anew)
                bearer = {"Authorization": f"Bearer {token}"}
                answer = await self.http.request(method, path, headers=headers | bearer, **options)
            except httpx.HTTPError as unreachable:
                raise Away from unreachable
            if answer.status_code != HTTPStatus.UNAUTHORIZED:
                return _read(answer)
        raise SessionOver


@dataclass(frozen=True)
class Calls:
    """What one person can ask of the API. Ids in paths are UUIDs by the time they get here."""

    _client: ApiClient
    _person: Person = field(repr=False)

    async def account(self) -> Json:
        """The person's own account."""
        return await self._get(f"/v1/accounts/{self._person.account_id}")

    async def apply(self, application: Json, *, key: str) -> Json:
        """Applies; the same key again gives the same withdrawal."""
        return await self._post("/v1/withdrawals", application, {"Idempotency-Key": key})

    async def verify(self, withdrawal_id: str, code: str) -> Json:
        """Enters the code."""
        return await self._post(f"/v1/withdrawals/{withdrawal_id}/verification", {"code": code})

    async def resend(self, withdrawal_id: str) -> Json:
        """Asks for another code."""
        return await self._post(f"/v1/withdrawals/{withdrawal_id}/verification/resend")

    async def cancel(self, withdrawal_id: str) -> Json:
        """Cancels."""
        return await self._post(f"/v1/withdrawals/{withdrawal_id}/cancel")

    async def decide(self, withdrawal_id: str, decision: str, note: str) -> Json:
        """Approves or rejects."""
        return await self._post(f"/v1/withdrawals/{withdrawal_id}/decision", {"decision": decision, "note": note})

    async def resolve(self, withdrawal_id: str, outcome: str, evidence: str) -> Json:
        """Settles a transfer under review."""
        body = {"outcome": outcome, "evidence": evidence}
        return await self._post(f"/v1/withdrawals/{withdrawal_id}/resolution", body)

    async def withdrawal(self, withdrawal_id: str) -> Json:
        """One withdrawal."""
        return await self._get(f"/v1/withdrawals/{withdrawal_id}")

    async def events(self, withdrawal_id: str) -> list[Json]:
        """What happened to it, oldest first."""
        items: list[Json] = (await self._get(f"/v1/withdrawals/{withdrawal_id}/events"))["items"]
        return items

    async def record(self, **wanted: str | int | None) -> Json:
        """A page of the Withdrawal Record."""
        return await self._get("/v1/withdrawals", {name: value for name, value in wanted.items() if value is not None})

    async def differences(self) -> Json:
        """Where the bank's book and ours differ."""
        return await self._get("/v1/reconciliation")

    async def close_difference(self, difference_id: int, note: str) -> Json:
        """Says how a difference was dealt with."""
        return await self._post(f"/v1/reconciliation/{difference_id}/closing", {"note": note})

    async def register(self, account_id: str, registration: Json) -> Json:
        """Billing: whom an account belongs to."""
        return await self._client.call(self._person, "PUT", f"/v1/accounts/{account_id}", json=registration)

    async def book(self, account_id: str, kind: str, reference: str, amount: str) -> Json:
        """Billing: ``kind`` is ``top-ups``, ``charges`` or ``vouchers``; booked once a reference."""
        body = {"reference": reference, "amount": amount}
        return await self._post(f"/v1/accounts/{account_id}/{kind}", body)

    async def _get(self, path: str, params: Json | None = None) -> Json:
        return await self._client.call(self._person, "GET", path, params=params)

    async def _post(self, path: str, body: Json | None = None, headers: Json | None = None) -> Json:
        return await self._client.call(self._person, "POST", path, json=body, headers=headers or {})


def _read(answer: httpx.Response) -> Json:
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Away
    if answer.status_code == HTTPStatus.NO_CONTENT:
        return {}
    try:
        body = answer.json()
    except ValueError as unreadable:
        raise Away from unreadable
    if not isinstance(body, dict):
        raise Away
    if answer.is_success:
        return body
    after = answer.headers.get("Retry-After", "")
    raise Refused(answer.status_code, body, int(after) if after.isdecimal() else None)
