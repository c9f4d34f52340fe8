"""The codec server: what Temporal's UI and command line ask to read and write encrypted payloads. A process of its own.

``POST /decode`` and ``POST /encode`` take and give ``{"payloads": […]}`` in protobuf's JSON. Both need a token with the
scope ``operations`` or ``finance``: with ``/encode`` one can speak to runs.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
from fastapi import FastAPI, Header, Request, Response
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.middleware.cors import CORSMiddleware
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.envconfig import ClientConfig

from api.authentication import FINANCE, OPERATIONS, Authenticator
from api.body import RequestLimits
from api.issuer_keys import FetchedKeys
from api.metrics import CONTENT_TYPE, Metrics
from api.problems import Forbidden, Unauthenticated, answer_in_problems, refuse_request
from api.request_log import RequestLog, log_json_lines
from domain.errors import InvalidRequest, NotFound
from payloads.encryption import ENCODING as ENCRYPTED
from payloads.encryption import EncryptedPayloads
from payloads.keys import KeyMissing, PayloadKeys
from payloads.refused import BY_HAND, ENCODING
from production import require_safe_codec
from settings import CodecSettings

ISSUER_TIMEOUT_S = 3.0
BODY_LIMIT = 8 * 1024 * 1024
"""A page of history is sent at once, up to the 4 MiB of Temporal's own messages, in base64."""
LONGEST = 1000
"""Payloads in one request."""

_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class CodecParts:
    """What the codec server works with."""

    codec: EncryptedPayloads
    authenticator: Authenticator
    origin_without_token: str | None = None


def create_app() -> FastAPI:
    """The codec server as its settings say."""
    settings = CodecSettings()
    require_safe_codec(settings)
    log_json_lines()
    metrics = Metrics()
    namespace = ClientConfig.load_client_connect_config().get("namespace", "default")
    codec = EncryptedPayloads(PayloadKeys(settings.payload_key_file), namespace, metrics.count_payload)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # trust_env=False: a proxy of the machine has no business between us and the issuer.
        async with httpx.AsyncClient(timeout=ISSUER_TIMEOUT_S, trust_env=False) as issuer:
            keys = FetchedKeys(issuer, settings.jwks_url)
            authenticator = Authenticator(keys, settings.jwt_issuer, settings.jwt_audience, lambda: datetime.now(UTC))
            app.state.parts = CodecParts(codec, authenticator, settings.codec_origin_without_token)
            yield

    return build_app(settings.codec_origins, metrics, lifespan=lifespan)


def build_app(
    origins: Sequence[str],
    metrics: Metrics,
    parts: CodecParts | None = None,
    *,
    lifespan: Callable[[FastAPI], Any] | None = None,
) -> FastAPI:
    """The app around ready-made parts; without them, ``lifespan`` has to put them in place."""
    app = FastAPI(lifespan=lifespan, redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.parts = parts
    _add_routes(app, metrics)
    methods = {"/encode": ["POST"], "/decode": ["POST"], "/healthz": ["GET"], "/metrics": ["GET"]}
    answer_in_problems(app, methods)
    app.add_middleware(RequestLimits, refuse=refuse_request, limit=BODY_LIMIT)
    # Outside of authentication: a browser's preflight carries no token.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type", "X-Namespace"],
        # A UI that is set to send cookies, for a proxy in front of us, is answered too; we read none.
        allow_credentials=True,
        max_age=600,
    )
    app.add_middleware(RequestLog, metrics=metrics)
    return app


def _add_routes(app: FastAPI, metrics: Metrics) -> None:
    @app.post("/encode")
    async def encode(request: Request, x_namespace: Annotated[str | None, Header()] = None) -> Response:
        codec = await _admit(request, x_namespace)
        return _answer(await codec.encode(_read(await request.body())))

    @app.post("/decode")
    async def decode(request: Request, x_namespace: Annotated[str | None, Header()] = None) -> Response:
        codec = await _admit(request, x_namespace)
        return _answer([await _show(codec, payload) for payload in _read(await request.body())])

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)


async def _admit(request: Request, namespace: str | None) -> EncryptedPayloads:
    """The codec for whoever may use it; a token is looked at before anything else."""
    parts: CodecParts = request.app.state.parts
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        caller = await parts.authenticator.authenticate(token)
        if caller.scopes.isdisjoint((OPERATIONS, FINANCE)):
            raise Forbidden
    elif not _from_the_sandbox_ui(request, parts.origin_without_token):
        raise Unauthenticated
    # The key is bound to one namespace; for another, there is nothing here.
    if namespace != parts.codec.namespace:
        raise NotFound
    return parts.codec


def _from_the_sandbox_ui(request: Request, origin: str | None) -> bool:
    """A page of the one origin that needs no token, on this machine. No other page can claim it; a program can."""
    server, client = request.scope.get("server"), request.client
    return (
        origin is not None
        and request.headers.get("origin") == origin
        and server is not None
        and server[0] in _LOOPBACK
        and client is not None
        and client.host in _LOOPBACK
    )


def _read(body: bytes) -> list[Payload]:
    try:
        payloads = list(Parse(body, Payloads()).payloads)
    except (ParseError, UnicodeDecodeError, RecursionError) as unreadable:
        raise InvalidRequest from unreadable
    if len(payloads) > LONGEST:  # None at all is usual: the command line sends what a query has no arguments of.
        raise InvalidRequest
    return payloads


async def _show(codec: EncryptedPayloads, payload: Payload) -> Payload:
    """The payload as a person may read it; what does not open says so in its place, and keeps no other from opening.

    What is in clear stays as it is: Temporal writes some of its own. Our runs refuse it all the same, and say so.
    """
    if payload.metadata.get("encoding") != ENCRYPTED:
        return payload
    try:
        (opened,) = await codec.decode([payload])
    except KeyMissing as missing:
        return _json(f"cannot be read: {missing}")
    if opened.metadata.get("encoding") == ENCODING:
        return _json(f"refused: {opened.data.decode()}")
    if BY_HAND in opened.metadata:
        del opened.metadata[BY_HAND]
    return opened


def _json(text: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(text).encode())


def _answer(payloads: list[Payload]) -> Response:
    return Response(MessageToJson(Payloads(payloads=payloads), indent=None), media_type="application/json")
