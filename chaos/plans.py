"""What a customer is going to do, drawn from the seed before they begin."""

from __future__ import annotations

import random
from dataclasses import dataclass

SMALL, ONE_APPROVAL, TWO_APPROVALS = 0, 1, 2

_BEHAVIOURS = {
    "pay": 34,
    "reject": 10,
    "accept_then_fail": 14,
    "pay_then_return": 15,
    "time_out_after_booking": 13,
    "unavailable": 14,
}
"""What the bank does with transfers to the card; `silent` is left out, since it never comes to rest."""


@dataclass(frozen=True)
class Plan:
    """One application: amounts in fen."""

    behaviour: str
    approvals: int
    amount_fen: int
    top_up_fen: int
    charge_fen: int
    wrong_codes: int
    double_click: bool
    cancels: str
    """`before` the code, `after` it, at the `same` time as it, or "" for not at all."""
    rejected: bool
    two_decide_at_once: bool
    own_application: bool
    forgets_its_key: bool
    """After an unknown outcome it applies again with a new key, and hears of the first one."""


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
        wrong_codes=chance.choices((0, 1, 2, 5), (75, 12, 8, 5))[0],
        double_click=chance.random() < 0.25,
        cancels=chance.choices(("", "before", "after", "same"), (78, 6, 10, 6))[0],
        rejected=chance.random() < 0.15,
        two_decide_at_once=chance.random() < 0.4,
        own_application=chance.random() < 0.3,
        forgets_its_key=chance.random() < 0.2,
    )
