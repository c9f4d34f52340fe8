"""Where the bank's book and ours differ: for operators, until somebody has dealt with it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.authentication import OPERATIONS, Caller, allow
from api.body import StrictRoute
from api.described import refused_with
from api.parts import AppParts
from api.shapes import ClosingForm
from domain.errors import InvalidRequest, NotFound
from domain.money import format_yuan
from domain.statement import DifferenceKind, EntryKind
from ledger.statements import Difference

routes = APIRouter(prefix="/v1/reconciliation", tags=["operations"], route_class=StrictRoute)

Operator = Annotated[Caller, Depends(allow(OPERATIONS))]


class DifferenceBody(BaseModel):
    """One open difference; an amount is null on the side that has no such entry."""

    id: int
    kind: DifferenceKind
    entry: EntryKind
    client_ref: str
    our_amount: str | None
    bank_amount: str | None
    owner: str
    found_at: datetime
    age_days: int


class DifferencesBody(BaseModel):
    """Every open difference, oldest first; up to which day the bank's statements were read."""

    items: list[DifferenceBody]
    statements_read_until: date | None


@routes.get("", responses=refused_with(), dependencies=[Depends(allow(OPERATIONS))])
async def read_differences(parts: AppParts) -> DifferencesBody:
    """What is not closed yet."""
    now = parts.clock()
    found = await run_in_threadpool(parts.statements.open_differences)
    last_day = await run_in_threadpool(parts.statements.last_day)
    return DifferencesBody(items=[_show(difference, now) for difference in found], statements_read_until=last_day)


@routes.post("/{difference_id}/closing", status_code=204, responses=refused_with(NotFound, InvalidRequest))
async def close_difference(
    caller: Operator, difference_id: Annotated[int, Path(ge=1, le=2**62)], form: ClosingForm, parts: AppParts
) -> None:
    """Somebody has dealt with it, and says how; it is not opened again."""
    await run_in_threadpool(parts.statements.close, difference_id, by=caller.subject, note=form.note, now=parts.clock())


def _show(difference: Difference, now: datetime) -> DifferenceBody:
    return DifferenceBody(
        id=difference.id,
        kind=difference.kind,
        entry=difference.entry_kind,
        client_ref=difference.client_ref,
        our_amount=None if difference.ours_fen is None else format_yuan(difference.ours_fen),
        bank_amount=None if difference.banks_fen is None else format_yuan(difference.banks_fen),
        owner=difference.owner,
        found_at=difference.found_at,
        age_days=(now - difference.found_at).days,
    )
