"""The spans of calls outside: each ends once, whatever became of its call."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientTimeout, ServerDisconnectedError
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from outside import session_to
from telemetry.traces import call_spans
from tests.answering import answer, answering


async def test_a_calls_span_says_what_became_of_it() -> None:
    """Answered with a status, cut off by class, given up without a verdict; its header names the span itself."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    async with (
        answering(answer(503)) as party,
        session_to(party.url, ClientTimeout(total=5), trust_env=False, traces=[call_spans(tracer, "bank")]) as http,
    ):
        with tracer.start_as_current_span("the step") as step:
            assert (await http.get("transfers")).status == 503
            assert trace.get_current_span() is step
        party.says = b""
        with pytest.raises(ServerDisconnectedError):
            await http.post("transfers")
        party.falls_silent = True
        given_up = asyncio.create_task(http.get("transfers"))
        await party.silent.wait()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
    provider.shutdown()

    spans = [span for span in exporter.get_finished_spans() if span.name != "the step"]
    assert [(span.name, span.status.status_code.name, dict(span.attributes or {})) for span in spans] == [
        ("GET bank", "UNSET", told("GET") | {"http.response.status_code": 503}),
        ("POST bank", "ERROR", told("POST") | {"error.type": "ServerDisconnectedError"}),
        ("GET bank", "UNSET", told("GET")),
    ]
    assert not any(span.events for span in spans)
    assert [span.parent for span in spans] == [step.get_span_context(), None, None]
    for span, asked in zip(spans, party.asked, strict=True):
        assert span.context is not None
        ids = f"{trace.format_trace_id(span.context.trace_id)}-{trace.format_span_id(span.context.span_id)}"
        assert asked.headers["traceparent"].startswith(f"00-{ids}-")


def told(method: str) -> dict[str, str]:
    """What every such span tells."""
    return {"http.request.method": method, "peer.service": "bank"}
