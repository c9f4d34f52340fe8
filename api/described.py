"""What OpenAPI says of refusals and headers, from the same table that answers."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from api.problems import (
    MEDIA_TYPE,
    STATUS,
    BodyTooLarge,
    Forbidden,
    HeadersTooLarge,
    RequestTimeout,
    Unauthenticated,
)
from domain.errors import InvalidRequest, Refusal, TemporarilyUnavailable, TooManyRequests

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` is the word to act on; the rest is for people and for the log.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string", "description": "The same as in the header X-Request-Id."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "field": {"type": "string"},
                },
            },
        },
        "attempts_left": {"type": "integer", "description": "With `wrong_code`."},
        "withdrawal_id": {"type": "string", "format": "uuid", "description": "The one in progress."},
        "withdrawal_status": {"type": "string", "description": "With `not_possible_now`."},
        "retry_after_s": {"type": "integer", "description": "The same as in the header Retry-After."},
    },
}

LOCATION = {"Location": {"description": "Where the withdrawal is read.", "schema": {"type": "string"}}}
REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` if this is the first answer again.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

Responses = dict[int | str, dict[str, Any]]


def refused_with(*refusals: type[Refusal], public: bool = False) -> Responses:
    """The problem responses of a route, by status; a token, patience and a database everybody can lack."""
    everywhere = (
        RequestTimeout,
        BodyTooLarge,
        InvalidRequest,
        TooManyRequests,
        HeadersTooLarge,
        TemporarilyUnavailable,
    )
    own = () if public else (Unauthenticated, Forbidden)
    by_status: dict[int, list[type[Refusal]]] = defaultdict(list)
    for refusal in dict.fromkeys((*refusals, *own, *everywhere)):
        by_status[STATUS[refusal].value].append(refusal)
    return {status: _response(status, kinds) for status, kinds in sorted(by_status.items())}


def _response(status: int, refusals: list[type[Refusal]]) -> dict[str, Any]:
    described = "\n".join(f"- `{refusal.code}`: {refusal.title}" for refusal in refusals)
    response: dict[str, Any] = {"description": described, "content": _CONTENT}
    if status in (409, 429, 503):
        response["headers"] = _RETRY_AFTER
    return response
