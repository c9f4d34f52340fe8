"""The app factory: settings in, pages out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console import desk, funds, log_in, record, sandbox_corner, withdrawing
from console.api_client import ApiClient, Away, Refused, SessionOver
from console.languages import load_languages
from console.people import Person
from console.rendering import STATIC, Templates
from console.sandbox_world import SandboxWorld
from console.seals import Seals
from console.settings import Settings
from console.visits import ForgedForm, FormTooLarge, LogInNeeded, Parts, Visit, visit_without_form

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Nothing inline, nothing from elsewhere."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
KEPT_FOR_A_YEAR = "public, max-age=31536000, immutable"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The console as its settings say. It starts, and says so on its pages, whether or not the API is there."""
    settings = settings or Settings()
    languages = load_languages()
    seals = Seals(settings.secret_file.read_bytes())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # trust_env=False: a proxy of the machine has no business between us and the API.
        async with (
            httpx.AsyncClient(base_url=settings.api_url, timeout=settings.api_timeout_s, trust_env=False) as api,
            httpx.AsyncClient(base_url=settings.sandbox_url, timeout=5, trust_env=False) as outside,
        ):
            sandbox = SandboxWorld(outside) if settings.sandbox_url else None
            token_of = sandbox.token_of if sandbox else _forwarded
            templates = Templates(languages)
            app.state.parts = Parts(settings, seals, languages, templates, ApiClient(api, token_of), sandbox)
            yield

    app = FastAPI(title="Console", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    for routes in (log_in.routes, funds.routes, withdrawing.routes, record.routes, desk.routes):
        app.include_router(routes)
    if settings.sandbox_url:
        for routes in (log_in.sandbox_routes, funds.sandbox_routes, sandbox_corner.routes):
            app.include_router(routes)
    app.mount("/static", StaticFiles(directory=STATIC))
    _answer_failures_on_pages(app)
    app.add_middleware(_Headers, secure=settings.secure_cookies)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """It serves pages; whether the API does is the API's to say."""
        return {"status": "ok"}

    return app


async def _forwarded(person: Person, anew: bool) -> str:
    """In production the vendor's log-in hands the token over with each request, and renews it."""
    if person.token is None or anew:
        raise SessionOver
    return person.token


def _answer_failures_on_pages(app: FastAPI) -> None:
    async def ask_to_log_in(request: Request, error: Exception) -> Response:
        visit = error.visit if isinstance(error, LogInNeeded) else visit_without_form(request)
        return await _ask_to_log_in(visit)

    async def say_refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return await _say(request, error.status, error.code, error.retry_after_s)

    async def say_away(request: Request, _: Exception) -> Response:
        return await _say(request, HTTPStatus.SERVICE_UNAVAILABLE, "temporarily_unavailable")

    async def say_forged(request: Request, _: Exception) -> Response:
        return await _say(request, HTTPStatus.FORBIDDEN, "forged_form")

    async def say_too_large(request: Request, _: Exception) -> Response:
        return await _say(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")

    async def say_no_route(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        return await _say(request, status, "no_page")

    async def say_broken(request: Request, _: Exception) -> Response:
        response = await _say(request, HTTPStatus.INTERNAL_SERVER_ERROR, "broken")
        # This page is made outside of the middleware.
        response.headers.update(HEADERS)
        return response

    for kind, say in (
        (LogInNeeded, ask_to_log_in),
        (SessionOver, ask_to_log_in),
        (Refused, say_refused),
        (Away, say_away),
        (ForgedForm, say_forged),
        (FormTooLarge, say_too_large),
        (HTTPException, say_no_route),
        (RequestValidationError, say_no_route),
        (Exception, say_broken),
    ):
        app.add_exception_handler(kind, say)


async def _ask_to_log_in(visit: Visit) -> Response:
    if visit.parts.sandbox is None:
        # The vendor's log-in stands in front of every page: who gets here has no business on this one.
        return await visit.page("problem.html", HTTPStatus.FORBIDDEN, code="forbidden", retry_after_s=None)
    response = visit.go(f"{log_in.LOG_IN}?next={visit.request.url.path}")
    visit.keep_draft(response)
    return response


async def _say(request: Request, status: int, code: str, retry_after_s: int | None = None) -> Response:
    visit = visit_without_form(request)
    return await visit.page("problem.html", status, code=code, retry_after_s=retry_after_s)


class _Headers:
    """Puts the headers that keep a page to itself on every answer; pages are kept by nobody, static files for long."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes everything on, and adds to the start of the answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                kept = scope["path"].startswith("/static/") and message["status"] == HTTPStatus.OK
                headers["Cache-Control"] = KEPT_FOR_A_YEAR if kept else "no-store"
            await send(message)

        await self._app(scope, receive, send_with_headers)
