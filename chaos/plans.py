"""What a customer is going to do, drawn from the seed before they begin."""

from __future__ import annotations

import random
from dataclasses import dataclass

SMALL, ONE_APPROVAL, TWO_APPROVALS = 0, 1, 2

_BEHAVIOURS = {
    "pay": 32,
    "reject": 10,
    "accept_then_fail": 13,
    "pay_then_return": 14,
    "time_out_after_booking": 12,
    "unavailable": 13,
    "silent": 6,
}
"""What the bank does with transfers to the card."""


@dataclass(frozen=True)
class Plan:
    """One application: amounts in fen."""

    behaviour: str
    approvals: int
    amount_fen: int
    top_up_fen: int
    charge_fen: int
    another_code: bool
    """A minute after the first one."""
    wrong_codes: int
    double_click: bool
    cancels: str
    """`before` the code, `after` it, at the `same` time as it, by an `operator`, or "" for not at all."""
    abandons: bool
    """The code is never entered, and expires."""
    rejected: bool
    two_decide_at_once: bool
    by_signal: bool
    """Finance decides through Temporal's own door."""
    own_application: bool
    forgets_its_key: bool
    """After an unknown outcome it applies again with a new key, and hears of the first one."""
    bank_paid_in_silence: bool
    """What a silent bank will turn out to have done."""


def drawn(chance: random.Random) -> Plan:
    """A plan by the seed's chance alone."""
    approvals = chance.choices((SMALL, ONE_APPROVAL, TWO_APPROVALS), (72, 18, 10))[0]
    lowest, highest = ((1_00, 49_999_99), (50_000_00, 499_999_99), (500_000_00, 900_000_00))[approvals]
    amount = chance.randint(lowest, highest)
    behaviour = chance.choices(list(_BEHAVIOURS), list(_BEHAVIOURS.values()))[0]
    return Plan(
        behaviour=f"unavailable:{chance.randint(1, 4)}" if behaviour == "unavailable" else behaviour,
        approvals=approvals,
        amount_fen=amount,
        top_up_fen=amount + chance.randint(0, 1_000_00),
        charge_fen=chance.choice((0, chance.randint(1, 500_00))),
        another_code=chance.random() < 0.08,
        wrong_codes=chance.choices((0, 1, 2, 5), (75, 12, 8, 5))[0],
        double_click=chance.random() < 0.25,
        cancels=chance.choices(("", "before", "after", "same", "operator"), (75, 6, 9, 6, 4))[0],
        abandons=chance.random() < 0.03,
        rejected=chance.random() < 0.15,
        two_decide_at_once=chance.random() < 0.4,
        by_signal=chance.random() < 0.3,
        own_application=chance.random() < 0.3,
        forgets_its_key=chance.random() < 0.2,
        bank_paid_in_silence=chance.random() < 0.5,
    )
