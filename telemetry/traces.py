"""One trace from the HTTP call through the run and its activities to the bank's call; none unless OTel is set up.

The exporter is configured by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kin). Spans carry
names, ids and states: what failed is told by its class; the words and events of others are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import httpx
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.contrib.opentelemetry import TracingInterceptor

NAME = "balance-withdrawal"

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""What machines ask every few seconds."""


def tracer_provider(service: str) -> TracerProvider:
    """Sends spans by OTLP over HTTP, in batches. ``OTEL_SERVICE_NAME`` goes before ``service``."""
    resource = Resource.create({"service.name": service}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Discreet(OTLPSpanExporter())))
    return provider


def interceptor(tracer: Tracer) -> TracingInterceptor:
    """For the client of API and worker: the run and its activities join the trace of the call that started it."""
    return TracingInterceptor(tracer)


class Discreet(SpanExporter):
    """Passes spans on without their events and descriptions: an exception's words may quote a row or a request."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_discreet(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _discreet(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


@dataclasses.dataclass(frozen=True)
class TracedRequests:
    """A span for each request, named by its route's template. A caller's own trace is linked, not joined."""

    app: ASGIApp
    tracer: Tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on inside its span."""
        if scope["type"] != "http" or scope["path"] in UNTRACED:
            await self.app(scope, receive, send)
            return
        with self.tracer.start_as_current_span(
            scope["method"], kind=SpanKind.SERVER, links=_links(scope), record_exception=False
        ) as span:

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= httpx.codes.INTERNAL_SERVER_ERROR:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            try:
                await self.app(scope, receive, send_noted)
            finally:
                route = getattr(scope.get("route"), "path", None)
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                span.set_attribute("http.request.method", scope["method"])


def _links(scope: Scope) -> list[Link]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    callers = trace.get_current_span(propagate.extract(headers)).get_span_context()
    return [Link(callers)] if callers.is_valid else []


class TracedClient(httpx.AsyncClient):
    """A client whose calls to ``peer`` are spans, and carry the trace in their ``traceparent`` header."""

    def __init__(self, tracer: Tracer, peer: str, **options: Any) -> None:
        super().__init__(**options)
        self._tracer = tracer
        self._peer = peer

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Sends it inside a span; a call without an answer is an error, told by its class."""
        with self._tracer.start_as_current_span(
            f"{request.method} {self._peer}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": request.method, "peer.service": self._peer},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            propagate.inject(request.headers)
            try:
                response = await super().send(request, **options)
            except httpx.HTTPError as cut:
                span.set_attribute("error.type", type(cut).__name__)
                span.set_status(StatusCode.ERROR)
                raise
            span.set_attribute("http.response.status_code", response.status_code)
            return response
