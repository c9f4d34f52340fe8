"""How many people of finance must agree before the bank is asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ApprovalPolicy:
    """From ``one_from`` fen one approver is needed, from ``two_from`` fen two different ones."""

    one_from: int = 50_000_00
    two_from: int = 500_000_00

    def __post_init__(self) -> None:
        if not 0 < self.one_from <= self.two_from:
            raise ValueError("the limit for one approver is positive and not above the limit for two")

    def approvals_needed(self, amount_fen: int) -> int:
        """0, 1 or 2 for an amount in fen."""
        return (amount_fen >= self.one_from) + (amount_fen >= self.two_from)


def resolutions_needed(approvals_needed: int) -> int:
    """How many people must say the same of a transfer under review: two where its payment needed approval."""
    return 2 if approvals_needed else 1
