"""What runs by the clock beside the sweep, and the limits of a day as the story meets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client, ScheduleDescription, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.service import RPCError

from activities.refusals import as_refusal
from domain.errors import TooManyRequests
from domain.verification import RESEND_AFTER
from domain.withdrawal import Status
from ledger.audit_anchor import AnchorFile, read_anchors
from ledger.audit_chain import AuditChain
from ledger.audit_verification import verify
from ledger.code_limits import count_code
from ledger.retention import Cleaned
from tests.databases import Database
from tests.workflows.house import KEYS, PHONE, House, now, open_house
from worker import keep_in_place, schedules
from workflows.upkeep import AuditWorkflow, RetentionWorkflow
from workflows.withdrawal import WithdrawalWorkflow


@pytest.fixture
async def anchored_house(temporal_client: Client, database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """The house with a file outside PostgreSQL."""
    async with open_house(temporal_client, database.app_url) as house:
        house.anchor = AnchorFile(tmp_path / "anchors.jsonl", Ed25519PrivateKey.generate())
        yield house


async def test_the_chain_is_sealed_and_anchored_by_the_clock(anchored_house: House) -> None:
    """Every run seals what is new and anchors the head; one with nothing new changes neither."""
    house, anchor = anchored_house, anchored_house.anchor
    assert anchor is not None

    async def run() -> int:
        return await house.client.execute_workflow(
            AuditWorkflow.run, id=f"audit-{house.task_queue}", task_queue=house.task_queue
        )

    async with house.worker():
        assert await run() == 1
        assert await run() == 1
        await house.open()
        assert await run() == 2
    anchors = read_anchors(anchor.path, [anchor.key.public_key()])
    assert [one.seq for one in anchors] == [1, 2]
    summary = verify(house.database, anchors)
    assert (summary.batches, summary.unsealed) == (2, 0)


async def test_a_head_that_could_not_be_anchored_is_anchored_next_time(anchored_house: House) -> None:
    """A disk that was full costs no anchor: the next run signs whatever the head is then."""
    house, anchor = anchored_house, anchored_house.anchor
    assert anchor is not None
    assert AuditChain(house.database).seal(now=now()) is not None
    async with house.worker():
        await house.client.execute_workflow(
            AuditWorkflow.run, id=f"audit-{house.task_queue}", task_queue=house.task_queue
        )
    assert [one.seq for one in read_anchors(anchor.path, [anchor.key.public_key()])] == [1]


async def test_a_database_put_back_behind_its_anchor_fails_the_run(anchored_house: House) -> None:
    """Loud, and nothing is written over what was signed."""
    house, anchor = anchored_house, anchored_house.anchor
    assert anchor is not None
    head = AuditChain(house.database).seal(now=now())
    assert head is not None
    anchor.anchor(type(head)(**{**head.__dict__, "seq": 7}), now=now())
    signed = anchor.path.read_bytes()
    async with house.worker():
        with pytest.raises(WorkflowFailureError):
            await house.client.execute_workflow(
                AuditWorkflow.run, id=f"audit-{house.task_queue}", task_queue=house.task_queue
            )
    assert anchor.path.read_bytes() == signed


async def test_retention_runs_by_the_clock(house: House) -> None:
    """The MAC of a cancelled application goes with the next run."""
    async with house.worker():
        withdrawal_id = await house.open()
        await house.cancel(withdrawal_id)
        cleaned = await house.client.execute_workflow(
            RetentionWorkflow.run, id=f"retention-{house.task_queue}", task_queue=house.task_queue
        )
    assert cleaned == Cleaned(codes=1, answers=0, cards=0, counts=0)


def test_they_are_on_the_schedule() -> None:
    """The worker keeps them; retention runs while Shanghai sleeps, and everything is looked at once an hour."""
    kept = schedules("queue", sweep_every=timedelta(minutes=1))
    assert kept["audit"].spec.intervals[0].every == timedelta(minutes=1)
    assert kept["thorough-sweep"].spec.intervals[0].every == timedelta(hours=1)
    assert kept["retention"].spec.cron_expressions == ["30 3 * * *"]
    assert kept["retention"].spec.time_zone_name == "Asia/Shanghai"


async def test_a_resend_over_the_phones_day_is_refused_through_the_story(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal crosses Temporal as itself, no SMS goes out, and the run lives on."""
    async with house.worker():
        withdrawal_id = await house.open()
        with house.database.transaction() as connection:
            for _ in range(4):
                count_code(connection, KEYS, house.verifications.limits, PHONE, now())
        monkeypatch.setattr("ledger.verifications.RESEND_AFTER", -RESEND_AFTER)
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.update(WithdrawalWorkflow.resend, withdrawal_id)
        refusal = as_refusal(failed.value)
        assert isinstance(refusal, TooManyRequests)
        assert 0 < refusal.retry_after_s <= 24 * 3600
        assert len(house.sms.messages) == 1
        house.enter_code(withdrawal_id)
        await house.update(WithdrawalWorkflow.verify, withdrawal_id)
    assert house.status(withdrawal_id) is Status.PROCESSING


async def test_a_schedule_runs_as_often_as_is_set_and_stays_paused_if_somebody_paused_it(house: House) -> None:
    """The setting reaches a schedule that is there already; what operators changed about it is theirs."""
    name = f"reconciliation-{house.task_queue}"
    handle = house.client.get_schedule_handle(name)

    async def kept_every(every: timedelta) -> ScheduleDescription:
        kept = {name: schedules("queue", sweep_every=every)["reconciliation"]}
        keeping = asyncio.create_task(keep_in_place(house.client, kept, every=timedelta(hours=1)))
        try:
            for _ in range(200):
                with suppress(RPCError):
                    described = await handle.describe()
                    if [one.every for one in described.schedule.spec.intervals] == [every]:
                        return described
                await asyncio.sleep(0.1)
            raise AssertionError(f"it never ran every {every}")
        finally:
            keeping.cancel()

    await kept_every(timedelta(minutes=1))
    await handle.pause(note="maintenance")
    state = (await kept_every(timedelta(minutes=5))).schedule.state
    assert (state.paused, state.note) == (True, "maintenance")
    await handle.delete()
