"""The load: customers who apply, mistype, click twice, cancel, use their products, and ask again after any doubt."""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from chaos.calls import Answer, Calls, GaveUp
from chaos.crowd import at_once
from chaos.finance import PEOPLE, Finance
from chaos.journal import Json, Outcome
from chaos.operators import Operators
from chaos.plans import Plan, drawn

NAME = "云上科技（上海）有限公司"
AT_ONCE = 32

_CODE_SECONDS = 25.0
_FOLLOWED_SECONDS = 12.0
_SILENCE_SECONDS = 20.0
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
    """Customers, `AT_ONCE` at a time, until they have made as many applications as wanted, evenly over `seconds`."""

    def __init__(self, calls: Calls, operators: Operators, *, seed: int, withdrawals: int, seconds: float) -> None:
        self.over = threading.Event()
        self.gave_up: list[str] = []
        self.made: set[str] = set()
        """The ids of the withdrawals that the API said were recorded."""
        self._calls = calls
        self._operators = operators
        self._seed = seed
        self._wanted = withdrawals
        self._seconds = seconds
        self._numbers = itertools.count(1)

    def run(self) -> None:
        """Returns when the last customer is done, or the time for everything is over."""
        begun = time.monotonic()
        try:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for _ in range(AT_ONCE):
                    threads.submit(self._serve, begun)
        finally:
            self.over.set()

    def _serve(self, begun: float) -> None:
        while len(self.made) < self._wanted:
            # Ahead of the plan by no more than what is at work at once.
            if len(self.made) > self._wanted * (time.monotonic() - begun) / self._seconds:
                time.sleep(0.1)
                continue
            customer = Customer(next(self._numbers))
            chance = random.Random(f"{self._seed}:{customer.number}")
            try:
                Visit(self._calls, self._operators, customer, chance, self.made).live()
            except GaveUp as gave_up:
                self.gave_up.append(f"{customer.account_id}: {gave_up}")
                return
            except Exception as broken:  # noqa: BLE001 - a bug of the programme's own must not go unseen
                self.gave_up.append(f"{customer.account_id}: {broken!r}")


class Visit:
    """One customer's time with us: one application, and at times another after it came to nothing."""

    def __init__(
        self, calls: Calls, operators: Operators, customer: Customer, chance: random.Random, made: set[str]
    ) -> None:
        self._calls = calls
        self._operators = operators
        self._customer = customer
        self._chance = chance
        self._finance = Finance(calls, operators)
        self._made = made

    def live(self) -> None:
        """Raises GaveUp where the time for everything is over."""
        self._register()
        status = self._withdraw(drawn(self._chance))
        if status in _MONTH_GIVEN_BACK and self._chance.random() < 0.5:
            self._withdraw(drawn(self._chance))

    def _withdraw(self, plan: Plan) -> str:
        """The status that was last seen."""
        self._set_card(plan.behaviour)
        self._book("top-ups", plan.top_up_fen)
        withdrawal_id = self._apply(plan)
        if withdrawal_id is None:
            return ""
        self._made.add(withdrawal_id)
        if plan.charge_fen:  # Cash, not what is frozen; it may leave too little for the freeze.
            self._book("charges", plan.charge_fen)
        if plan.abandons:
            self._operators.end_code(withdrawal_id)
        elif plan.cancels == "before":
            self._cancel(withdrawal_id)
        else:
            self._verify(withdrawal_id, plan)
            if plan.cancels == "after":
                self._cancel(withdrawal_id)
            elif plan.cancels == "operator":
                self._operators.cancel(withdrawal_id)
            if plan.approvals:
                self._be_decided_on(withdrawal_id, plan)
            if plan.behaviour == "silent":
                self._be_looked_into(withdrawal_id, plan)
        return self._follow(withdrawal_id)

    def _set_card(self, behaviour: str) -> None:
        """What the bank does with transfers to the card from now on, those it is silent about included."""
        path = f"/_sandbox/cards/{self._customer.card_number}"
        self._calls.until_ok(lambda: self._calls.sandbox("card", "PUT", path, {"behaviour": behaviour}))

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
        facts: Json = {name: body[name] for name in ("reference", "amount") if name in body}
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
        if plan.another_code:
            self._operators.let_a_minute_pass(withdrawal_id)
            self._of("resend", withdrawal_id, "verification/resend")
            code = self._code(withdrawal_id) or code
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
            codes = [message["code"] for message in messages if message["code"]]  # Other news comes by SMS too.
            if len(codes) > seen:
                self._sent_before = len(codes)
                return str(codes[0])
            if not asked and time.monotonic() > deadline - _CODE_SECONDS / 2:
                asked = self._of("resend", withdrawal_id, "verification/resend").outcome is not Outcome.UNKNOWN
            self._calls.wait(0.3)
        return None

    _sent_before = 0

    def _cancel(self, withdrawal_id: str) -> None:
        self._calls.until_known(partial(self._of, "cancel", withdrawal_id, "cancel"))

    def _follow(self, withdrawal_id: str) -> str:
        return self._reaches(withdrawal_id, _FINAL, self._chance.uniform(0, _FOLLOWED_SECONDS))

    def _reaches(self, withdrawal_id: str, statuses: Collection[str], seconds: float) -> str:
        """The status that was last seen, once it is one of these or the time is over."""
        deadline, status = time.monotonic() + seconds, ""
        while status not in statuses and time.monotonic() < deadline:
            status = str(self._mine("read", f"/{withdrawal_id}", method="GET").body.get("status", status))
            self._calls.wait(0.7)
        return status

    # Finance.

    def _be_decided_on(self, withdrawal_id: str, plan: Plan) -> None:
        account_id, people = self._customer.account_id, tuple(self._chance.sample(PEOPLE, 3))
        if plan.own_application:
            self._finance.decide(withdrawal_id, account_id, "approve", by=self._customer.user)
        if plan.by_signal:
            decision = "reject" if plan.rejected else "approve"
            self._finance.decide_by_signal(withdrawal_id, decision, people[: plan.approvals])
            return
        if plan.rejected:
            self._finance.decide_until_known(withdrawal_id, account_id, "reject", by=people[2])
        if plan.two_decide_at_once:
            self._finance.approve_at_once(withdrawal_id, account_id, people[:2])
            return
        for by in people[: plan.approvals]:
            for _ in range(self._chance.choice((1, 1, 2))):
                self._finance.decide_until_known(withdrawal_id, account_id, "approve", by=by)

    def _be_looked_into(self, withdrawal_id: str, plan: Plan) -> None:
        """The bank says nothing until the window is over; finance finds out what it did, and says so."""
        if self._bank_reaches(withdrawal_id, {"processing"}, _SILENCE_SECONDS):
            self._operators.end_window(withdrawal_id)
            self._reaches(withdrawal_id, {"under_review"} | _FINAL, _SILENCE_SECONDS)
        outcome, behaviour = ("paid", "pay") if plan.bank_paid_in_silence else ("failed", "accept_then_fail")
        self._set_card(behaviour)
        if self._bank_reaches(withdrawal_id, {"succeeded", "failed"}, _SILENCE_SECONDS):
            self._finance.resolve(withdrawal_id, self._customer.account_id, outcome, self._chance)

    def _bank_reaches(self, withdrawal_id: str, states: Collection[str], seconds: float) -> bool:
        """Whether the bank has the transfer in one of these states before the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._calls.sandbox("transfer", "GET", f"/transfers/{withdrawal_id}").body.get("state") in states:
                return True
            self._calls.wait(0.3)
        return False

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
