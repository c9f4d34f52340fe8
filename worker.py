"""The worker: wires clients, activities and workflows together and runs until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import structlog
import uvloop
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)
from temporalio.envconfig import ClientConfig
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError
from temporalio.worker import Interceptor, PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.audit import AuditActivities
from activities.bank import BankActivities
from activities.heartbeats import HeartbeatInterceptor
from activities.ledger import LedgerActivities
from activities.reconciliation import ReconciliationActivities
from activities.refusals import RefusalInterceptor
from activities.retention import RetentionActivities
from activities.sms import SmsActivities
from bank.client import HttpBank
from failpoints import WORKER_PARTS, Failpoints
from ledger.audit_chain import AuditChain
from ledger.database import Database
from ledger.instructions import Instructions
from ledger.key_events import KeyEvents
from ledger.moves import Moves
from ledger.notices import Notices
from ledger.outbox import Outbox
from ledger.retention import Retention
from ledger.statements import Statements
from ledger.sweeps import Sweeps
from ledger.transfers import Transfers
from ledger.verifications import Verifications
from payloads.encryption import Count, count_nothing, data_converter
from production import Unsafe, require_safe
from settings import Settings
from sms.client import HttpSmsGateway
from webhooks.delivery import tell_of_changes
from workflows.bank_return import BankReturnWorkflow
from workflows.reconciliation import ReconciliationWorkflow, StatementWorkflow
from workflows.upkeep import AuditWorkflow, RetentionWorkflow
from workflows.withdrawal import WithdrawalWorkflow

ROOMS = ("activities", "bank", "domain", "ledger", "payloads", "sms", "workflows")
"""Ours, and free of side effects: passed through the workflow sandbox, which halves its CPU."""

BANK_TIMEOUT = httpx.Timeout(10, connect=3)
SMS_TIMEOUT = httpx.Timeout(5, connect=2)
GRACE = timedelta(seconds=20)
"""How long activities under way may take to finish after SIGTERM."""


def sandboxed_runner() -> SandboxedWorkflowRunner:
    """Workflows run in Temporal's sandbox, with our own rooms and SQLAlchemy's weight left outside."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        *ROOMS, "httpx", "psycopg", "pydantic", "sqlalchemy", "uuid_utils"
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


def build_worker(  # noqa: PLR0913 - one for each room of activities
    client: Client,
    task_queue: str,
    *,
    ledger: LedgerActivities,
    bank: BankActivities,
    sms: SmsActivities,
    reconciliation: ReconciliationActivities,
    audit: AuditActivities,
    retention: RetentionActivities,
    threads: ThreadPoolExecutor,
    interceptors: Sequence[Interceptor] = (),
) -> Worker:
    """A worker for everything of ours on one task queue."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[
            *(WithdrawalWorkflow, BankReturnWorkflow, ReconciliationWorkflow, StatementWorkflow),
            *(AuditWorkflow, RetentionWorkflow),
        ],
        activities=[
            ledger.read_standing,
            ledger.check_eligibility,
            ledger.freeze,
            ledger.expire,
            ledger.cancel,
            ledger.cancel_for_operator,
            ledger.decide,
            ledger.decide_by_hand,
            ledger.remind_finance,
            ledger.record_answer,
            ledger.put_under_review,
            ledger.resolve,
            bank.ask_bank,
            bank.query_bank,
            sms.send_code,
            sms.tell_of_return,
            reconciliation.pull_changes,
            reconciliation.look_after_runs,
            reconciliation.check_invariants,
            reconciliation.match_statements,
            audit.seal_and_anchor,
            retention.clean,
        ],
        activity_executor=threads,
        workflow_runner=sandboxed_runner(),
        interceptors=[RefusalInterceptor(), HeartbeatInterceptor(), *interceptors],
        max_cached_workflows=1000,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


def schedules(task_queue: str, *, sweep_every: timedelta) -> dict[str, Schedule]:
    """What runs by the clock: the sweep, the audit chain, and by night in Shanghai statement and retention."""
    skip = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1))
    catch_up = SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(days=7))
    return {
        "reconciliation": Schedule(
            action=ScheduleActionStartWorkflow(
                ReconciliationWorkflow.run,
                id="reconciliation",
                task_queue=task_queue,
                static_summary="Prompt, restart, look over",
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=sweep_every)]),
            policy=skip,
        ),
        "statement": Schedule(
            action=ScheduleActionStartWorkflow(
                StatementWorkflow.run,
                id="statement",
                task_queue=task_queue,
                static_summary="Match the bank's statement with our book",
            ),
            spec=ScheduleSpec(cron_expressions=["0 2 * * *"], time_zone_name="Asia/Shanghai"),
            policy=catch_up,
        ),
        "audit": Schedule(
            action=ScheduleActionStartWorkflow(
                AuditWorkflow.run, id="audit", task_queue=task_queue, static_summary="Seal and anchor the audit chain"
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=sweep_every)]),
            policy=skip,
        ),
        "retention": Schedule(
            action=ScheduleActionStartWorkflow(
                RetentionWorkflow.run, id="retention", task_queue=task_queue, static_summary="End of personal data"
            ),
            spec=ScheduleSpec(cron_expressions=["30 3 * * *"], time_zone_name="Asia/Shanghai"),
            policy=catch_up,
        ),
    }


async def keep_schedules(client: Client, kept: Mapping[str, Schedule], *, every: timedelta) -> None:
    """Creates each schedule that is missing, now and again: a Temporal may be replaced by an empty one."""
    while True:
        for schedule_id, schedule in kept.items():
            try:
                await client.create_schedule(schedule_id, schedule)
            except ScheduleAlreadyRunningError:
                pass
            except RPCError as away:
                structlog.get_logger().warning("worker.schedule_not_checked", status=away.status.name)
        await asyncio.sleep(every.total_seconds())


async def connected(settings: Settings, stop: asyncio.Event) -> Client | None:
    """A client, as soon as Temporal is there; None if told to stop before. A server that is away ends no worker.

    By Temporal's own variables and profiles, with the payloads encrypted if there are keys for it.
    """
    log = structlog.get_logger()
    runtime: Runtime | None = None
    count: Count = count_nothing
    if settings.worker_metrics_address is not None:
        metrics = PrometheusConfig(bind_address=settings.worker_metrics_address)
        runtime = Runtime(telemetry=TelemetryConfig(metrics=metrics))
        count = _counting(runtime)
    config = ClientConfig.load_client_connect_config()
    converter = data_converter(settings.payload_keys(), config.get("namespace", "default"), count)
    for pause in itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0)):
        try:
            return await Client.connect(**config, data_converter=converter, runtime=runtime)
        except RuntimeError as away:
            # What a failed first connection raises has no type of its own.
            if not str(away).startswith("Failed client connect"):
                raise
            log.warning("worker.temporal_away", again_in_s=pause)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        if stop.is_set():
            break
    return None


def _counting(runtime: Runtime) -> Count:
    """Counts what the codec meets: a missing key means that runs wait for it, and somebody has to know."""
    meter = runtime.metric_meter
    counters = {
        "key_missing": meter.create_counter("payload_key_missing", "Payloads that wait for a key that is not there."),
        "refused": meter.create_counter("payload_refused", "Payloads that nobody with a key has written."),
    }
    return lambda what: counters[what].add(1)


async def run(settings: Settings) -> None:
    """Connects, works until told to stop, and leaves in order."""
    log = structlog.get_logger()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database.connect(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
    keys, rules = settings.key_ring(), settings.rules()
    moves = Moves(database, keys, rules)
    verifications = Verifications(database, keys, settings.code_limits())
    transfers = Transfers(database, keys)
    await asyncio.to_thread(KeyEvents(database).taken_up, keys.ring, by="worker", now=datetime.now(UTC))
    client = await connected(settings, stop)
    if client is None:
        return
    async with (
        httpx.AsyncClient(base_url=settings.bank_url, timeout=BANK_TIMEOUT) as bank_http,
        httpx.AsyncClient(base_url=settings.sms_url, timeout=SMS_TIMEOUT) as sms_http,
    ):
        bank, gateway, sweeps = HttpBank(bank_http), HttpSmsGateway(sms_http), Sweeps(database)
        interceptors: list[Interceptor] = []
        if settings.failpoints is not None:
            points = Failpoints(settings.failpoints)
            bank = points.guard(bank, "bank", WORKER_PARTS["bank"])
            gateway = points.guard(gateway, "sms", WORKER_PARTS["sms"])
            sweeps = points.guard(sweeps, "sweeps", WORKER_PARTS["sweeps"])
            interceptors = [points.interceptor()]
        with ThreadPoolExecutor(settings.database_pool_size) as threads:
            worker = build_worker(
                client,
                settings.task_queue,
                ledger=LedgerActivities(
                    moves, verifications, transfers, Instructions(database), settings.decide_by_signal
                ),
                bank=BankActivities(bank, transfers),
                sms=SmsActivities(gateway, verifications, moves, Notices(database, keys)),
                reconciliation=ReconciliationActivities(
                    client, settings.task_queue, bank, sweeps, Statements(database), database
                ),
                audit=AuditActivities(AuditChain(database), settings.audit_anchor()),
                retention=RetentionActivities(Retention(database, timedelta(days=settings.card_days))),
                threads=threads,
                interceptors=interceptors,
            )
            sweep_every = timedelta(seconds=settings.sweep_every_s)
            kept = schedules(settings.task_queue, sweep_every=sweep_every)
            async with worker:
                keeping = asyncio.create_task(keep_schedules(client, kept, every=sweep_every))
                telling = asyncio.create_task(
                    tell_of_changes(Outbox(database), settings.events_url, settings.events_secrets)
                )
                log.info("worker.started", task_queue=settings.task_queue)
                await stop.wait()
                log.info("worker.stopping")
                keeping.cancel()
                telling.cancel()
    database.close()


def main() -> None:
    """The command ``python worker.py``; ends at once, with every reason, where the settings are not safe."""
    settings = Settings()
    try:
        require_safe(settings, ClientConfig.load_client_connect_config())
    except Unsafe as unsafe:
        sys.exit(str(unsafe))
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
