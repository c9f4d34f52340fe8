"""The worker: wires clients, activities and workflows together and runs until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

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
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError
from temporalio.worker import Interceptor, PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.bank import BankActivities
from activities.ledger import LedgerActivities
from activities.reconciliation import ReconciliationActivities
from activities.refusals import RefusalInterceptor
from activities.sms import SmsActivities
from bank.client import HttpBank
from ledger.database import Database
from ledger.moves import Moves
from ledger.sweeps import Sweeps
from ledger.transfers import Transfers
from ledger.verifications import Verifications
from settings import Settings
from sms.client import HttpSmsGateway
from workflows.bank_return import BankReturnWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.withdrawal import WithdrawalWorkflow

ROOMS = ("activities", "bank", "domain", "ledger", "sms", "workflows")
"""Ours, and free of side effects: passed through the workflow sandbox, which halves its CPU."""

BANK_TIMEOUT = httpx.Timeout(10, connect=3)
SMS_TIMEOUT = httpx.Timeout(5, connect=2)
SCHEDULE_ID = "reconciliation"
GRACE = timedelta(seconds=20)
"""How long activities under way may take to finish after SIGTERM."""


def sandboxed_runner() -> SandboxedWorkflowRunner:
    """Workflows run in Temporal's sandbox, with our own rooms and SQLAlchemy's weight left outside."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        *ROOMS, "httpx", "psycopg", "pydantic", "sqlalchemy", "uuid_utils"
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)


def build_worker(
    client: Client,
    task_queue: str,
    *,
    ledger: LedgerActivities,
    bank: BankActivities,
    sms: SmsActivities,
    reconciliation: ReconciliationActivities,
    threads: ThreadPoolExecutor,
    interceptors: Sequence[Interceptor] = (),
) -> Worker:
    """A worker for everything of ours on one task queue."""
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[WithdrawalWorkflow, BankReturnWorkflow, ReconciliationWorkflow],
        activities=[
            ledger.read_standing,
            ledger.check_eligibility,
            ledger.freeze,
            ledger.expire,
            ledger.cancel,
            ledger.decide,
            ledger.remind_finance,
            ledger.record_answer,
            ledger.put_under_review,
            ledger.resolve,
            bank.ask_bank,
            bank.query_bank,
            sms.send_code,
            reconciliation.pull_changes,
            reconciliation.restart_lost_runs,
            reconciliation.check_invariants,
        ],
        activity_executor=threads,
        workflow_runner=sandboxed_runner(),
        interceptors=[RefusalInterceptor(), *interceptors],
        max_cached_workflows=1000,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=GRACE,
    )


async def keep_schedule(client: Client, task_queue: str, *, every: timedelta) -> None:
    """Makes sure that the sweep is scheduled, now and after a Temporal that was replaced by an empty one."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            ReconciliationWorkflow.run,
            id="reconciliation",
            task_queue=task_queue,
            static_summary="Prompt, restart, look over",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(minutes=1)),
    )
    while True:
        try:
            await client.create_schedule(SCHEDULE_ID, schedule)
        except ScheduleAlreadyRunningError:
            pass
        except RPCError as away:
            structlog.get_logger().warning("worker.schedule_not_checked", status=away.status.name)
        await asyncio.sleep(every.total_seconds())


async def run(settings: Settings) -> None:
    """Connects, works until told to stop, and leaves in order."""
    log = structlog.get_logger()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database.connect(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
    keys, rules = settings.key_ring(), settings.rules()
    moves = Moves(database, keys, rules)
    verifications = Verifications(database, keys)
    transfers = Transfers(database, keys)
    client = await Client.connect(**ClientConfig.load_client_connect_config(), data_converter=pydantic_data_converter)
    async with (
        httpx.AsyncClient(base_url=settings.bank_url, timeout=BANK_TIMEOUT) as bank_http,
        httpx.AsyncClient(base_url=settings.sms_url, timeout=SMS_TIMEOUT) as sms_http,
    ):
        bank = HttpBank(bank_http)
        with ThreadPoolExecutor(settings.database_pool_size) as threads:
            worker = build_worker(
                client,
                settings.task_queue,
                ledger=LedgerActivities(moves, verifications, transfers, settings.decide_by_signal),
                bank=BankActivities(bank, transfers),
                sms=SmsActivities(HttpSmsGateway(sms_http), verifications, moves),
                reconciliation=ReconciliationActivities(client, settings.task_queue, bank, Sweeps(database), database),
                threads=threads,
            )
            sweeps = timedelta(seconds=settings.sweep_every_s)
            async with worker:
                keeping = asyncio.create_task(keep_schedule(client, settings.task_queue, every=sweeps))
                log.info("worker.started", task_queue=settings.task_queue)
                await stop.wait()
                log.info("worker.stopping")
                keeping.cancel()
    database.close()


def main() -> None:
    """The command ``python worker.py``."""
    uvloop.run(run(Settings()))


if __name__ == "__main__":
    main()
