"""The log: one JSON object a line on standard output, ours and every library's through one renderer.

Each line has the withdrawal and the trace it belongs to. An exception is told by its class and its places in the code;
its words only where they are ours, because a driver's or a validator's may quote somebody's name or card.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from types import TracebackType
from typing import Any

import structlog
from opentelemetry import trace
from structlog.stdlib import ProcessorFormatter
from structlog.types import Processor
from temporalio import activity, workflow

ROOMS = ("activities", "api", "bank", "domain", "ledger", "payloads", "sms", "workflows")
"""Whose exceptions speak our own words."""

QUIET = ("httpcore", "httpx", "urllib3")
"""Libraries that tell of every call; we count and trace those."""

PLACES = 12
"""How many places in the code an exception is told with, the innermost last."""

Event = MutableMapping[str, Any]


def log_json_lines() -> None:
    """Sets the process's log up; to be called once, by whoever wires the process."""
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_shared(), _renderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, _of_temporal, *_shared()],
            processors=[ProcessorFormatter.remove_processors_meta, _renderer()],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
    logging.getLogger("uvicorn").propagate = logging.getLogger("uvicorn.error").propagate = True
    # Its lines hold paths and queries; the request log has the templates.
    logging.getLogger("uvicorn.access").propagate = False
    # Where the run is named goes into fields of the line, not into its words.
    activity.logger.activity_info_on_message = False
    workflow.logger.workflow_info_on_message = False


def bind_withdrawal(workflow_id: str | None) -> None:
    """From here on, the lines of this task belong to the withdrawal of that run."""
    if (withdrawal_id := withdrawal_of(workflow_id)) is not None:
        structlog.contextvars.bind_contextvars(withdrawal_id=withdrawal_id)


_RUN = re.compile(r"(?:withdrawal|bank-return)-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def withdrawal_of(workflow_id: str | None) -> str | None:
    """The withdrawal that a run is about; None for the sweep and whatever else there is."""
    found = _RUN.fullmatch(workflow_id or "")
    return found and found[1]


def _shared() -> Sequence[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
        _without_words,
    ]


def _renderer() -> Processor:
    return structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)


def _with_trace(_logger: object, _method: str, event: Event) -> Event:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = trace.format_trace_id(span.trace_id)
    return event


def _of_temporal(_logger: object, _method: str, event: Event) -> Event:
    """Which run, activity and attempt a line of the SDK's loggers is about."""
    record: logging.LogRecord = event["_record"]
    event["logger"] = record.name
    run: dict[str, Any] = getattr(record, "temporal_activity", None) or getattr(record, "temporal_workflow", None) or {}
    for name in ("activity_type", "attempt", "workflow_type", "workflow_id", "run_id"):
        if name in run:
            event[name] = run[name]
    if (withdrawal_id := withdrawal_of(run.get("workflow_id"))) is not None:
        event["withdrawal_id"] = withdrawal_id
    return event


def _without_words(_logger: object, _method: str, event: Event) -> Event:
    """Replaces ``exc_info`` by what may be told of it."""
    error = _error_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = describe_error(error)
    return event


def _error_of(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        error: BaseException | None = exc_info[1]
        return error
    return sys.exc_info()[1] if exc_info else None


def describe_error(error: BaseException) -> list[dict[str, Any]]:
    """The error and its causes, outermost first: class, places in the code, and our own words."""
    told: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < PLACES:
        one: dict[str, Any] = {"type": type(cause).__qualname__, "places": _places(cause.__traceback__)}
        if type(cause).__module__.partition(".")[0] in ROOMS:
            one["words"] = str(cause)
        told.append(one)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return told


def _places(frames: TracebackType | None) -> list[str]:
    summary = traceback.StackSummary.extract(traceback.walk_tb(frames), lookup_lines=False)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in summary[-PLACES:]]
