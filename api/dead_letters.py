"""What the console's backend could not be told: for operators, until it is sent again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.authentication import OPERATIONS, allow
from api.body import StrictRoute
from api.described import refused_with
from api.parts import AppParts
from domain.errors import InvalidRequest, NotFound
from domain.withdrawal import Status

routes = APIRouter(prefix="/v1/dead-letters", tags=["operations"], route_class=StrictRoute)

OperatorsOnly = Depends(allow(OPERATIONS))


class DeadLetterBody(BaseModel):
    """One message that was given up; ``trouble`` is why the last attempt failed."""

    id: int
    withdrawal_id: UUID
    kind: str
    status: Status
    at: datetime
    attempts: int
    trouble: str
    dead_at: datetime


class DeadLettersBody(BaseModel):
    """The newest of them first."""

    items: list[DeadLetterBody]


class ReplayedBody(BaseModel):
    """How many are sent again."""

    replayed: int


@routes.get("", responses=refused_with(InvalidRequest), dependencies=[OperatorsOnly])
async def read_dead_letters(parts: AppParts, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> DeadLettersBody:
    """What was given up and not sent again yet."""
    letters = await run_in_threadpool(parts.outbox.dead_letters, limit=limit)
    return DeadLettersBody(items=[DeadLetterBody(**vars(letter)) for letter in letters])


@routes.post("/replay", responses=refused_with(), dependencies=[OperatorsOnly])
async def replay_dead_letters(parts: AppParts) -> ReplayedBody:
    """Sends every dead letter again, under the ids they had."""
    return ReplayedBody(replayed=await run_in_threadpool(parts.outbox.replay, None, now=parts.clock()))


@routes.post("/{letter_id}/replay", responses=refused_with(NotFound, InvalidRequest), dependencies=[OperatorsOnly])
async def replay_dead_letter(letter_id: Annotated[int, Path(ge=1, le=2**62)], parts: AppParts) -> ReplayedBody:
    """Sends one dead letter again, under the id it had."""
    return ReplayedBody(replayed=await run_in_threadpool(parts.outbox.replay, [letter_id], now=parts.clock()))
