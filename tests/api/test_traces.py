"""One trace from the HTTP call to the bank's call, over the real Temporal; and nobody's data in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import build_app
from api.engine import TemporalEngine
from api.parts import Parts
from bank.client import HttpBank
from domain.withdrawal import Status
from ledger.database import Database
from ledger.encryption import KeyRing
from outside import BANK_TIMEOUT, session_to
from telemetry.traces import NAME, Discreet, call_spans, interceptor
from tests.answering import answer, answering
from tests.api.console import Console
from tests.api.issuer import TestIssuer
from tests.api.played_engine import PlayedEngine
from tests.workflows.house import KEYS, House, now

CALLERS_OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Spans:
    """Whatever was exported, through the same filter as in production."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    provider: TracerProvider = field(default_factory=TracerProvider)

    def __post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(Discreet(self.exporter)))
        self.tracer = self.provider.get_tracer(NAME)

    def named(self, name: str) -> list[ReadableSpan]:
        """The finished spans of this name."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The only span of this name."""
        (span,) = self.named(name)
        return span


@pytest.fixture
def spans() -> Iterator[Spans]:
    """What would have been sent."""
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@pytest.fixture
def keys() -> KeyRing:
    """The worker's and the API's are the same."""
    return KEYS


async def test_one_trace_leads_from_the_application_to_the_banks_call(
    parts: Parts, ledger_database: Database, issuer: TestIssuer, temporal_client: Client, spans: Spans
) -> None:
    """Through the client, the run, the activity and the header that the bank gets; and no personal data in it."""
    client = await Client.connect(
        temporal_client.service_client.config.target_host,
        data_converter=pydantic_data_converter,
        interceptors=[interceptor(spans.tracer)],
    )
    house = House(client, ledger_database)
    engine = TemporalEngine(client, house.task_queue, timedelta(seconds=20), house.instructions)
    app = build_app(replace(parts, engine=engine, clock=now), tracer=spans.tracer)
    async with (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api.test", headers={"traceparent": CALLERS_OWN}
        ) as http,
        answering(answer(200, '{"bank_ref": "B1", "state": "succeeded"}')) as bank,
        session_to(bank.url, BANK_TIMEOUT, trust_env=False, traces=[call_spans(spans.tracer, "bank")]) as bank_http,
        house.worker_with(HttpBank(bank_http)),
    ):
        bank.says_first = ["6230580000000000013 of 张三 took too long\r\n\r\n".encode()]
        console = Console(http, issuer, cast(PlayedEngine, engine), ledger_database)
        await console.open_account("acct_1001", cash="1280.00")
        withdrawal = await console.applied()
        verified = await console.verify(withdrawal, house.sms.last_code)
        assert verified.status_code == 200, verified.text
        assert await house.handle(UUID(withdrawal["id"])).result() is Status.PAID
        await console.as_customer("GET", f"/v1/withdrawals/{uuid4()}")

    applying = spans.one("POST /v1/withdrawals")
    trace = trace_of(applying)
    for name in ("StartUpdateWithStartWorkflow:WithdrawalWorkflow", "RunWorkflow:WithdrawalWorkflow"):
        assert trace in {trace_of(span) for span in spans.named(name)}, name
    for name in ("StartActivity:ask_bank", "RunActivity:ask_bank", "RunActivity:freeze", "POST bank"):
        assert {trace_of(span) for span in spans.named(name)} == {trace}, name
    # A submission without an answer, then the question for it: both told the bank which trace they are of.
    assert [asked.headers["traceparent"].split("-")[1] for asked in bank.asked] == [trace] * 2
    # The caller's own trace is linked and not joined: nobody writes into ours.
    assert [format_trace_id(link.context.trace_id) for link in applying.links] == [CALLERS_OWN.split("-")[1]]
    cut, answered = spans.one("POST bank"), spans.one("GET bank")
    named: dict[str, Any] = {"peer.service": "bank", "http.request.method": "POST"}
    assert (cut.kind, cut.status.status_code) == (SpanKind.CLIENT, StatusCode.ERROR)
    assert cut.attributes == named | {"error.type": "ClientResponseError"}
    assert (answered.kind, answered.status.status_code) == (SpanKind.CLIENT, StatusCode.UNSET)
    assert answered.attributes == named | {"http.request.method": "GET", "http.response.status_code": 200}
    told = "".join(span.to_json() for span in spans.exporter.get_finished_spans())
    assert withdrawal["id"] in told
    for secret in ("张三", "13800001234", "6230580000000000013", house.sms.last_code, "customer-1", "took too long"):
        assert secret not in told
    assert "/v1/withdrawals/{withdrawal_id}" in told


def trace_of(span: ReadableSpan) -> str:
    """The trace's id as traceparent writes it."""
    assert span.context is not None
    return format_trace_id(span.context.trace_id)
