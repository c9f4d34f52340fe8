"""Sandbox: one shape for every refusal, `{"code", "message"}`, never with what the caller sent."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse


class Refusal(Exception):
    """An answer other than success, with the HTTP status it gets."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def bank_unavailable() -> Refusal:
    """Nothing is said about whether the call was carried out."""
    return Refusal(503, "unavailable", "The bank cannot answer now.")


def answer_refusals_as_json(app: FastAPI) -> None:
    """Refusals and invalid requests leave as plain JSON."""

    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"code": refusal.code, "message": refusal.message}, refusal.status)

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(_: Request, invalid: RequestValidationError) -> JSONResponse:
        fields = [
            {"field": ".".join(str(part) for part in error["loc"]), "message": error["msg"]}
            for error in invalid.errors()
        ]
        return JSONResponse({"code": "invalid_request", "message": "The request is not valid.", "errors": fields}, 422)
