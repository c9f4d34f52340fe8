"""The sweep: nothing is missed when a notification, a run or a whole Temporal is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities import reconciliation
from activities.reconciliation import ReconciliationActivities, RunsLookedAfter
from activities.refusals import as_refusal
from domain.errors import NotPossibleNow
from domain.shanghai import day_of
from domain.statement import EntryKind, StatementEntry
from domain.withdrawal import Decision, Door, Status, TransferState, workflow_id
from ledger.moves import Instruction
from ledger.sweeps import Sweeps
from tests.workflows.house import House, now, until
from tests.workflows.restricted import restricted_runner
from workflows.reconciliation import ReconciliationWorkflow, StatementWorkflow, SweepReport, ThoroughSweepWorkflow


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed just now is swept too: tests don't wait a quarter of a minute."""
    monkeypatch.setattr(reconciliation, "JUST_NOW", timedelta(0))


async def sweep(house: House) -> SweepReport:
    """One sweep, as the schedule starts it."""
    return await house.client.execute_workflow(
        ReconciliationWorkflow.run, id=f"reconciliation-{house.task_queue}", task_queue=house.task_queue
    )


async def thorough(house: House) -> SweepReport:
    """One thorough sweep, as its schedule starts it."""
    return await house.client.execute_workflow(
        ThoroughSweepWorkflow.run, id=f"thorough-sweep-{house.task_queue}", task_queue=house.task_queue
    )


async def test_a_change_at_the_bank_without_a_notification_is_found(house: House) -> None:
    """The sweep pulls the changes since its cursor and prompts whom they concern, once."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
        report = await sweep(house)
        assert (report.prompted, report.broken_invariants) == (1, [])
        assert await house.handle(withdrawal_id).result() is Status.PAID
        assert (await sweep(house)).prompted == 0


async def test_a_payment_that_came_back_without_a_notification_is_found(house: House) -> None:
    """The run is long closed; the sweep has the return asked for and credited."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        await house.handle(withdrawal_id).result()
        await sweep(house)
        house.bank.says(withdrawal_id, TransferState.RETURNED, "account_closed")
        await sweep(house)
        await house.becomes(withdrawal_id, Status.RETURNED)
    assert house.account.withdrawable == 1_000_00


async def terminated(house: House, withdrawal_id: UUID) -> None:
    """An operator terminates the run; Temporal's list lags a moment behind, and a sweep goes by the list."""
    await house.handle(withdrawal_id).terminate()
    query = f'WorkflowId = "{workflow_id(withdrawal_id)}" AND ExecutionStatus = "Terminated"'
    for _ in range(200):
        if (await house.client.count_workflows(query)).count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("Temporal does not list it as terminated")


async def recorded_only(house: House) -> UUID:
    """The API wrote the row and died before it started the run."""
    return house.apply()


async def terminated_waiting_for_the_code(house: House) -> UUID:
    """An operator terminated the run after the SMS."""
    withdrawal_id = await house.open()
    await terminated(house, withdrawal_id)
    return withdrawal_id


async def terminated_after_verification(house: House) -> UUID:
    """The right code is on record, the freeze was never made."""
    withdrawal_id = await house.open()
    await terminated(house, withdrawal_id)
    house.enter_code(withdrawal_id)
    return withdrawal_id


async def terminated_waiting_for_the_bank(house: House) -> UUID:
    """The bank has taken the transfer; the freeze is an orphan."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await terminated(house, withdrawal_id)
    return withdrawal_id


@pytest.mark.parametrize(
    "lose",
    [
        recorded_only,
        terminated_waiting_for_the_code,
        terminated_after_verification,
        terminated_waiting_for_the_bank,
    ],
    ids=lambda lose: lose.__name__,
)
async def test_a_withdrawal_without_a_run_is_started_again_where_the_rows_prove_it_stands(
    house: House, lose: object
) -> None:
    """It ends paid, the bank was asked once, and the customer got one SMS."""
    assert callable(lose)
    async with house.worker():
        await sweep(house)  # From here on a sweep looks at what changed since the last one.
        withdrawal_id = await lose(house)
        house.bank.changed.clear()  # Nothing new at the bank: the rows alone have to show it.
        found = [(await sweep(house)).runs for _ in range(2)]
        assert [runs and runs.restarted for runs in found] == [1, 0]
        if house.status(withdrawal_id) is Status.AWAITING_VERIFICATION:
            await until(lambda: bool(house.sms.messages))
            house.enter_code(withdrawal_id)
            await house.handle(withdrawal_id).signal("look")
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID
    assert house.bank.submissions == [withdrawal_id]
    assert len(house.sms.messages) == 1


async def frozen_unheard(house: House) -> UUID:
    """The phone is verified and the money frozen; the run that waits for the code was never told."""
    withdrawal_id = await house.open()
    house.enter_code(withdrawal_id)
    house.moves.freeze(withdrawal_id, now=now())
    return withdrawal_id


async def approved_unheard(house: House) -> UUID:
    """Finance's decision was committed, and the workflow task that it was made in was lost with its worker."""
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    withdrawal_id = await house.verified(60_000_00)
    by = Instruction("finance_1", Door.API, "decided-unheard")
    house.moves.decide(withdrawal_id, Decision.APPROVE, "", by, now=now())
    return withdrawal_id


@pytest.mark.parametrize("miss", [frozen_unheard, approved_unheard], ids=lambda miss: miss.__name__)
async def test_a_run_that_missed_what_its_rows_say_is_prompted(house: House, miss: object) -> None:
    """It would wait for minutes or days: the sweep sees that the bank should have been asked, and has it asked."""
    assert callable(miss)
    async with house.worker():
        await sweep(house)
        withdrawal_id = await miss(house)
        await asyncio.sleep(0.5)
        assert house.bank.submissions == []
        runs = (await sweep(house)).runs
        assert runs is not None
        assert runs.prompted == 1
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID


async def test_a_run_whose_withdrawal_is_over_hears_of_it(house: House) -> None:
    """The cancel was committed and its workflow task lost: no run goes on for a withdrawal that is over."""
    async with house.worker():
        await sweep(house)
        withdrawal_id = await house.open()
        house.moves.cancel(withdrawal_id, Instruction("customer", Door.API, "unheard"), now=now())
        for _ in range(50):  # Temporal's list of runs lags a moment behind.
            runs = (await sweep(house)).runs
            if runs and runs.prompted:
                break
        assert await house.handle(withdrawal_id).result() is Status.CANCELLED


async def overlooked(house: House) -> UUID:
    """A run that was lost, and two sweeps later: neither the run nor the row has changed since the last one."""
    await sweep(house)
    withdrawal_id = await terminated_waiting_for_the_bank(house)
    house.bank.changed.clear()
    sweeps = Sweeps(house.database)
    last = sweeps.runs_mark()
    assert last is not None
    sweeps.note_runs(replace(last, until=now()), whole=False)
    return withdrawal_id


@pytest.fixture
def _to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep begins where the last one ended, and not minutes before."""
    monkeypatch.setattr(reconciliation, "LATE", timedelta(0))


@pytest.mark.usefixtures("_to_the_second")
async def test_the_thorough_sweep_finds_what_no_change_tells_of(house: House) -> None:
    """A sweep costs what changed, and so it finds what changed; once in sixty everything is looked at."""
    async with house.worker():
        withdrawal_id = await overlooked(house)
        assert (await sweep(house)).runs == RunsLookedAfter(0, 0)
        report = await thorough(house)
        assert (report.runs, report.broken_invariants) == (RunsLookedAfter(1, 0), [])
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID


@pytest.mark.usefixtures("_to_the_second")
async def test_a_temporal_that_knows_nothing_of_the_last_sweep_is_looked_at_whole(house: House) -> None:
    """It was replaced by an empty one, or put back: no closed run tells of those that it lost."""
    async with house.worker():
        withdrawal_id = await overlooked(house)
        sweeps = Sweeps(house.database)
        last = sweeps.runs_mark()
        assert last is not None
        sweeps.note_runs(replace(last, run_id=str(uuid4())), whole=False)
        assert (await sweep(house)).runs == RunsLookedAfter(1, 0)
        assert (await sweep(house)).runs == RunsLookedAfter(0, 0)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID


async def test_a_sweep_that_could_not_start_a_run_is_done_again_from_where_it_began(house: House) -> None:
    """The mark moves last: what one sweep could not do, the next one still sees."""
    async with house.worker():
        await sweep(house)
        withdrawal_id = await terminated_waiting_for_the_bank(house)
    sweeps = Sweeps(house.database)
    before = sweeps.runs_mark()
    broken = ReconciliationActivities(
        cast("Client", _StartsNothing(house.client)),
        *(house.task_queue, house.bank, sweeps, house.statements, house.database),
    )
    with pytest.raises(ConnectionError):
        await ActivityEnvironment().run(broken.look_after_runs)
    assert sweeps.runs_mark() == before
    async with house.worker():
        assert (await sweep(house)).runs == RunsLookedAfter(1, 0)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await house.handle(withdrawal_id).result() is Status.PAID


async def test_a_refused_second_word_lets_the_run_look(house: House) -> None:
    """Finance says it again after an answer that was lost: refused as a second word, and the run goes on."""
    async with house.worker():
        withdrawal_id = await approved_unheard(house)
        with pytest.raises(WorkflowUpdateFailedError) as failed:
            await house.decide(withdrawal_id, "finance_1", Decision.APPROVE)
        assert isinstance(as_refusal(failed.value), NotPossibleNow)
        await house.asked(withdrawal_id)


async def test_the_cursor_moves_only_after_everyone_was_prompted(house: House) -> None:
    """A sweep that dies in between prompts again; it never skips."""
    withdrawal_id = house.apply()
    code = house.verifications.issue_code(withdrawal_id, send_key="first", now=now()).code
    house.enter_code(withdrawal_id, code)
    house.moves.freeze(withdrawal_id, now=now())
    assert house.transfers.prepare(withdrawal_id, now=now()) is not None
    house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
    sweeps = Sweeps(house.database)
    broken = ReconciliationActivities(
        cast("Client", _Unreachable()), house.task_queue, house.bank, sweeps, house.statements, house.database
    )
    with pytest.raises(ConnectionError):
        await broken.pull_changes()
    assert sweeps.cursor() == ""


class _StartsNothing:
    """A Temporal that answers, and goes away when a run is to be started."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)

    async def start_workflow(self, *_: object, **__: object) -> None:
        raise ConnectionError


class _Unreachable:
    """A Temporal that is away."""

    async def start_workflow(self, *_: object, **__: object) -> None:
        raise ConnectionError


async def test_a_sweep_whose_worker_died_is_taken_over_within_seconds(house: House) -> None:
    """No sweep begins while one is under way: a step that shows no sign of life is done again, not waited for."""
    attempts = 0

    @activity.defn(name="pull_changes")
    async def killed_at_first() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.Event().wait()  # What a killed worker does: nothing, and it says so to nobody.
        return 0

    @activity.defn(name="look_after_runs")
    async def nothing_to_look_after() -> RunsLookedAfter:
        return RunsLookedAfter(0, 0)

    @activity.defn(name="check_invariants")
    async def all_hold() -> list[str]:
        return []

    async with (
        Worker(
            house.client,
            task_queue=house.task_queue,
            workflows=[ReconciliationWorkflow],
            activities=[killed_at_first, nothing_to_look_after, all_hold],
            workflow_runner=restricted_runner(),
        ),
        asyncio.timeout(40),
    ):
        report = await sweep(house)
    assert (report.prompted, attempts) == (0, 2)


async def test_a_bank_that_is_away_does_not_keep_the_rest_of_the_sweep_from_running(house: House) -> None:
    """Each step stands alone; what could not be done is left to the next sweep."""
    house.bank.unavailable = 100
    async with house.worker():
        report = await sweep(house)
    assert report == SweepReport(prompted=None, runs=RunsLookedAfter(0, 0), broken_invariants=[])


async def test_the_banks_statement_is_read_and_matched(house: House) -> None:
    """A payment under a reference that is none of ours is a difference, found by the daily run."""
    yesterday = day_of(now()) - timedelta(days=1)
    house.bank.statements[yesterday] = [StatementEntry("B1", "somebody-else", EntryKind.PAYMENT, 1_00)]
    async with house.worker():
        still_open = await house.client.execute_workflow(
            StatementWorkflow.run, id=f"statement-{house.task_queue}", task_queue=house.task_queue
        )
    assert still_open == 1
    assert [difference.client_ref for difference in house.statements.open_differences()] == ["somebody-else"]


async def test_a_return_that_only_the_statement_tells_of_is_credited(house: House) -> None:
    """Every prompt was lost, and the sweep's cursor is past it: the next statement's matching asks the bank."""
    yesterday = day_of(now()) - timedelta(days=1)
    async with house.worker():
        withdrawal_id = await house.verified(500_00)
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        await house.handle(withdrawal_id).result()
        house.bank.says(withdrawal_id, TransferState.RETURNED, "account_closed")
        for kind in (EntryKind.PAYMENT, EntryKind.RETURN):
            told = StatementEntry("B1", str(withdrawal_id), kind, 500_00)
            house.statements.record(yesterday - timedelta(days=2), [told], now=now())
        await house.client.execute_workflow(
            StatementWorkflow.run, id=f"statement-{house.task_queue}", task_queue=house.task_queue
        )
        await house.becomes(withdrawal_id, Status.RETURNED)
        assert house.account.withdrawable == 1_000_00
        house.statements.match(now=now())
    assert house.statements.open_differences() == []
