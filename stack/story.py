"""The story the demo tells: two withdrawals, seen and done through HTTP only, as any client would."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import httpx
from rich.console import Console

_PATIENCE_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2

Json = dict[str, Any]
T = TypeVar("T")


class StoryBroken(Exception):
    """Something did not happen as the story says."""


@dataclass(frozen=True, slots=True)
class Customer:
    """An account and the bank card in the name of its subject."""

    account_id: str
    subject_type: str
    name: str
    phone: str
    pay_as_you_use: bool
    cash: str
    vouchers: str
    card: dict[str, str]


PERSON: Final = Customer(
    account_id="acct_1001",
    subject_type="person",
    name="张三",
    phone="13800001234",
    pay_as_you_use=True,
    cash="1280.00",
    vouchers="100.00",
    card={
        "account_name": "张三",
        "bank_name": "平安银行",
        "branch_name": "上海分行营业部",
        "card_number": "6230580000000000013",
    },
)
COMPANY: Final = Customer(
    account_id="acct_2002",
    subject_type="company",
    name="云上科技（上海）有限公司",
    phone="13900005678",
    pay_as_you_use=False,
    cash="8000.00",
    vouchers="0.00",
    card={
        "account_name": "云上科技（上海）有限公司",
        "bank_name": "招商银行",
        "branch_name": "上海分行张江支行",
        "card_number": "6228480000000000711",
    },
)


class Story:
    """Tells what it does on the console, and checks every amount and status it tells."""

    def __init__(
        self,
        console: Console,
        api: httpx.Client,
        sandbox: httpx.Client,
        temporal_ui: str,
        *,
        bank_takes_seconds: float = 3.0,
    ) -> None:
        self._console = console
        self._api = api
        self._sandbox = sandbox
        self._temporal_ui = temporal_ui
        self._bank_takes_seconds = bank_takes_seconds

    def tell(self) -> None:
        """Both withdrawals; raises StoryBroken at the first thing that is not as told."""
        self._ask(self._sandbox, "PUT", "/_sandbox/settings", {"settle_after_s": self._bank_takes_seconds})
        self._title("1. A withdrawal that is paid")
        self._tell_paid(PERSON, "500.00")
        self._title("2. A withdrawal the bank refuses, and the money comes back")
        self._tell_refused(COMPANY, "3000.00")

    def _tell_paid(self, customer: Customer, amount: str) -> None:
        before = self._open_account(customer)
        withdrawal = self._apply_and_verify(customer, amount, before)
        final = self._follow(customer, withdrawal["id"], "paid")
        after = self._show_account(customer, "afterwards")
        self._require(_fen(after["cash_balance"]) == _fen(before["cash_balance"]) - _fen(amount), "the cash went down")
        self._require(_fen(after["frozen"]) == 0, "nothing stays frozen")
        booked = self._bank_entries(final["id"])
        self._require([entry["state"] for entry in booked] == ["succeeded"], "the bank paid it once")
        self._require(_fen(booked[0]["amount"]) == _fen(amount), "the bank paid this amount")
        self._say(f"the bank's own book has it once: {_money(amount)} [green]paid[/]")
        self._show_events(customer, final["id"])

    def _tell_refused(self, customer: Customer, amount: str) -> None:
        before = self._open_account(customer)
        card = customer.card["card_number"]
        self._ask(self._sandbox, "PUT", f"/_sandbox/cards/{card}", {"behaviour": "accept_then_fail"})
        withdrawal = self._apply_and_verify(customer, amount, before)
        final = self._follow(customer, withdrawal["id"], "failed")
        after = self._show_account(customer, "afterwards")
        self._require(after["cash_balance"] == before["cash_balance"], "all of the cash is back")
        self._require(after["withdrawable"] == before["withdrawable"], "all of it can be withdrawn again")
        self._require(_fen(after["frozen"]) == 0, "nothing stays frozen")
        booked = self._bank_entries(final["id"])
        self._require([entry["state"] for entry in booked] == ["failed"], "the bank paid nothing")
        self._say(f"[yellow]{final['failure']['message']}[/]")
        self._say(f"{_money(amount)} can be withdrawn again, this very month")
        self._show_events(customer, final["id"])

    def _open_account(self, customer: Customer) -> Json:
        billing = self._token("billing", sub="billing-system")
        path = f"/v1/accounts/{customer.account_id}"
        subject = {
            "subject_type": customer.subject_type,
            "subject_name": customer.name,
            "verified": True,
            "phone": customer.phone,
            "suspended": False,
            "pay_as_you_use": customer.pay_as_you_use,
        }
        self._ask(self._api, "PUT", path, subject, token=billing)
        self._say(f"{customer.name} ({customer.account_id}) is verified and tops up the account")
        for kind, amount in (("top-ups", customer.cash), ("vouchers", customer.vouchers)):
            if _fen(amount):
                booking = {"reference": f"{kind}-{customer.account_id}", "amount": amount}
                self._ask(self._api, "POST", f"{path}/{kind}", booking, token=billing)
        return self._show_account(customer, "before")

    def _apply_and_verify(self, customer: Customer, amount: str, before: Json) -> Json:
        token = self._customer_token(customer)
        application = {"account_id": customer.account_id, "amount": amount, "bank_card": customer.card}
        key = {"Idempotency-Key": str(uuid.uuid4())}
        withdrawal = self._ask(self._api, "POST", "/v1/withdrawals", application, token=token, headers=key)
        self._require(withdrawal["status"] == "awaiting_verification", "it waits for the phone code")
        self._say(
            f"applies for [bold]{_money(amount)}[/] to {withdrawal['bank_card']['bank_name']} "
            f"{withdrawal['bank_card']['card_number']}: {withdrawal['status']}"
        )
        link = f"{self._temporal_ui}/namespaces/default/workflows/withdrawal-{withdrawal['id']}"
        self._say(f"the run in the Temporal UI: {link}")
        code = self._read_code(customer)
        self._say(f"the SMS to {withdrawal['phone']} says [bold]{code}[/]")
        verification = f"/v1/withdrawals/{withdrawal['id']}/verification"
        verified = self._ask(self._api, "POST", verification, {"code": code}, token=token)
        window = verified["arrival_window"]
        self._say(f"[italic]{verified['message']}[/]")
        self._say(
            f"between {window['earliest']} and {window['latest']}"
            + (" (provisional: next year's calendar is not published yet)" if window["provisional"] else "")
        )
        frozen = self._show_account(customer, "meanwhile")
        self._require(frozen["frozen"] == amount, "exactly the amount is frozen")
        self._require(frozen["cash_balance"] == before["cash_balance"], "frozen cash is still the customer's")
        return verified

    def _follow(self, customer: Customer, withdrawal_id: str, expected: str) -> Json:
        """Reads the withdrawal until it has the expected status; every status on the way is told."""
        token = self._customer_token(customer)
        seen: list[str] = []

        def arrived() -> Json | None:
            withdrawal = self._ask(self._api, "GET", f"/v1/withdrawals/{withdrawal_id}", token=token)
            if withdrawal["status"] not in seen:
                seen.append(withdrawal["status"])
                self._say(f"the withdrawal is [bold]{withdrawal['status']}[/]")
            self._require(withdrawal["status"] in {"processing", expected}, f"it goes on to {expected}")
            return withdrawal if withdrawal["status"] == expected else None

        return self._wait_for(arrived, f"the withdrawal to be {expected}, it went {seen}")

    def _show_account(self, customer: Customer, when: str) -> Json:
        token = self._customer_token(customer)
        account = self._ask(self._api, "GET", f"/v1/accounts/{customer.account_id}", token=token)
        self._say(
            f"{when:<10}  cash {_money(account['cash_balance'])} · frozen {_money(account['frozen'])}"
            f" · reserve {_money(account['reserved'])} · withdrawable {_money(account['withdrawable'])}"
        )
        return account

    def _show_events(self, customer: Customer, withdrawal_id: str) -> None:
        token = self._customer_token(customer)
        events = self._ask(self._api, "GET", f"/v1/withdrawals/{withdrawal_id}/events", token=token)["items"]
        self._require(bool(events), "there is a record of what happened")
        self._say("[dim]what is on record:[/]")
        for event in events:
            at = datetime.fromisoformat(event["at"])
            self._say(f"[dim]  {at:%H:%M:%S.%f}  {event['kind']:<14} {event['status']:<22} {event['by']}[/]")

    def _read_code(self, customer: Customer) -> str:
        def newest() -> str | None:
            inbox = self._sandbox.get("/_sandbox/messages", params={"phone": customer.phone}).json()
            return inbox[0]["code"] if inbox else None

        return self._wait_for(newest, f"the SMS to {customer.phone}")

    def _bank_entries(self, withdrawal_id: str) -> list[Json]:
        book = self._ask(self._sandbox, "GET", "/_sandbox/book")
        return [entry for entry in book["transfers"] if entry["client_ref"] == withdrawal_id]

    def _customer_token(self, customer: Customer) -> str:
        return self._token("withdrawals", sub=f"user-of-{customer.account_id}", account_id=customer.account_id)

    def _token(self, scope: str, **claims: str) -> str:
        issued = self._ask(self._sandbox, "POST", "/_sandbox/token", {"scope": scope, **claims})
        token: str = issued["access_token"]
        return token

    def _ask(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Json:
        sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        answer = client.request(method, path, json=body, headers=sent)
        if not answer.is_success:
            raise StoryBroken(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        answered: Json = answer.json() if answer.content else {}
        return answered

    def _wait_for(self, look: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise StoryBroken(f"waited {_PATIENCE_SECONDS:.0f} s for {what}")
            time.sleep(_POLL_SECONDS)
        return found

    def _say(self, line: str) -> None:
        # Wrapped by the terminal only: links and amounts stay whole, in a file too.
        self._console.print(f"   {line}", soft_wrap=True, highlight=False)

    def _require(self, holds: bool, claim: str) -> None:
        if not holds:
            raise StoryBroken(f"not as told: {claim}")

    def _title(self, title: str) -> None:
        self._console.print(f"\n[bold]{title}[/]")


def _fen(amount: str) -> int:
    return int(Decimal(amount) * 100)


def _money(amount: str) -> str:
    return f"{Decimal(amount):,.2f} CNY"
