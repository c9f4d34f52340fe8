"""Every refusal as ``application/problem+json`` (RFC 9457), by one table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Scope

from api.body import BodyTooLong, BodyTooSlow, HeadTooLarge, Limit, Unreadable
from domain.errors import (
    CodeExpired,
    FourEyesViolated,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    InvalidRequest,
    NotEligible,
    NotFound,
    NotPossibleNow,
    ReferenceReused,
    Refusal,
    TemporarilyUnavailable,
    TooManyRequests,
    WithdrawalInProgress,
    WrongCode,
)

MEDIA_TYPE = "application/problem+json"


@dataclass(eq=False)
class Unauthenticated(Refusal):
    """Nothing that can be believed; ``scheme`` is what the caller should have used (RFC 9110, 11.6.1)."""

    token_was_bad: bool = False
    scheme: str | None = "Bearer"
    code = "unauthenticated"
    title = "Who calls could not be verified."


@dataclass(eq=False)
class Forbidden(Refusal):
    """We know who it is, and it is not theirs to do."""

    code = "forbidden"
    title = "The token's scope does not allow this."


@dataclass(eq=False)
class IdempotencyKeyMissing(Refusal):
    """Without a key a repeated application could become a second one."""

    code = "idempotency_key_missing"
    title = "The header Idempotency-Key is missing."


@dataclass(eq=False)
class BodyTooLarge(Refusal):
    """More than 16 KiB."""

    code = "body_too_large"
    title = "The request body is larger than 16 KiB."


@dataclass(eq=False)
class HeadersTooLarge(Refusal):
    """More than 32 KiB of path, query and headers."""

    code = "headers_too_large"
    title = "The request's path, query and headers are larger than 32 KiB."


@dataclass(eq=False)
class RequestTimeout(Refusal):
    """The body did not arrive in time."""

    code = "request_timeout"
    title = "The request body did not arrive within 15 seconds."


@dataclass(eq=False)
class MethodNotAllowed(Refusal):
    """The path exists, the method on it does not."""

    allowed: Sequence[str] = field(kw_only=True)
    code = "method_not_allowed"
    title = "This method is not allowed here."


@dataclass(eq=False)
class InternalError(Refusal):
    """Our own fault; the log has it under the request id."""

    code = "internal_error"
    title = "Something went wrong on our side."


STATUS: Mapping[type[Refusal], HTTPStatus] = {
    IdempotencyKeyMissing: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    FourEyesViolated: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    WithdrawalInProgress: HTTPStatus.CONFLICT,
    CodeExpired: HTTPStatus.CONFLICT,
    NotPossibleNow: HTTPStatus.CONFLICT,
    IdempotencyKeyInUse: HTTPStatus.CONFLICT,
    RequestTimeout: HTTPStatus.REQUEST_TIMEOUT,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HeadersTooLarge: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotEligible: HTTPStatus.UNPROCESSABLE_ENTITY,
    WrongCode: HTTPStatus.UNPROCESSABLE_ENTITY,
    IdempotencyKeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    ReferenceReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    InternalError: HTTPStatus.INTERNAL_SERVER_ERROR,
    TemporarilyUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The one table from a refusal to its HTTP status (product.md, "What bad input gets")."""


def problem_response(refusal: Refusal, request_id: str, extra_headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The whole answer to a refused call, its headers included."""
    status = STATUS[type(refusal)]
    document = {
        **_extensions(refusal),
        "type": f"/problems/{refusal.code}",
        "title": refusal.title,
        "status": status.value,
        "detail": _detail(refusal),
        "code": refusal.code,
        "request_id": request_id,
    }
    headers = {**_headers(refusal), **(extra_headers or {})}
    return JSONResponse(document, status.value, headers, media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """The id under which this request is logged and answered."""
    return str(request.scope["state"]["request_id"])


def answer_in_problems(app: FastAPI, methods: Mapping[str, Sequence[str]]) -> None:
    """Registers the handlers; ``methods`` are those of each path template."""

    async def refuse(request: Request, refusal: Exception) -> JSONResponse:
        assert isinstance(refusal, Refusal)
        return problem_response(refusal, request_id_of(request))

    async def refuse_form(request: Request, invalid: Exception) -> JSONResponse:
        assert isinstance(invalid, RequestValidationError)
        return problem_response(_of_validation(invalid), request_id_of(request))

    async def refuse_route(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        template = getattr(request.scope.get("route"), "path", "")
        refusal = _of_status(error.status_code, methods.get(template, ()))
        return problem_response(refusal, request_id_of(request))

    app.add_exception_handler(Refusal, refuse)
    app.add_exception_handler(RequestValidationError, refuse_form)
    app.add_exception_handler(HTTPException, refuse_route)


def _extensions(refusal: Refusal) -> dict[str, Any]:
    if isinstance(refusal, NotPossibleNow):
        # `status` is the HTTP status in a problem document (RFC 9457, 3.1.2); the withdrawal's is apart.
        return {"withdrawal_status": str(refusal.status)}
    return refusal.facts()


def _detail(refusal: Refusal) -> str:
    if isinstance(refusal, NotPossibleNow):
        return f"The withdrawal is {refusal.status}."
    if isinstance(refusal, NotEligible):
        return " ".join(reason.message for reason in refusal.reasons) or refusal.title
    return str(refusal)


def _headers(refusal: Refusal) -> dict[str, str]:
    if isinstance(refusal, TooManyRequests | IdempotencyKeyInUse | TemporarilyUnavailable):
        return {"Retry-After": str(refusal.retry_after_s)}
    if isinstance(refusal, Unauthenticated) and refusal.scheme is not None:
        reason = ' error="invalid_token"' if refusal.token_was_bad else ""
        return {"WWW-Authenticate": refusal.scheme + reason}
    if isinstance(refusal, RequestTimeout):
        # What is still to come of this request must not be read as the next one (RFC 9110, 15.5.9).
        return {"Connection": "close"}
    if isinstance(refusal, MethodNotAllowed):
        return {"Allow": ", ".join(refusal.allowed)}
    return {}


def _of_status(status: int, allowed: Sequence[str]) -> Refusal:
    match status:
        case HTTPStatus.NOT_FOUND:
            return NotFound()
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return MethodNotAllowed(allowed=allowed)
        case HTTPStatus.BAD_REQUEST:
            return InvalidRequest()
        case _:
            return InternalError()


_CODES = {"missing": "missing", "extra_forbidden": "unknown_field"}
_MESSAGES = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field.",
    "model_type": "This is a JSON object.",
    "model_attributes_type": "This is a JSON object.",
}
_FIELD = re.compile(r"(?!.*[0-9]{6})[A-Za-z0-9_.-]{1,100}")
"""No field of ours has a long number in its name: that is somebody's phone or card in the wrong place."""


def _of_validation(invalid: RequestValidationError) -> Refusal:
    if isinstance(invalid.body, Unreadable):
        return InvalidRequest([{"code": "malformed_json", "message": invalid.body.reason}])
    errors = invalid.errors()
    if any(error["loc"] == ("header", "Idempotency-Key") and error["type"] == "missing" for error in errors):
        return IdempotencyKeyMissing()
    return InvalidRequest([_entry(error) for error in errors])


def _entry(error: Mapping[str, Any]) -> dict[str, str]:
    """One field's error. No value is sent back, and no name that a field of ours could not have."""
    kind = error["type"]
    reason = error.get("ctx", {}).get("error")
    message = str(reason) if kind == "value_error" else _MESSAGES.get(kind, error["msg"])
    name = ".".join(str(part) for part in error["loc"][1:])
    entry = {"code": _CODES.get(kind, "invalid"), "message": message}
    return {**entry, "field": name} if _FIELD.fullmatch(name) else entry


_PASSED: Mapping[type[Limit], type[Refusal]] = {
    HeadTooLarge: HeadersTooLarge,
    BodyTooLong: BodyTooLarge,
    BodyTooSlow: RequestTimeout,
}


def refuse_request(scope: Scope, limit: type[Limit]) -> ASGIApp:
    """The answer to a request that passes one of the limits, before anything of the app runs."""
    return problem_response(_PASSED[limit](), scope["state"]["request_id"])
