"""The app factories: ``create_app`` for a process, ``build_app`` for whoever brings the parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Scope
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig

from api import accounts, bank_notifications, billing, dead_letters, finance, operations, reconciliation, withdrawals
from api.authentication import Authenticator
from api.bank_signature import BankSignature
from api.body import BodyLimit
from api.described import PROBLEM_SCHEMA
from api.engine import Engine, TemporalEngine
from api.issuer_keys import FetchedKeys
from api.metrics import Metrics
from api.parts import Parts
from api.problems import BodyTooLarge, answer_in_problems, problem_response
from api.request_log import RequestLog, log_json_lines
from api.shapes import Notification
from failpoints import API_PARTS, Failpoints
from ledger.accounts import Accounts
from ledger.applications import Applications
from ledger.database import Database
from ledger.instructions import Instructions
from ledger.outbox import Outbox
from ledger.reads import Oversight, Reads
from ledger.statements import Statements
from ledger.verifications import Verifications
from settings import Settings

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
    """The API as its settings say. It starts, and serves reads, whether or not Temporal is there."""
    settings = Settings()
    log_json_lines()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database.connect(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
        client = await Client.connect(**_connection(), lazy=True, data_converter=pydantic_data_converter)
        # trust_env=False: a proxy of the machine has no business between us and the issuer.
        async with httpx.AsyncClient(timeout=ISSUER_TIMEOUT_S, trust_env=False) as issuer:
            app.state.parts = _parts(settings, database, client, issuer)
            try:
                yield
            finally:
                database.close()

    return build_app(lifespan=lifespan)


def build_app(parts: Parts | None = None, *, lifespan: Lifespan | None = None) -> FastAPI:
    """The app around ready-made parts; without them, ``lifespan`` has to put them in place."""
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        lifespan=lifespan,
        # A redirect would lose the body of a POST, and interactive pages load scripts from elsewhere.
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: f"{route.tags[0]}_{route.name}",
    )
    app.state.parts = parts

    def read_totals() -> Mapping[str, tuple[int, int]]:
        # The parts may come after the app.
        return cast(Parts, app.state.parts).reads.totals()

    def read_oversight() -> Oversight:
        return cast(Parts, app.state.parts).reads.oversight()

    app.state.metrics = Metrics(read_totals, read_oversight)
    for router in ROUTERS:
        app.include_router(router)
    answer_in_problems(app, _methods())
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, refuse=_refuse_body)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return app


def _parts(settings: Settings, database: Database, client: Client, issuer: httpx.AsyncClient) -> Parts:
    keys, rules = settings.key_ring(), settings.rules()

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
        applications=Applications(database, keys, rules, settings.approval_policy(), settings.test_cards),
        verifications=Verifications(database, keys),
        reads=Reads(database, keys, rules),
        statements=Statements(database),
        outbox=Outbox(database),
        engine=engine,
        authenticator=Authenticator(
            FetchedKeys(issuer, settings.jwks_url), settings.jwt_issuer, settings.jwt_audience, clock
        ),
        bank_signature=BankSignature(settings.bank_webhook_secrets),
        clock=clock,
    )


def _connection() -> dict[str, Any]:
    """Temporal's own variables and profiles, with its own defaults."""
    return {"target_host": "localhost:7233", **ClientConfig.load_client_connect_config()}


def _refuse_body(scope: Scope) -> ASGIApp:
    return problem_response(BodyTooLarge(), scope["state"]["request_id"])


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
