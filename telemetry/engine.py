"""The SDK's own telemetry: its log lines among ours, its metrics and those of our steps at one address."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.withdrawal import Asked, BankAnswer, Standing, Status, TransferState
from telemetry.logs import bind_withdrawal

HOUR, DAY = 3_600.0, 86_400.0

TIME_TO_PAID = "withdrawals_time_to_paid"
BUCKETS = {
    TIME_TO_PAID: (60.0, HOUR, 6 * HOUR, *(days * DAY for days in (1, 2, 3, 5, 7, 10, 14, 21, 28, 45))),
}
"""Seconds. A withdrawal takes from a minute to some weeks."""


def runtime(metrics_address: str | None) -> Runtime:
    """For the process's client. Serves Prometheus at ``host:port`` if there is one, RuntimeError if it is taken."""
    forwarded = LogForwardingConfig(logger=logging.getLogger("temporalio.core"), append_log_fields_to_message=False)
    metrics = None
    if metrics_address is not None:
        metrics = PrometheusConfig(
            bind_address=metrics_address,
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
            histogram_bucket_overrides=BUCKETS,
        )
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarded),
            metrics=metrics,
        )
    )


@dataclass
class StepTelemetry(Interceptor):
    """Counts what the steps brought, and lets each line that they log name its withdrawal."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Step(next)


class _Step(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        structlog.contextvars.clear_contextvars()
        bind_withdrawal(info.workflow_id)
        try:
            answer = await self.next.execute_activity(input)
        except Exception:
            _count(info.activity_type, None, failed=True)
            raise
        _count(info.activity_type, answer, failed=False)
        if isinstance(answer, Asked):
            _time(answer.standing, answer.at)
        elif isinstance(answer, Standing):
            _time(answer, input.args[-1])
        return answer


_BANK, _SMS, _SWEEP = (
    ("ask_bank", "look_at_bank", "query_bank"),
    {"check_and_send_code": "code", "send_code": "code", "tell_of_return": "return"},
    (
        *("pull_changes", "look_after_runs", "check_invariants", "match_statements"),
        *("look_after_all_runs", "check_all_invariants"),
    ),
)


def _count(step: str, answer: object, *, failed: bool) -> None:
    """One sample for each answer of the outside parties and of the sweep. Labels are words of ours, never ids."""
    meter = activity.metric_meter()
    result = "failed" if failed else "done"
    if step in _BANK:
        # Nothing to build on; or nothing known, or nothing left to ask.
        kind = "in_doubt" if failed else str(_said(answer) or "none")
        meter.create_counter("withdrawals_bank_answers", "What the bank answered.").add(1, {"kind": kind})
    elif step in _SMS:
        labels = {"kind": _SMS[step], "result": result}
        meter.create_counter("withdrawals_sms", "Messages handed to the SMS gateway.").add(1, labels)
    elif step in _SWEEP:
        meter.create_counter("withdrawals_sweep_steps", "Steps of the sweep and the daily matching.").add(
            1, {"step": step, "result": result}
        )
        found = len(answer) if isinstance(answer, list) else getattr(answer, "restarted", answer)
        meter.create_counter("withdrawals_sweep_found", "What these steps found to do, or to be wrong.").add(
            found if isinstance(found, int) else 0, {"step": step}
        )


def _said(answer: object) -> TransferState | None:
    match answer:
        case Asked(answer=state) | BankAnswer(state=state):
            return state
        case _:
            return None


def _time(standing: Standing, at: object) -> None:
    """How long it took to be paid, from the application on; once, in the step that made it so."""
    applied = _made_at(standing.withdrawal_id)
    if standing.status is Status.PAID and standing.changed_at is not None and standing.changed_at == at and applied:
        seconds = standing.changed_at.timestamp() - applied
        meter = activity.metric_meter()
        meter.create_histogram_float(TIME_TO_PAID, "From the application to the payment.", "seconds").record(seconds)


def _made_at(withdrawal_id: UUID) -> float | None:
    """Seconds since the epoch: our ids are UUIDs of version 7, which begin with the milliseconds (RFC 9562, 5.7)."""
    return (withdrawal_id.int >> 80) / 1000 if withdrawal_id.version == 7 else None
