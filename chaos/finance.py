"""Finance: decides on large amounts, at times two people at once, the same person twice, or on an own application."""

from __future__ import annotations

from functools import partial

from chaos.calls import Answer, Calls
from chaos.crowd import at_once
from chaos.journal import Outcome

PEOPLE = tuple(f"fin-{number}" for number in range(1, 9))


class Finance:
    """Everything goes through the API."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def decide(self, withdrawal_id: str, account_id: str, decision: str, *, by: str) -> Answer:
        """One word of one person; an own application or a second word is refused with four_eyes_violated."""
        return self._calls.api(
            "decide",
            "POST",
            f"/v1/withdrawals/{withdrawal_id}/decision",
            account_id=account_id,
            bearer=self._calls.bearer("finance", by),
            body={"decision": decision, "note": "by the programme"},
            facts={"withdrawal_id": withdrawal_id, "decision": decision, "by": by},
        )

    def decide_until_known(self, withdrawal_id: str, account_id: str, decision: str, *, by: str) -> Answer:
        """The same person says it again until the outcome is known; raises GaveUp."""
        return self._calls.until_known(lambda: self.decide(withdrawal_id, account_id, decision, by=by))

    def approve_at_once(self, withdrawal_id: str, account_id: str, people: tuple[str, ...]) -> None:
        """Several people approve at the same moment; whoever heard nothing says it again."""
        answers = at_once([partial(self.decide, withdrawal_id, account_id, "approve", by=by) for by in people])
        for by, answer in zip(people, answers, strict=True):
            if answer.outcome is Outcome.UNKNOWN:
                self.decide_until_known(withdrawal_id, account_id, "approve", by=by)
