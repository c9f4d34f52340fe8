"""One trace from the HTTP call through the run and its activities to the bank's call; none unless OTel is set up.

The exporter is configured by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kin). Spans carry
names, ids and states: what failed is told by its class; the words and events of others are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp
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
                    if message["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
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


def call_spans(tracer: Tracer, peer: str) -> aiohttp.TraceConfig:
    """For a session: each call to ``peer`` is a span, and carries the trace in its ``traceparent`` header.

    The span ends with the head of the answer; a call without one is an error, told by its class.
    """

    async def start(_: aiohttp.ClientSession, call: SimpleNamespace, asked: aiohttp.TraceRequestStartParams) -> None:
        call.span = tracer.start_span(
            f"{asked.method} {peer}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": asked.method, "peer.service": peer},
        )
        propagate.inject(asked.headers, trace.set_span_in_context(call.span))

    async def end(_: aiohttp.ClientSession, call: SimpleNamespace, answered: aiohttp.TraceRequestEndParams) -> None:
        call.span.set_attribute("http.response.status_code", answered.response.status)
        call.span.end()

    async def fail(_: aiohttp.ClientSession, call: SimpleNamespace, cut: aiohttp.TraceRequestExceptionParams) -> None:
        # Whoever gives a call up, as by a cancellation, has not seen it fail.
        if isinstance(cut.exception, Exception):
            call.span.set_attribute("error.type", type(cut.exception).__name__)
            call.span.set_status(StatusCode.ERROR)
        call.span.end()

    config = aiohttp.TraceConfig()
    config.on_request_start.append(start)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    return config
