"""The columns by which operators find runs, each with its type. They are never encrypted: no personal data."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from domain.withdrawal import Standing

STATUS = SearchAttributeKey.for_keyword("WithdrawalStatus")
ACCOUNT_ID = SearchAttributeKey.for_keyword("AccountId")
AMOUNT_FEN = SearchAttributeKey.for_int("AmountFen")
NEEDS_APPROVAL = SearchAttributeKey.for_bool("NeedsApproval")
OVERDUE = SearchAttributeKey.for_bool("Overdue")
WAITING_SINCE = SearchAttributeKey.for_datetime("WaitingSince")

REGISTRY: tuple[SearchAttributeKey[Any], ...] = (
    STATUS,
    ACCOUNT_ID,
    AMOUNT_FEN,
    NEEDS_APPROVAL,
    OVERDUE,
    WAITING_SINCE,
)
"""All that a namespace has to know before a worker starts; ``workflows.registration`` sees to it."""


def columns(standing: Standing, since: datetime, *, overdue: bool = False) -> TypedSearchAttributes:
    """What a run shows while it stands there; ``since`` is when it came to this status."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(STATUS, str(standing.status)),
            SearchAttributePair(ACCOUNT_ID, standing.account_id),
            SearchAttributePair(AMOUNT_FEN, standing.amount_fen),
            SearchAttributePair(NEEDS_APPROVAL, standing.approvals_needed > 0),
            SearchAttributePair(OVERDUE, overdue),
            SearchAttributePair(WAITING_SINCE, since),
        ]
    )
