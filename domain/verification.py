"""The limits of the phone code (product.md, rule 8), for one withdrawal and for everything beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

CODE_DIGITS = 6
CODE_LIFE = timedelta(minutes=10)
TRIES = 5
SENDS = 5
RESEND_AFTER = timedelta(seconds=60)


@dataclass(frozen=True)
class CodeLimits:
    """What cancelling and applying again does not give back. Days are Shanghai's, hours the clock's."""

    wrong_tries_a_day: int = 15
    """For each account."""
    codes_a_day: int = 5
    """For each phone, whichever accounts it belongs to."""
    codes_an_hour: int = 10_000
    """For everybody together: what a flood of applications may cost at the SMS gateway."""


STANDARD_LIMITS = CodeLimits()
