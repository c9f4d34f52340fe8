"""The worker: wires clients, activities and workflows together and runs until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

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
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import VersioningBehavior
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import (
    Interceptor,
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkerDeploymentVersion,
    WorkflowRunner,
)

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
from ledger.opening import Opening
from ledger.outbox import Outbox
from ledger.retention import Retention
from ledger.statements import Statements
from ledger.sweeps import Sweeps
from ledger.transfers import Transfers
from ledger.verifications import Verifications
from outside import BANK_TIMEOUT, SMS_TIMEOUT, session_to
from payloads.encryption import Count, count_nothing, data_converter
from production import Unsafe, require_safe
from settings import Settings
from sms.client import HttpSmsGateway
from telemetry.engine import StepTelemetry, runtime
from telemetry.logs import log_json_lines
from telemetry.traces import NAME, call_spans, interceptor, tracer_provider
from webhooks.delivery import tell_of_changes
from workflows.bank_return import BankReturnWorkflow
from workflows.reconciliation import ReconciliationWorkflow, StatementWorkflow, ThoroughSweepWorkflow
from workflows.registration import NotRegistered, OfAnotherType, register
from workflows.upkeep import AuditWorkflow, RetentionWorkflow
from workflows.withdrawal import WithdrawalWorkflow

WORKFLOWS = (
    WithdrawalWorkflow,
    BankReturnWorkflow,
    ReconciliationWorkflow,
    ThoroughSweepWorkflow,
    StatementWorkflow,
    AuditWorkflow,
    RetentionWorkflow,
)

DEPLOYMENT = "withdrawals"
"""The name of the worker deployment, whose versions are the releases."""

GRACE = timedelta(seconds=20)
"""How long activities under way may take to finish after SIGTERM."""

SWEEPS_TO_A_THOROUGH_ONE = 60
"""An hour at the default interval: what no row and no closed run tells of is found within it."""


def build_worker(  # noqa: PLR0913 - it names every part
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
    build_id: str | None = None,
    workflows: Sequence[type] = WORKFLOWS,
    workflow_runner: WorkflowRunner | None = None,
) -> Worker:
    """A worker for everything of ours on one task queue; with a build id it belongs to the worker deployment.

    Workflows run outside of Temporal's sandbox unless a runner is given: the tests give it (decision 53).
    """
    return Worker(
        client,
        task_queue=task_queue,
        workflows=workflows,
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
            bank.look_at_bank,
            bank.query_bank,
            sms.check_and_send_code,
            sms.send_code,
            sms.tell_of_return,
            reconciliation.pull_changes,
            reconciliation.look_after_runs,
            reconciliation.look_after_all_runs,
            reconciliation.check_invariants,
            reconciliation.check_all_invariants,
            reconciliation.match_statements,
            audit.seal_and_anchor,
            retention.clean,
        ],
        activity_executor=threads,
        workflow_runner=workflow_runner or UnsandboxedWorkflowRunner(),
        interceptors=[RefusalInterceptor(), HeartbeatInterceptor(), *interceptors],
        max_cached_workflows=1000,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
        deployment_config=None if build_id is None else deployment(build_id),
    )


def deployment(build_id: str) -> WorkerDeploymentConfig:
    """Runs move on to whichever release is current: a fix reaches those that wait (decision 41)."""
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(deployment_name=DEPLOYMENT, build_id=build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
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
        "thorough-sweep": Schedule(
            action=ScheduleActionStartWorkflow(
                ThoroughSweepWorkflow.run,
                id="thorough-sweep",
                task_queue=task_queue,
                static_summary="Every row against every run, the whole ledger",
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SWEEPS_TO_A_THOROUGH_ONE * sweep_every)]),
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


async def keep_in_place(client: Client, kept: Mapping[str, Schedule], *, every: timedelta) -> None:
    """Registers and creates what is missing, now and again: a Temporal may be replaced by an empty one."""
    while True:
        try:
            await register(client)
        except (RPCError, NotRegistered, OfAnotherType) as failed:
            structlog.get_logger().warning("worker.search_attributes_not_checked", failure=type(failed).__name__)
        for schedule_id, schedule in kept.items():
            try:
                await _create_or_pace(client, schedule_id, schedule)
            except RPCError as away:
                structlog.get_logger().warning("worker.schedule_not_checked", status=away.status.name)
        await asyncio.sleep(every.total_seconds())


async def _create_or_pace(client: Client, schedule_id: str, schedule: Schedule) -> None:
    """Creates a schedule; one that is there keeps all that operators changed about it, but runs as often as is set."""
    try:
        await client.create_schedule(schedule_id, schedule)
    except ScheduleAlreadyRunningError:

        def pace(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
            there, wanted = found.description.schedule, [one.every for one in schedule.spec.intervals]
            if not wanted or wanted == [one.every for one in there.spec.intervals]:
                return None
            return ScheduleUpdate(replace(there, spec=schedule.spec))

        await client.get_schedule_handle(schedule_id).update(pace)


async def connected(settings: Settings, stop: asyncio.Event, interceptors: Sequence[Any]) -> Client | None:
    """A client, as soon as Temporal is there; None if told to stop before. A server that is away ends no worker.

    By Temporal's own variables and profiles, with the payloads encrypted if there are keys for it. By then the search
    attributes are registered: a run that sets one its namespace does not know would be wedged.
    """
    log = structlog.get_logger()
    telemetry = runtime(settings.worker_metrics_address)
    count: Count = count_nothing if settings.worker_metrics_address is None else _counting(telemetry)
    config = ClientConfig.load_client_connect_config()
    converter = data_converter(settings.payload_keys(), config.get("namespace", "default"), count)
    for pause in itertools.chain((0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0)):
        try:
            client = await Client.connect(
                **config, data_converter=converter, interceptors=interceptors, runtime=telemetry
            )
            await register(client)
        except RuntimeError as away:
            # What a failed first connection raises has no type of its own.
            if not str(away).startswith("Failed client connect"):
                raise
            log.warning("worker.temporal_away", again_in_s=pause)
        except RPCError as away:
            log.warning("worker.temporal_away", again_in_s=pause, status=away.status.name)
        else:
            return client
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
    for counter in counters.values():
        counter.add(0)  # There from the start: a rise can only be seen from something.
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
    provider = tracer_provider("withdrawals-worker") if settings.traced else None
    tracer = None if provider is None else provider.get_tracer(NAME)
    client = await connected(settings, stop, [] if tracer is None else [interceptor(tracer)])
    if client is None:
        return
    to_bank, to_sms = ([] if tracer is None else [call_spans(tracer, peer)] for peer in ("bank", "sms"))
    async with (
        session_to(settings.bank_url, BANK_TIMEOUT, trust_env=True, traces=to_bank) as bank_http,
        session_to(settings.sms_url, SMS_TIMEOUT, trust_env=True, traces=to_sms) as sms_http,
    ):
        bank, gateway, sweeps = HttpBank(bank_http), HttpSmsGateway(sms_http), Sweeps(database)
        interceptors: list[Interceptor] = [StepTelemetry()]
        if settings.failpoints is not None:
            points = Failpoints(settings.failpoints)
            bank = points.guard(bank, "bank", WORKER_PARTS["bank"])
            gateway = points.guard(gateway, "sms", WORKER_PARTS["sms"])
            sweeps = points.guard(sweeps, "sweeps", WORKER_PARTS["sweeps"])
            interceptors.append(points.interceptor())
        with ThreadPoolExecutor(settings.database_pool_size) as threads:
            worker = build_worker(
                client,
                settings.task_queue,
                ledger=LedgerActivities(
                    moves, verifications, transfers, Instructions(database), settings.decide_by_signal
                ),
                bank=BankActivities(bank, transfers, moves),
                sms=SmsActivities(gateway, verifications, Opening(moves, verifications), Notices(database, keys)),
                reconciliation=ReconciliationActivities(
                    client, settings.task_queue, bank, sweeps, Statements(database), database
                ),
                audit=AuditActivities(AuditChain(database), settings.audit_anchor()),
                retention=RetentionActivities(Retention(database, timedelta(days=settings.card_days))),
                threads=threads,
                interceptors=interceptors,
                build_id=settings.build_id,
            )
            sweep_every = timedelta(seconds=settings.sweep_every_s)
            kept = schedules(settings.task_queue, sweep_every=sweep_every)
            async with worker:
                keeping = asyncio.create_task(keep_in_place(client, kept, every=sweep_every))
                telling = asyncio.create_task(
                    tell_of_changes(Outbox(database), settings.events_url, settings.events_secrets)
                )
                log.info("worker.started", task_queue=settings.task_queue)
                await stop.wait()
                log.info("worker.stopping")
                keeping.cancel()
                telling.cancel()
    database.close()
    if provider is not None:
        provider.shutdown()
    log.info("worker.stopped")


def main() -> None:
    """The command ``python worker.py``; ends at once, with every reason, where the settings are not safe."""
    settings = Settings()
    log_json_lines()
    try:
        require_safe(settings, ClientConfig.load_client_connect_config())
        uvloop.run(run(settings))
    except (Unsafe, NotRegistered, OfAnotherType) as refused:
        sys.exit(str(refused))


if __name__ == "__main__":
    main()
