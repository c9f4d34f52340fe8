"""The bank's nudges: which transfer to ask about. What is true is the bank's answer to our question."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.authentication import address_of
from api.body import read_json
from api.described import refused_with
from api.parts import AppParts
from api.problems import Unauthenticated
from api.shapes import Notification
from domain.errors import InvalidRequest

routes = APIRouter(prefix="/v1/bank-notifications", tags=["bank"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Notification"}}},
    },
    "parameters": [
        {"in": "header", "name": name, "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ],
}


@routes.post(
    "",
    status_code=204,
    openapi_extra=_BODY,
    responses=refused_with(Unauthenticated, InvalidRequest, public=True),
)
async def take_notification(parts: AppParts, request: Request) -> None:
    """Signed as in Standard Webhooks. A repeat, an unknown reference and unknown news do nothing."""
    body = await request.body()
    try:
        parts.bank_signature.check(body, request.headers)
    except Unauthenticated:
        parts.limits.count_stranger(address_of(request))
        raise
    withdrawal_id = _named_in(body)
    event_id = request.headers["webhook-id"]
    if withdrawal_id is None:
        return
    status = await run_in_threadpool(parts.notifications.status_if_new, event_id, withdrawal_id)
    if status is None:
        return
    await parts.engine.bank_changed(withdrawal_id, status)
    # Only now: of a prompt that failed, the bank's next try must not be taken for a repeat.
    await run_in_threadpool(parts.notifications.mark_seen, event_id, now=parts.clock())


def _named_in(body: bytes) -> UUID | None:
    try:
        sent = read_json(body)
    except ValueError as error:
        raise InvalidRequest([{"code": "malformed_json", "message": str(error)}]) from error
    try:
        return UUID(Notification.model_validate(sent).data.client_ref)
    except (ValidationError, ValueError):
        return None
