"""For operators and machines: is it alive, does all of it work, and how much of what."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from api.metrics import CONTENT_TYPE, Metrics
from api.parts import AppParts, Parts
from domain.errors import TemporarilyUnavailable

CHECK_WITHIN_S = 3.0

routes = APIRouter(tags=["operations"])

State = Literal["ok", "away"]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Checks(BaseModel):
    """Each of the parts a withdrawal needs."""

    database: State
    engine: State
    workers: State


class Readiness(BaseModel):
    """``ok`` if every check is."""

    status: Literal["ok", "unavailable"]
    checks: Checks


@routes.get("/healthz")
async def report_health() -> Alive:
    """The process is alive; says nothing of what it depends on, so that nobody restarts it for their sake."""
    return Alive()


@routes.get("/readyz", responses={503: {"model": Readiness, "description": "Something is away."}})
async def report_readiness(parts: AppParts, response: Response) -> Readiness:
    """Everything a withdrawal needs is there: the database, Temporal, and a worker that asks it for work."""
    database, engine = await asyncio.gather(_database_answers(parts), parts.engine.ready())
    checks = Checks(database=_state(database), engine=_state(engine.reachable), workers=_state(engine.workers))
    ready = database and engine.reachable and engine.workers
    response.status_code = 200 if ready else 503
    return Readiness(status="ok" if ready else "unavailable", checks=checks)


@routes.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def report_metrics(request: Request) -> Response:
    """Prometheus text: requests, and where the open withdrawals and their money stand."""
    metrics: Metrics = request.app.state.metrics
    # In a thread: the scrape reads the database.
    return Response(await run_in_threadpool(metrics.exposition), media_type=CONTENT_TYPE)


async def _database_answers(parts: Parts) -> bool:
    try:
        async with asyncio.timeout(CHECK_WITHIN_S):
            await run_in_threadpool(parts.database.ping)
    except (TemporarilyUnavailable, TimeoutError):
        return False
    return True


def _state(there: bool) -> State:
    return "ok" if there else "away"
