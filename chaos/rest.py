"""Once faults have stopped: everything that was begun comes to an end, and both books say the same."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from temporalio.service import RPCError

from chaos.both_books import BanksBook, OurBook, disagreements
from chaos.calls import Calls
from chaos.finance import PEOPLE, Finance
from chaos.journal import Json, Outcome
from chaos.operators import Operators
from domain.errors import TemporarilyUnavailable
from domain.withdrawal import Status
from ledger.database import Database

_LOOK_EVERY = 1.0
_CALM_SECONDS = 5.0
_AT_THE_END = ("succeeded", "failed", "returned")
STORIES = "WorkflowType IN ('WithdrawalWorkflow', 'BankReturnWorkflow')"
"""What runs by the clock may fail while PostgreSQL is away: the next one does what it could not."""
_RUNNING = f"ExecutionStatus = 'Running' AND {STORIES}"


@dataclass
class Rest:
    """How it stood when nothing moved any more, or the bound was reached."""

    seconds: float
    ours: OurBook
    bank: Json = field(repr=False)
    restless: list[str] = field(default_factory=list)
    """Sentences: withdrawals that are not over, runs that are, transfers without an outcome."""


@dataclass(frozen=True)
class Resting:
    """Does what people would do with what is left over, until nothing is."""

    calls: Calls
    operators: Operators
    finance: Finance
    database: Database

    def wait(self, within: float) -> Rest:
        """Returns once all was calm for some seconds, and after `within` seconds at the latest."""
        begun, calm_since = time.monotonic(), 0.0
        while True:
            rest = self._look(begun)
            now = time.monotonic()
            if rest is not None and not rest.restless and not self._disagree(rest):
                calm_since = calm_since or now
                if now - calm_since >= _CALM_SECONDS:
                    rest.seconds = calm_since - begun
                    return rest
            else:
                calm_since = 0.0
            if rest is not None and now - begun > within:
                return rest
            if now - begun > 2 * within:
                raise TimeoutError("the stack could not even be read after the faults had stopped")
            time.sleep(_LOOK_EVERY)

    def _look(self, begun: float) -> Rest | None:
        # The bank first: of what it pays while we read, our side may know, and the copy does not.
        book = self.calls.sandbox("book", "GET", "/_sandbox/book")
        with contextlib.suppress(TemporarilyUnavailable, RPCError, RuntimeError, TimeoutError):
            ours = OurBook.read(self.database)
            running = self.operators.count_runs(_RUNNING)
            if book.outcome is Outcome.OK:
                self._help_along(ours, book.body)
                return Rest(time.monotonic() - begun, ours, book.body, _restless(ours, book.body, running))
        return None

    def _help_along(self, ours: OurBook, book: Json) -> None:
        """Codes that nobody enters expire, finance decides what waits for it, and a silent bank speaks."""
        for withdrawal_id, withdrawal in ours.withdrawals.items():
            match withdrawal["status"]:
                case Status.AWAITING_VERIFICATION:
                    self.operators.end_code(withdrawal_id)
                case Status.AWAITING_APPROVAL:
                    for by in PEOPLE:
                        answer = self.finance.decide(withdrawal_id, withdrawal["account_id"], "approve", by=by)
                        if answer.code != "four_eyes_violated" and answer.body.get("status") != "awaiting_approval":
                            break
                case _:
                    pass
        for transfer in book["transfers"]:
            if transfer["state"] == "processing":
                path = f"/_sandbox/cards/{transfer['card_number']}"
                self.calls.sandbox("card", "PUT", path, {"behaviour": "pay"})

    def _disagree(self, rest: Rest) -> bool:
        return bool(disagreements(rest.ours, BanksBook.of(rest.bank)))


def _restless(ours: OurBook, book: Json, running: int) -> list[str]:
    found = [
        f"{withdrawal_id} is still {withdrawal['status']}"
        for withdrawal_id, withdrawal in ours.withdrawals.items()
        if not Status(withdrawal["status"]).is_final
    ]
    found += [
        f"{transfer['client_ref']} is still {transfer['state']} at the bank"
        for transfer in book["transfers"]
        if transfer["state"] not in _AT_THE_END
    ]
    return found + ([f"{running} runs are still going on in Temporal"] if running else [])
