"""Finance: decides and resolves, at times two people at once, the same person twice, or on an own application."""

from __future__ import annotations

import random
from functools import partial

from chaos.calls import Answer, Calls
from chaos.crowd import at_once
from chaos.journal import Outcome
from chaos.operators import Operators

PEOPLE = tuple(f"fin-{number}" for number in range(1, 9))


class Finance:
    """Through the API, or through Temporal's own door."""

    def __init__(self, calls: Calls, operators: Operators) -> None:
        self._calls = calls
        self._operators = operators

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

    def decide_by_signal(self, withdrawal_id: str, decision: str, people: tuple[str, ...]) -> None:
        """As many people as needed sign through Temporal; a signal has no answer, so a lost one stays lost."""
        for by in people:
            self._operators.decide(withdrawal_id, decision, by=by)

    def resolve(self, withdrawal_id: str, account_id: str, outcome: str, chance: random.Random) -> None:
        """Two people say what they found out; raises GaveUp."""
        for by in chance.sample(PEOPLE, 2):
            call = partial(
                self._calls.api,
                "resolve",
                "POST",
                f"/v1/withdrawals/{withdrawal_id}/resolution",
                account_id=account_id,
                bearer=self._calls.bearer("finance", by),
                body={"outcome": outcome, "evidence": "the bank's own book"},
                facts={"withdrawal_id": withdrawal_id, "outcome": outcome, "by": by},
            )
            self._calls.until_known(call)
