"""Approval is needed from 50,000.00, by two people from 500,000.00."""

from __future__ import annotations

import pytest

from domain.approval import ApprovalPolicy
from domain.money import parse_yuan


@pytest.mark.parametrize(
    ("yuan", "needed"),
    [
        ("0.01", 0),
        ("49999.99", 0),
        ("50000.00", 1),
        ("499999.99", 1),
        ("500000.00", 2),
        ("999999999999.99", 2),
    ],
)
def test_the_limits_belong_to_the_stricter_side(yuan: str, needed: int) -> None:
    """Exactly the limit already needs the approver."""
    assert ApprovalPolicy().approvals_needed(parse_yuan(yuan)) == needed


def test_the_limits_are_settings() -> None:
    """Other limits hold as given; equal limits ask for two people at once."""
    assert [ApprovalPolicy(100, 200).approvals_needed(fen) for fen in (99, 100, 199, 200)] == [0, 1, 1, 2]
    assert ApprovalPolicy(100, 100).approvals_needed(100) == 2


@pytest.mark.parametrize(("one_from", "two_from"), [(0, 1), (-1, 1), (2, 1)])
def test_senseless_limits_are_refused(one_from: int, two_from: int) -> None:
    """A limit of nothing, or a second below the first, is a mistake in the settings."""
    with pytest.raises(ValueError, match="limit"):
        ApprovalPolicy(one_from, two_from)
