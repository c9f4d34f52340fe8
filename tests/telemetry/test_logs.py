"""The log: JSON whoever writes it, with the withdrawal and the trace, and without anybody's data."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id
from temporalio import activity, workflow

from domain.errors import InvariantBroken
from telemetry.logs import bind_withdrawal, log_json_lines, withdrawal_of
from telemetry.traces import Discreet

NAME, CARD = "张三", "6230580000000000013"


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """Whatever a test sets up is put back as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = before
    root.setLevel(level)
    activity.logger.activity_info_on_message = workflow.logger.workflow_info_on_message = True


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was written, line by line."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_ours_and_a_librarys_lines_look_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """Both are one JSON object with level, time, withdrawal and trace."""
    log_json_lines()
    withdrawal_id = str(uuid4())
    bind_withdrawal(f"withdrawal-{withdrawal_id}")
    with TracerProvider().get_tracer("test").start_as_current_span("a call") as span:
        structlog.get_logger().info("ours", amount=5)
        logging.getLogger("ledger.database").warning("PostgreSQL is away: %s", "AdminShutdown")
    ours, librarys = lines(capsys)
    trace = format_trace_id(span.get_span_context().trace_id)
    for line in (ours, librarys):
        assert (line["withdrawal_id"], line["trace_id"]) == (withdrawal_id, trace)
        assert line["timestamp"].endswith("Z")
    assert (ours["event"], ours["level"], ours["amount"]) == ("ours", "info", 5)
    assert (librarys["event"], librarys["level"]) == ("PostgreSQL is away: AdminShutdown", "warning")
    assert librarys["logger"] == "ledger.database"


def test_a_line_of_the_sdk_names_the_run_in_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """The withdrawal is read off the run's id, the return's run included."""
    log_json_lines()
    withdrawal_id = str(uuid4())
    run = {
        "workflow_id": f"bank-return-{withdrawal_id}",
        "activity_type": "query_bank",
        "attempt": 3,
        "task_queue": "q",
    }
    logging.getLogger("temporalio.activity").warning("failed", extra={"temporal_activity": run})
    (line,) = lines(capsys)
    assert (line["withdrawal_id"], line["activity_type"], line["attempt"]) == (withdrawal_id, "query_bank", 3)
    assert withdrawal_of("reconciliation-2026-11-25T00:00:00Z") is None


def test_an_exception_is_told_without_the_words_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    """A validator's or a driver's message may quote the form; ours are written to be read."""
    log_json_lines()
    try:
        _break()
    except InvariantBroken:
        structlog.get_logger().exception("request_failed")
        logging.getLogger("some.library").exception("it failed")
    written = capsys.readouterr().out
    assert NAME not in written
    assert CARD not in written
    for line in map(json.loads, written.splitlines()):
        broken, others = line["exception"]
        assert (broken["type"], broken["words"]) == ("InvariantBroken", "two payments of one withdrawal")
        assert others["type"] == "ValueError"
        assert "words" not in others
        assert "test_logs.py" in broken["places"][-1]


def test_the_web_servers_own_access_log_is_off(capsys: pytest.CaptureFixture[str]) -> None:
    """It would write paths and queries, whatever the command line says."""
    log_json_lines()
    logging.getLogger("uvicorn.access").info('"GET /v1/withdrawals?account_id=acct_1 HTTP/1.1" 200')
    logging.getLogger("httpx").info("HTTP Request: GET http://bank/transfers/1")
    assert lines(capsys) == []


def test_a_span_is_sent_without_the_words_of_an_exception() -> None:
    """Neither as an event nor as the status's description."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Discreet(exporter)))
    with (
        pytest.raises(ValueError, match="no integer"),
        provider.get_tracer("test").start_as_current_span("a step", attributes={"kept": "yes"}),
    ):
        raise ValueError(f"{CARD} of {NAME} is no integer")
    (span,) = exporter.get_finished_spans()
    assert (span.name, dict(span.attributes or {})) == ("a step", {"kept": "yes"})
    assert not span.status.is_ok
    assert NAME not in span.to_json()
    assert CARD not in span.to_json()


def _break() -> None:
    try:
        int(f"{CARD} of {NAME}")
    except ValueError as quoted:
        raise InvariantBroken("two payments of one withdrawal") from quoted
