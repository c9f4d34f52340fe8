"""The operators' desk: runs are found by their columns, and say what they wait for and what to do."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from api.engine import TemporalEngine
from domain.errors import TemporarilyUnavailable
from domain.withdrawal import Standing, Status, TransferState
from domain.working_days import ArrivalWindow
from stack.temporal import Temporal
from tests.databases import Database
from tests.workflows.house import House, now, open_house
from tests.workflows.test_replay import RECORDED
from workflows.details import describe
from workflows.registration import OfAnotherType, register
from workflows.search_attributes import AMOUNT_FEN, NEEDS_APPROVAL, OVERDUE, REGISTRY, STATUS, WAITING_SINCE
from workflows.withdrawal import WithdrawalWorkflow

ROOT = Path(__file__).parents[2]
LARGE = 50_000_00


@pytest.fixture
def bare_temporal(tmp_path: Path) -> Iterator[Temporal]:
    """A server that knows none of our search attributes."""
    with Temporal.running(log=tmp_path / "server.log") as server:
        server.wait_until_ready()
        yield server


async def test_a_run_changes_its_columns_only_when_its_status_changes(house: House) -> None:
    """Started with them, a happy withdrawal costs two changes: processing, paid. A look changes nothing."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        await house.handle(withdrawal_id).signal(WithdrawalWorkflow.look)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        await house.handle(withdrawal_id).result()
    assert await changes_of(house.handle(withdrawal_id)) == [
        {"WithdrawalStatus", "WaitingSince"},
        {"WithdrawalStatus", "WaitingSince"},
    ]
    columns = (await house.handle(withdrawal_id).describe()).typed_search_attributes
    assert (columns[STATUS], columns[AMOUNT_FEN], columns[NEEDS_APPROVAL], columns[OVERDUE]) == (
        *("paid", 500_00),
        *(False, False),
    )


async def test_a_run_that_was_started_without_columns_sets_them_all_at_its_first_step(house: House) -> None:
    """The sweep knows no more than the id."""
    async with house.worker():
        withdrawal_id = house.apply()
        await house.update(WithdrawalWorkflow.open, withdrawal_id)
    (first,) = await changes_of(house.handle(withdrawal_id))
    assert first == {key.name for key in REGISTRY}


async def test_operators_find_runs_by_status_account_amount_and_age(house: House) -> None:
    """The saved queries of docs/operations/queries.md find what they are for."""
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    async with house.worker():
        withdrawal_id = await house.verified(LARGE)
        run = house.handle(withdrawal_id).id
        long_ago, soon = now() - timedelta(days=1), now() + timedelta(minutes=1)
        mine = f"AccountId = '{house.account_id}'"
        for query in (
            "WithdrawalStatus = 'awaiting_approval' AND NeedsApproval = true",
            f"AmountFen >= {LARGE}",
            f"ExecutionStatus = 'Running' AND WaitingSince < '{soon.isoformat()}'",
        ):
            await found(house.client, f"{mine} AND {query}", {run})
        await found(house.client, f"{mine} AND WaitingSince < '{long_ago.isoformat()}'", set())
        await found(house.client, f"{mine} AND Overdue = true", set())


async def test_the_saved_queries_are_queries_of_this_server(temporal_client: Client) -> None:
    """Every one in docs/operations/queries.md is understood, with our columns and Temporal's own."""
    queries = re.findall(r"^\| .* \| `([^`]+)` \|$", (ROOT / "docs/operations/queries.md").read_text(), re.MULTILINE)
    assert len(queries) == 10
    for query in queries:
        assert (await temporal_client.count_workflows(query)).count >= 0, query


async def test_a_run_that_finance_lets_wait_is_overdue_until_it_goes_on(
    long_house: House, skipping: WorkflowEnvironment
) -> None:
    """From the first reminder on; a second one is no second change."""
    house = long_house
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await house.verified(LARGE)
        handle = house.handle(withdrawal_id)
        since = (await handle.describe()).typed_search_attributes[WAITING_SINCE]
        await skipping.fast_forward(handle, timedelta(days=4))
        with skipping.with_time_skipping_disabled():
            assert house.events(withdrawal_id).count("finance_reminded") == 2
            assert await changes_of(handle) == [{"WithdrawalStatus", "WaitingSince"}, {"Overdue"}]
            assert (await handle.describe()).typed_search_attributes[WAITING_SINCE] == since
            await house.cancel(withdrawal_id)
            await handle.result()
    assert (await changes_of(handle))[-1] == {"WithdrawalStatus", "Overdue", "WaitingSince"}


@pytest.mark.parametrize("name", RECORDED)
async def test_every_timer_and_every_activity_says_what_it_is_for(name: str) -> None:
    """In the history of the UI nothing is nameless; what we start has a summary."""
    for event in json.loads(RECORDED[name])["events"]:
        if event["eventType"] in ("EVENT_TYPE_TIMER_STARTED", "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"):
            assert event.get("userMetadata", {}).get("summary"), event


@pytest.mark.parametrize("status", Status)
def test_the_details_say_what_is_waited_for_until_when_and_what_to_do(status: Status) -> None:
    """An operator needs no other page to know the next step."""
    window = ArrivalWindow(date(2026, 12, 8), date(2026, 12, 15), provisional=True)
    at = datetime(2026, 11, 25, 3, 4, 5, tzinfo=UTC)
    standing = Standing(uuid4(), 1, status, "acct_1", 1234_56, code_expires_at=at, window=window)
    words = describe(standing, "something to read", overdue=status is Status.UNDER_REVIEW)
    for part in (status, "1234.56", "acct_1", "2026-12-15", "provisional", "**Note:** something to read"):
        assert part in words
    assert ("Waits for" in words and "What to do" in words) is not status.is_final
    assert ("2026-11-25 03:04:05" in words) is (status is Status.AWAITING_VERIFICATION)
    assert ("overdue" in words) is (status is Status.UNDER_REVIEW)


async def test_the_command_registers_what_is_missing_and_can_be_repeated(bare_temporal: Temporal) -> None:
    """Twice the same end."""
    assert "registered AccountId, AmountFen, NeedsApproval" in registration(bare_temporal).stdout
    assert registration(bare_temporal).stdout == "every search attribute is registered\n"
    client = await Client.connect(bare_temporal.address)
    assert await asyncio.gather(*(register(client) for _ in range(3))) == [[]] * 3


async def test_a_name_that_is_taken_stops_the_worker_with_a_clear_message(bare_temporal: Temporal) -> None:
    """Another team's `Overdue` of another type: nothing is started that would only be wedged."""
    client = await Client.connect(bare_temporal.address)
    text = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    request = AddSearchAttributesRequest(namespace="default", search_attributes={"Overdue": text})
    await client.operator_service.add_search_attributes(request)
    with pytest.raises(OfAnotherType, match="Overdue is Keyword in this namespace, and has to be Bool"):
        await register(client)
    refused = registration(bare_temporal)
    assert refused.returncode == 1
    assert refused.stderr.startswith("the search attribute Overdue is Keyword")


async def test_a_temporal_without_the_columns_refuses_no_customer_and_its_run_heals(
    bare_temporal: Temporal, database: Database
) -> None:
    """Replaced by an empty one while everything runs: it is started without them, answered with 202, and goes on."""
    client = await Client.connect(bare_temporal.address, data_converter=pydantic_data_converter)
    async with open_house(client, database.app_url) as house:
        engine = TemporalEngine(client, house.task_queue, timedelta(seconds=20), house.instructions)
        async with house.worker():
            withdrawal_id = house.apply()
            with pytest.raises(TemporarilyUnavailable):
                await engine.open(withdrawal_id, house.moves.standing(withdrawal_id))
            assert (await house.handle(withdrawal_id).describe()).status is WorkflowExecutionStatus.RUNNING
            assert await register(client) == sorted(key.name for key in REGISTRY)
            # The code went out in a workflow task that could not set the columns; the next one can.
            for _ in range(300):
                described = await house.handle(withdrawal_id).describe()
                if (amount := described.typed_search_attributes.get(AMOUNT_FEN)) is not None:
                    break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError("the run never set its columns")
            assert amount == 500_00
            assert house.moves.standing(withdrawal_id).code_sent
            assert house.events(withdrawal_id).count("code_sent") == 1


def registration(temporal: Temporal) -> subprocess.CompletedProcess[str]:
    """What the command says."""
    return subprocess.run(
        [sys.executable, "-m", "workflows.registration"],
        cwd=ROOT,
        env={"TEMPORAL_ADDRESS": temporal.address, "TEMPORAL_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )


async def changes_of(handle: WorkflowHandle[Any, Any]) -> list[set[str]]:
    """Which columns each change named, in order."""
    history = await handle.fetch_history()
    changes = (event.upsert_workflow_search_attributes_event_attributes for event in history.events)
    return [set(change.search_attributes.indexed_fields) for change in changes if change.HasField("search_attributes")]


async def found(client: Client, query: str, runs: set[str]) -> None:
    """Returns once the list shows exactly these; it lags a moment behind."""
    for _ in range(50):
        if {run.id async for run in client.list_workflows(query)} == runs:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{query}: {[run.id async for run in client.list_workflows(query)]}")
