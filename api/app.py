"""The app factories: ``create_app`` for a process, ``build_app`` for whoever brings the parts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from opentelemetry.trace import Tracer
from temporalio.client import Client
from temporalio.envconfig import ClientConfig

from api import accounts, bank_notifications, billing, dead_letters, finance, operations, reconciliation, withdrawals
from api.authentication import Authenticator
from api.bank_signature import BankSignature
from api.body import BODY_DEADLINE_S, RequestLimits
from api.described import PROBLEM_SCHEMA
from api.engine import Engine, TemporalEngine
from api.issuer_keys import FetchedKeys
from api.metrics import Metrics
from api.parts import Parts
from api.problems import answer_in_problems, refuse_request
from api.rate_limits import CallLimits, Rate
from api.request_log import RequestLog
from api.security_headers import SecurityHeaders
from api.shapes import Notification
from failpoints import API_PARTS, Failpoints
from ledger.accounts import Accounts
from ledger.applications import Applications
from ledger.database import Database
from ledger.instructions import Instructions
from ledger.kept_keys import KeptKeys
from ledger.key_events import KeyEvents
from ledger.notifications import SeenNotifications
from ledger.outbox import Outbox
from ledger.reads import Oversight, Reads, Waiting
from ledger.statements import Statements
from ledger.verifications import Verifications
from payloads.encryption import data_converter
from production import require_safe
from settings import Settings
from telemetry.engine import runtime
from telemetry.logs import log_json_lines
from telemetry.traces import NAME, TracedRequests, interceptor, tracer_provider

TITLE = "Balance withdrawal"
VERSION = "1"
ISSUER_TIMEOUT_S = 3.0

ROUTERS = (
    accounts.routes,
    withdrawals.routes,
    finance.routes,
    billing.routes,
    bank_notifications.routes,
    reconciliation.routes,
    dead_letters.routes,
    operations.routes,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app() -> FastAPI:
    """The API as its settings say, or ``Unsafe``. It starts, and serves reads, whether or not Temporal is there."""
    settings = Settings()
    require_safe(settings, _connection())
    log_json_lines()
    provider = tracer_provider("withdrawals-api") if settings.traced else None
    tracer = None if provider is None else provider.get_tracer(NAME)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database.connect(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
        connection = _connection()
        converter = data_converter(
            settings.payload_keys(), connection.get("namespace", "default"), app.state.metrics.count_payload
        )
        client = await Client.connect(
            **connection,
            lazy=True,
            data_converter=converter,
            interceptors=[] if tracer is None else [interceptor(tracer)],
            runtime=runtime(None),
        )
        # trust_env=False: a proxy of the machine has no business between us and the issuer.
        async with httpx.AsyncClient(timeout=ISSUER_TIMEOUT_S, trust_env=False) as issuer:
            keys = settings.key_ring()
            app.state.parts = _parts(settings, keys, database, client, issuer)
            # Not waited for: the API starts whether or not the database is there.
            noting = asyncio.create_task(
                asyncio.to_thread(KeyEvents(database).taken_up, keys.ring, by="api", now=datetime.now(UTC))
            )
            try:
                yield
            finally:
                await noting
                database.close()
                if provider is not None:
                    provider.shutdown()

    return build_app(lifespan=lifespan, tracer=tracer, serve_openapi=settings.serve_openapi)


def build_app(
    parts: Parts | None = None,
    *,
    lifespan: Lifespan | None = None,
    tracer: Tracer | None = None,
    serve_openapi: bool = True,
    body_deadline_s: float = BODY_DEADLINE_S,
) -> FastAPI:
    """The app around ready-made parts; without them, ``lifespan`` has to put them in place."""
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        lifespan=lifespan,
        # A redirect would lose the body of a POST, and interactive pages load scripts from elsewhere.
        redirect_slashes=False,
        openapi_url="/openapi.json" if serve_openapi else None,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: f"{route.tags[0]}_{route.name}",
    )
    app.state.parts = parts

    def read_waiting() -> Mapping[str, Waiting]:
        # The parts may come after the app.
        parts = cast(Parts, app.state.parts)
        return parts.reads.waiting(now=parts.clock())

    def read_oversight() -> Oversight:
        return cast(Parts, app.state.parts).reads.oversight()

    app.state.metrics = Metrics(read_waiting, read_oversight)
    for router in ROUTERS:
        app.include_router(router)
    answer_in_problems(app, _methods())
    # The last one added is the outermost.
    app.add_middleware(RequestLimits, refuse=refuse_request, deadline_s=body_deadline_s)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    if tracer is not None:
        app.add_middleware(TracedRequests, tracer=tracer)
    app.add_middleware(SecurityHeaders)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return app


def _parts(settings: Settings, keys: KeptKeys, database: Database, client: Client, issuer: httpx.AsyncClient) -> Parts:
    rules, limits = settings.rules(), settings.code_limits()

    def clock() -> datetime:
        return datetime.now(UTC)

    instructions, timeout = Instructions(database), timedelta(seconds=settings.engine_timeout_s)
    engine: Engine
    if settings.failpoints is None:
        engine = TemporalEngine(client, settings.task_queue, timeout, instructions)
    else:
        points = Failpoints(settings.failpoints)
        instructions = points.guard(instructions, "instructions", API_PARTS["instructions"])
        engine = TemporalEngine(client, settings.task_queue, timeout, instructions)
        engine = points.guard(engine, "engine", API_PARTS["engine"])
    return Parts(
        database=database,
        accounts=Accounts(database, keys),
        applications=Applications(database, keys, rules, settings.approval_policy(), settings.test_cards, limits),
        verifications=Verifications(database, keys, limits),
        reads=Reads(database, keys, rules),
        statements=Statements(database),
        outbox=Outbox(database),
        engine=engine,
        authenticator=Authenticator(
            FetchedKeys(issuer, settings.jwks_url), settings.jwt_issuer, settings.jwt_audience, clock
        ),
        bank_signature=BankSignature(settings.bank_webhook_secrets),
        notifications=SeenNotifications(database),
        limits=CallLimits(
            people=Rate(settings.calls_per_second, settings.calls_burst),
            billing=Rate(settings.billing_calls_per_second, settings.billing_calls_burst),
            strangers=Rate(settings.refused_per_second, settings.refused_burst),
        ),
        clock=clock,
    )


def _connection() -> dict[str, Any]:
    """Temporal's own variables and profiles, with its own defaults."""
    return {"target_host": "localhost:7233", **ClientConfig.load_client_connect_config()}


def _methods() -> Mapping[str, list[str]]:
    """Every method of each path, for the header Allow: a route knows only its own (RFC 9110, 10.2.1)."""
    methods: dict[str, list[str]] = defaultdict(list)
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                methods[route.path] += sorted(route.methods or ())
    return methods


def _describe(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=TITLE, version=VERSION, routes=app.routes)
        schemas = document["components"]["schemas"]
        schemas["Problem"] = PROBLEM_SCHEMA
        notification = Notification.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= notification.pop("$defs") | {"Notification": notification}
        app.openapi_schema = document
    return app.openapi_schema
