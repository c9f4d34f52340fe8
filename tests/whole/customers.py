"""A customer with an account, a phone and a card, who does what the console would do for them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.whole.waiting import until

NAME = "云上科技（上海）有限公司"

Json = dict[str, Any]


@dataclass(frozen=True)
class Customer:
    """Every call is made with a token for this account and no other."""

    api: httpx.Client = field(repr=False)
    sandbox: httpx.Client = field(repr=False)
    bearer: dict[str, str] = field(repr=False)
    account_id: str
    phone: str
    card_number: str
    name: str = NAME

    def apply(self, amount: str = "500.00", *, key: str | None = None) -> httpx.Response:
        """One application, under a key of its own unless one is given."""
        application = {
            "account_id": self.account_id,
            "amount": amount,
            "bank_card": {
                "account_name": self.name,
                "bank_name": "招商银行",
                "branch_name": "上海分行张江支行",
                "card_number": self.card_number,
            },
        }
        headers = self.bearer | {"Idempotency-Key": key or str(uuid.uuid4())}
        return self.api.post("/v1/withdrawals", json=application, headers=headers)

    def applied(self, amount: str = "500.00") -> str:
        """The id of an application that was taken, and whose code was sent."""
        answer = self.apply(amount)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def messages(self) -> list[Json]:
        """The SMS on the phone, newest first."""
        inbox: list[Json] = self.sandbox.get("/_sandbox/messages", params={"phone": self.phone}).json()
        return inbox

    def code(self) -> str:
        """What the newest SMS says, as soon as it is there."""
        return str(until(self.messages, f"an SMS to {self.phone}")[0]["code"])

    def enter(self, withdrawal_id: str, code: str) -> httpx.Response:
        """Enters a code."""
        return self.api.post(f"/v1/withdrawals/{withdrawal_id}/verification", json={"code": code}, headers=self.bearer)

    def verified(self, amount: str = "500.00") -> str:
        """The id of an application whose right code was entered."""
        withdrawal_id = self.applied(amount)
        answer = self.enter(withdrawal_id, self.code())
        assert answer.status_code == 200, answer.text
        return withdrawal_id

    def cancel(self, withdrawal_id: str) -> httpx.Response:
        """Cancels."""
        return self.api.post(f"/v1/withdrawals/{withdrawal_id}/cancel", headers=self.bearer)

    def read(self, withdrawal_id: str) -> Json:
        """The withdrawal as it stands."""
        return self._get(f"/v1/withdrawals/{withdrawal_id}")

    def status(self, withdrawal_id: str) -> str:
        """Where it stands."""
        return str(self.read(withdrawal_id)["status"])

    def becomes(self, withdrawal_id: str, status: str, *, seconds: float = 30) -> Json:
        """The withdrawal, once it has this status."""

        def arrived() -> bool:
            return self.status(withdrawal_id) == status

        until(arrived, f"{withdrawal_id} {status}", seconds=seconds)
        return self.read(withdrawal_id)

    def record(self) -> list[Json]:
        """The Withdrawal Record, newest first."""
        items: list[Json] = self._get("/v1/withdrawals?limit=100")["items"]
        return items

    def events(self, withdrawal_id: str) -> list[str]:
        """What happened to it, oldest first."""
        return [event["kind"] for event in self._get(f"/v1/withdrawals/{withdrawal_id}/events")["items"]]

    def money(self) -> tuple[str, str]:
        """The cash, and how much of it is frozen."""
        account = self._get(f"/v1/accounts/{self.account_id}")
        return account["cash_balance"], account["frozen"]

    def _get(self, path: str) -> Json:
        answer = self.api.get(path, headers=self.bearer)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found
