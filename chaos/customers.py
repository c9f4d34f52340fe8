"""The load: customers who apply, mistype, click twice, cancel, use their products, and ask again after any doubt."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from chaos.calls import Answer, Calls, GaveUp
from chaos.crowd import at_once
from chaos.finance import PEOPLE, Finance
from chaos.journal import Json, Outcome
from chaos.plans import Plan, drawn

NAME = "云上科技（上海）有限公司"
AT_ONCE = 16

_CODE_SECONDS = 25.0
_FOLLOWED_SECONDS = 12.0
_FINAL = frozenset({"paid", "returned", "failed", "expired", "cancelled", "rejected"})
_MONTH_GIVEN_BACK = _FINAL - {"paid"}


@dataclass(frozen=True)
class Customer:
    """Who they are; everything follows from their number."""

    number: int

    @property
    def account_id(self) -> str:
        return f"acct_{self.number}"

    @property
    def user(self) -> str:
        return f"user-of-{self.account_id}"

    @property
    def phone(self) -> str:
        return f"139{self.number:08d}"

    @property
    def card_number(self) -> str:
        return f"62284800{self.number:011d}"


class Load:
    """All customers, `AT_ONCE` at a time, beginning one after the other over `seconds`."""

    def __init__(self, calls: Calls, seed: int, customers: int, seconds: float) -> None:
        self.over = threading.Event()
        self.gave_up: list[str] = []
        self._calls = calls
        self._seed = seed
        self._customers = [Customer(number) for number in range(1, customers + 1)]
        self._seconds = seconds

    def run(self) -> None:
        """Returns when the last customer is done, or the time for everything is over."""
        begun = time.monotonic()
        try:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for begins, customer in enumerate(self._customers):
                    due = begun + self._seconds * begins / len(self._customers)
                    threads.submit(self._live, customer, due)
        finally:
            self.over.set()

    def _live(self, customer: Customer, due: float) -> None:
        chance = random.Random(f"{self._seed}:{customer.number}")
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            Visit(self._calls, customer, chance).live()
        except GaveUp as gave_up:
            self.gave_up.append(f"{customer.account_id}: {gave_up}")
        except Exception as broken:  # noqa: BLE001 - a bug of the programme's own must not go unseen
            self.gave_up.append(f"{customer.account_id}: {broken!r}")


class Visit:
    """One customer's time with us: one application, and at times another after it came to nothing."""

    def __init__(self, calls: Calls, customer: Customer, chance: random.Random) -> None:
        self._calls = calls
        self._customer = customer
        self._chance = chance
        self._finance = Finance(calls)

    def live(self) -> None:
        """Raises GaveUp where the time for everything is over."""
        self._register()
        status = self._withdraw(drawn(self._chance))
        if status in _MONTH_GIVEN_BACK and self._chance.random() < 0.5:
            self._withdraw(drawn(self._chance))

    def _withdraw(self, plan: Plan) -> str:
        """The status that was last seen."""
        card = {"behaviour": plan.behaviour}
        path = f"/_sandbox/cards/{self._customer.card_number}"
        self._calls.until_ok(lambda: self._calls.sandbox("card", "PUT", path, card))
        self._book("top-ups", plan.top_up_fen)
        withdrawal_id = self._apply(plan)
        if withdrawal_id is None:
            return ""
        if plan.charge_fen:  # Cash, not what is frozen; it may leave too little for the freeze.
            self._book("charges", plan.charge_fen)
        if plan.cancels == "before":
            self._cancel(withdrawal_id)
        else:
            self._verify(withdrawal_id, plan)
            if plan.cancels == "after":
                self._cancel(withdrawal_id)
        if plan.approvals:
            self._be_decided_on(withdrawal_id, plan)
        return self._follow(withdrawal_id)

    # Billing.

    def _register(self) -> None:
        registration = {
            "subject_type": "company",
            "subject_name": NAME,
            "verified": True,
            "phone": self._customer.phone,
            "suspended": False,
            "pay_as_you_use": False,
        }
        self._calls.until_ok(partial(self._billing, "register", "PUT", "", registration))

    def _book(self, what: str, fen: int) -> None:
        """The same reference again until it is known to be booked."""
        booking = {"reference": f"{what}-{self._chance.getrandbits(64):x}", "amount": as_yuan(fen)}
        self._calls.until_ok(partial(self._billing, what, "POST", f"/{what}", booking))

    def _billing(self, kind: str, method: str, path: str, body: Json) -> Answer:
        facts = {name: body[name] for name in ("reference", "amount") if name in body}
        where = f"/v1/accounts/{self._customer.account_id}{path}"
        bearer = self._calls.bearer("billing", "billing")
        account_id = self._customer.account_id
        return self._calls.api(kind, method, where, account_id=account_id, bearer=bearer, body=body, facts=facts)

    # The customer's own calls.

    def _apply(self, plan: Plan) -> str | None:
        """The id, or None if the rules said no."""
        key = self._new_key()
        while True:
            clicks = 2 if plan.double_click else 1
            answers = at_once([partial(self._apply_once, plan, key)] * clicks)
            taken = next((one for one in answers if one.outcome is Outcome.OK), answers[0])
            if taken.outcome is Outcome.OK:
                return str(taken.body["id"])
            if taken.code == "withdrawal_in_progress":
                return str(taken.body["withdrawal_id"])
            if taken.outcome is Outcome.FAIL and taken.code != "idempotency_key_in_use":
                return None
            if taken.outcome is Outcome.UNKNOWN and plan.forgets_its_key:
                key = self._new_key()
            self._calls.wait(self._chance.uniform(0.2, 1.0))

    def _apply_once(self, plan: Plan, key: str) -> Answer:
        card = {
            "account_name": NAME,
            "bank_name": "招商银行",
            "branch_name": "上海分行张江支行",
            "card_number": self._customer.card_number,
        }
        application = {
            "account_id": self._customer.account_id,
            "amount": as_yuan(plan.amount_fen),
            "bank_card": card,
        }
        facts = {"amount": application["amount"], "key": key}
        return self._mine("apply", "", body=application, facts=facts, headers={"Idempotency-Key": key})

    def _verify(self, withdrawal_id: str, plan: Plan) -> None:
        code = self._code(withdrawal_id)
        if code is None:
            return
        enter = partial(self._of, "verify", withdrawal_id, "verification")
        for wrong in range(plan.wrong_codes):
            mistyped = f"{(int(code) + 1 + wrong) % 1_000_000:06d}"
            if enter({"code": mistyped}).code == "code_expired":
                return
        right = partial(self._calls.until_known, partial(enter, {"code": code}))
        calls: list[Callable[[], object]] = [right] * (2 if plan.double_click else 1)
        if plan.cancels == "same":
            calls.append(partial(self._cancel, withdrawal_id))
        at_once(calls)

    def _code(self, withdrawal_id: str) -> str | None:
        """What the newest SMS says; asks for another if none comes, and gives up after a while."""
        inbox = f"/_sandbox/messages?phone={self._customer.phone}"
        seen = self._sent_before
        deadline, asked = time.monotonic() + _CODE_SECONDS, False
        while time.monotonic() < deadline:
            messages = self._calls.sandbox("messages", "GET", inbox).body.get("items", [])
            if len(messages) > seen:
                self._sent_before = len(messages)
                return str(messages[0]["code"])
            if not asked and time.monotonic() > deadline - _CODE_SECONDS / 2:
                asked = self._of("resend", withdrawal_id, "verification/resend").outcome is not Outcome.UNKNOWN
            self._calls.wait(0.3)
        return None

    _sent_before = 0

    def _cancel(self, withdrawal_id: str) -> None:
        self._calls.until_known(partial(self._of, "cancel", withdrawal_id, "cancel"))

    def _follow(self, withdrawal_id: str) -> str:
        deadline, status = time.monotonic() + self._chance.uniform(0, _FOLLOWED_SECONDS), ""
        while status not in _FINAL and time.monotonic() < deadline:
            status = str(self._mine("read", f"/{withdrawal_id}", method="GET").body.get("status", status))
            self._calls.wait(0.7)
        return status

    # Finance.

    def _be_decided_on(self, withdrawal_id: str, plan: Plan) -> None:
        account_id, people = self._customer.account_id, tuple(self._chance.sample(PEOPLE, 3))
        if plan.own_application:
            self._finance.decide(withdrawal_id, account_id, "approve", by=self._customer.user)
        if plan.rejected:
            self._finance.decide_until_known(withdrawal_id, account_id, "reject", by=people[2])
        if plan.two_decide_at_once:
            self._finance.approve_at_once(withdrawal_id, account_id, people[:2])
            return
        for by in people[: plan.approvals]:
            for _ in range(self._chance.choice((1, 1, 2))):
                self._finance.decide_until_known(withdrawal_id, account_id, "approve", by=by)

    # How they call.

    def _of(self, kind: str, withdrawal_id: str, verb: str, body: Json | None = None) -> Answer:
        return self._mine(kind, f"/{withdrawal_id}/{verb}", body=body, facts={"withdrawal_id": withdrawal_id})

    def _mine(
        self,
        kind: str,
        path: str,
        *,
        method: str = "POST",
        body: Json | None = None,
        facts: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        customer = self._customer
        bearer = self._calls.bearer("withdrawals", customer.user, customer.account_id) | (headers or {})
        where = f"/v1/withdrawals{path}"
        return self._calls.api(
            kind, method, where, account_id=customer.account_id, bearer=bearer, body=body, facts=facts
        )

    def _new_key(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128)))


def as_yuan(fen: int) -> str:
    """As the API writes amounts."""
    return f"{fen // 100}.{fen % 100:02d}"
