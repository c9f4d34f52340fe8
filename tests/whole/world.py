"""The whole system as those outside see it: through HTTP, and through the command line of Temporal."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass, field
from typing import Any

import httpx

from stack.local import LocalStack
from stack.temporal import binary
from tests.whole.customers import NAME, Customer

Json = dict[str, Any]

WELL_BEHAVED: Json = {
    "settle_after_s": 0.3,
    "return_after_s": 0.3,
    "latency_s": 0.0,
    "hold_answer_s": 0.5,
    "unavailable": False,
    "failure_rate": 0.0,
    "lost_answer_rate": 0.0,
    "notify": True,
    "drop_notifications": False,
    "duplicate_notifications": False,
    "reorder_notifications": False,
    "sms_unavailable": False,
}
"""The bank each test begins with: quick, and without a fault."""


@dataclass
class World:
    """A running stack, and the people and parties around it."""

    stack: LocalStack
    api: httpx.Client = field(repr=False)
    sandbox: httpx.Client = field(repr=False)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def customer(self, cash: str = "1000.00", *, behaviour: str = "pay") -> Customer:
        """A company with an account of its own, and a card to which transfers go as told."""
        number = next(self._numbers)
        account_id, phone, card_number = f"acct_{number}", f"139{number:08d}", f"62284800{number:011d}"
        bearer = self.bearer("withdrawals", f"user-of-{account_id}", account_id=account_id)
        customer = Customer(self.api, self.sandbox, bearer, account_id, phone, card_number)
        self.set_card(customer, behaviour)
        registration = {
            "subject_type": "company",
            "subject_name": NAME,
            "verified": True,
            "phone": phone,
            "suspended": False,
            "pay_as_you_use": False,
        }
        billing = self.bearer("billing", "billing")
        path = f"/v1/accounts/{account_id}"
        self.api.put(path, json=registration, headers=billing).raise_for_status()
        top_up = {"reference": "first", "amount": cash}
        self.api.post(f"{path}/top-ups", json=top_up, headers=billing).raise_for_status()
        return customer

    def bearer(self, scope: str, sub: str, **claims: str) -> dict[str, str]:
        """The header with a token as the issuer gives it."""
        issued = self.sandbox.post("/_sandbox/token", json={"scope": scope, "sub": sub, **claims})
        return {"Authorization": f"Bearer {issued.json()['access_token']}"}

    def decide(self, withdrawal_id: str, decision: str, *, by: str) -> httpx.Response:
        """Somebody of finance decides through the API."""
        path = f"/v1/withdrawals/{withdrawal_id}/decision"
        return self.api.post(path, json={"decision": decision}, headers=self.bearer("finance", by))

    # The bank.

    def turn(self, **switches: Any) -> None:
        """Turns switches of the sandbox."""
        self.sandbox.put("/_sandbox/settings", json=switches).raise_for_status()

    def set_card(self, customer: Customer, behaviour: str) -> None:
        """What happens to transfers to this customer's card, those that wait in silence included."""
        path = f"/_sandbox/cards/{customer.card_number}"
        self.sandbox.put(path, json={"behaviour": behaviour}).raise_for_status()

    def book(self) -> Json:
        """Everything the bank ever booked."""
        booked: Json = self.sandbox.get("/_sandbox/book").json()
        return booked

    def transfer(self, withdrawal_id: str) -> Json | None:
        """The bank's side of a withdrawal."""
        return next((one for one in self.book()["transfers"] if one["client_ref"] == withdrawal_id), None)

    def entries(self, withdrawal_id: str) -> list[str]:
        """Which money moved at the bank for a withdrawal, in order."""
        return [entry["kind"] for entry in self.book()["entries"] if entry["client_ref"] == withdrawal_id]

    def submissions(self, withdrawal_id: str) -> int:
        """How often the bank was asked to pay it, refused and repeated askings included."""
        attempts: int = self.book()["submissions"].get(withdrawal_id, 0)
        return attempts

    # Temporal, as operators and finance reach it.

    def temporal(self, *arguments: str) -> str:
        """What the command line of Temporal answers."""
        command = [str(binary()), *arguments, "--address", self.stack.temporal.address, "--disable-config-file"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def codec(self, scope: str) -> tuple[str, ...]:
        """What makes the command line encrypt what it sends and decrypt what it shows."""
        token = self.bearer(scope, "somebody-at-the-command-line")["Authorization"]
        return ("--codec-endpoint", self.stack.codec_url, "--codec-auth", token)

    def count_runs(self, query: str) -> int:
        """How many runs Temporal lists for a query."""
        said = self.temporal("workflow", "count", "--query", query, "--output", "json")
        return int(json.loads(said).get("count", 0))

    def runs_of(self, withdrawal_id: str) -> int:
        """How many runs a withdrawal ever had."""
        return self.count_runs(f"WorkflowId = 'withdrawal-{withdrawal_id}'")

    def attempts_under_way(self, withdrawal_id: str) -> int:
        """Which attempt of its activity a run is at; 0 if it waits for none."""
        described = self.temporal("workflow", "describe", "-w", f"withdrawal-{withdrawal_id}", "--output", "json")
        return max((int(one["attempt"]) for one in json.loads(described).get("pendingActivities") or []), default=0)

    def signal_decision(self, withdrawal_id: str, decision: str, *, by: str) -> None:
        """Somebody of finance decides at the command line."""
        word = {"approver": by, "decision": decision, "note": "by hand"}
        run = ("--workflow-id", f"withdrawal-{withdrawal_id}")
        self.temporal(
            "workflow", "signal", *run, "--name", "decide", "--input", json.dumps(word), *self.codec("finance")
        )
