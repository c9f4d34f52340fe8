"""Payloads nobody with a key has written, keys that change while a withdrawal waits, and a key that is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import (
    ActivityFailureError,
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
)
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from api.engine import TemporalEngine
from domain.errors import TemporarilyUnavailable
from domain.withdrawal import Asked, BankAnswer, Decision, Status, TransferState, Verb, workflow_id
from payloads.encryption import KEY_ID, EncryptedPayloads, data_converter
from payloads.keys import PayloadKeys, rotate
from payloads.refused import REFUSED
from tests.databases import Database
from tests.workflows.house import House, now, open_house, until
from tests.workflows.restricted import restricted_runner
from workflows.bank_return import BankReturnWorkflow
from workflows.withdrawal import WithdrawalInput, WithdrawalWorkflow

LARGE = 50_000_00
APPROVE = {"approver": "finance_1", "decision": "approve"}
FAILED_TASK = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


@pytest.fixture
async def stranger(temporal_address: str) -> Client:
    """Somebody with access to Temporal, and without a key."""
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


@pytest.fixture
def by_hand(payload_key_file: Path) -> EncryptedPayloads:
    """What the codec server encodes with: bound to no run."""
    return EncryptedPayloads(PayloadKeys(payload_key_file), "default")


def rich(house: House) -> House:
    """The house with an account that can pay for what needs approval."""
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    return house


async def never_stuck(house: House, withdrawal_id: UUID) -> bool:
    """No workflow task of the run has ever failed."""
    history = await house.handle(withdrawal_id).fetch_history()
    return all(event.event_type != FAILED_TASK for event in history.events)


async def ended(house: House, withdrawal_id: UUID) -> Status:
    """How the run ended; a run that is stuck fails the test."""
    return await asyncio.wait_for(house.handle(withdrawal_id).result(), 60)


async def signal_raw(client: Client, withdrawal_id: UUID, payload: Payload) -> None:
    """The signal `decide` with a payload as it is."""
    await client.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace="default",
            workflow_execution=WorkflowExecution(workflow_id=workflow_id(withdrawal_id)),
            signal_name="decide",
            input=Payloads(payloads=[payload]),
        )
    )


async def test_a_decision_in_clear_is_refused_and_the_run_goes_on(house: House, stranger: Client) -> None:
    """Nothing moves, the run says why, and the same word through the codec counts."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(LARGE)
        await stranger.get_workflow_handle(workflow_id(withdrawal_id)).signal("decide", APPROVE)
        await house.shows(withdrawal_id, "not encrypted: send it through the codec server")
        assert (house.status(withdrawal_id), house.bank.submissions) == (Status.AWAITING_APPROVAL, [])
        await house.handle(withdrawal_id).signal("decide", APPROVE)
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await ended(house, withdrawal_id) is Status.PAID
        assert await never_stuck(house, withdrawal_id)
    await replayed(house, withdrawal_id)


async def test_a_decision_encoded_by_the_codec_server_counts(house: House, by_hand: EncryptedPayloads) -> None:
    """It is bound to no run: Temporal's UI and command line do not tell which one it is for."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(LARGE)
        word = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(APPROVE).encode())
        await signal_raw(house.client, withdrawal_id, (await by_hand.encode([word]))[0])
        await house.asked(withdrawal_id)


async def test_a_decision_copied_from_another_run_is_refused(house: House) -> None:
    """The approval of one withdrawal does not approve the next."""
    async with rich(house).worker():
        approved = await house.verified(LARGE)
        await house.handle(approved).signal("decide", APPROVE)
        await house.asked(approved)
        await house.bank_says(approved, TransferState.FAILED, "account_closed")
        await house.handle(approved).result()
        history = await house.handle(approved).fetch_history()
        (word,) = [
            event.workflow_execution_signaled_event_attributes.input.payloads[0]
            for event in history.events
            if event.workflow_execution_signaled_event_attributes.signal_name == "decide"
        ]
        waiting = await house.verified(LARGE)
        await signal_raw(house.client, waiting, word)
        await house.shows(waiting, "written for another run")
        assert house.status(waiting) is Status.AWAITING_APPROVAL


async def test_a_start_in_clear_ends_at_once_and_is_no_obstacle(house: House, stranger: Client) -> None:
    """Nobody starts a run around us, and nobody occupies a withdrawal's id."""
    async with house.worker():
        withdrawal_id = house.apply()
        forged = await stranger.start_workflow(
            "WithdrawalWorkflow",
            WithdrawalInput(withdrawal_id),
            id=workflow_id(withdrawal_id),
            task_queue=house.task_queue,
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await asyncio.wait_for(forged.result(), 30)
        assert isinstance(failed.value.cause, ApplicationError)
        assert failed.value.cause.type == REFUSED
        assert house.events(withdrawal_id) == ["applied"]
        assert (await house.update(WithdrawalWorkflow.open, withdrawal_id)).status is Status.AWAITING_VERIFICATION


async def test_an_update_in_clear_is_rejected(house: House, stranger: Client) -> None:
    """Even one that names what the API recorded."""
    async with rich(house).worker():
        withdrawal_id = await house.verified(LARGE)
        asked = house.instructions.record(withdrawal_id, Verb.DECIDE, "finance_1", word=Decision.APPROVE, now=now())
        with pytest.raises(WorkflowUpdateFailedError):
            await stranger.get_workflow_handle(workflow_id(withdrawal_id)).execute_update("decide", asked)
        assert house.status(withdrawal_id) is Status.AWAITING_APPROVAL
        assert await never_stuck(house, withdrawal_id)


@pytest.mark.parametrize("forger", ["a stranger", "the codec server", "a copy"])
async def test_the_banks_answer_cannot_be_played(
    house: House, stranger: Client, by_hand: EncryptedPayloads, forger: str
) -> None:
    """A step completed by hand moves nothing and stops nothing: the bank is asked again."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        house.bank.slow_query_s = 3
        await house.handle(withdrawal_id).signal(WithdrawalWorkflow.look)
        await until(lambda: house.bank.queries_started > 1)  # The quick look is given up, the patient one goes on.
        client = {"a stranger": stranger}.get(forger, await as_hand(house.client, by_hand, copied=forger == "a copy"))
        run = await house.handle(withdrawal_id).describe()
        (pending,) = run.raw_description.pending_activities
        step = client.get_async_activity_handle(
            workflow_id=workflow_id(withdrawal_id), run_id=run.run_id, activity_id=pending.activity_id
        )
        played = replace(house.moves.standing(withdrawal_id), version=99, status=Status.PAID)
        await step.complete(Asked(played, TransferState.SUCCEEDED, now()))
        house.bank.slow_query_s = 0
        await until_history_has(house, withdrawal_id, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED, 2)
        await asyncio.sleep(0.5)
        assert house.status(withdrawal_id) is Status.PROCESSING
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await ended(house, withdrawal_id) is Status.PAID
        assert await never_stuck(house, withdrawal_id)
    await replayed(house, withdrawal_id)


async def test_a_return_cannot_be_played_either(house: House, stranger: Client) -> None:
    """The run that asks for returns asks again."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        await house.handle(withdrawal_id).result()
        house.bank.slow_query_s = 3
        queries = house.bank.queries_started
        returning = await house.client.start_workflow(
            "BankReturnWorkflow",
            {"withdrawal_id": str(withdrawal_id)},
            id=f"bank-return-{withdrawal_id}",
            task_queue=house.task_queue,
        )
        await until(lambda: house.bank.queries_started > queries)
        (pending,) = (await returning.describe()).raw_description.pending_activities
        step = stranger.get_async_activity_handle(
            workflow_id=returning.id, run_id=returning.first_execution_run_id, activity_id=pending.activity_id
        )
        house.bank.slow_query_s = 0
        await step.complete(BankAnswer(TransferState.RETURNED, "B1", None))
        assert await returning.result() == Status.PAID
        assert house.status(withdrawal_id) is Status.PAID


async def test_no_step_can_be_carried_out_alone(house: House, stranger: Client, by_hand: EncryptedPayloads) -> None:
    """`temporal activity start` with what a step takes: not in clear, and not through the codec server either."""
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        for client in (stranger, await as_hand(house.client, by_hand)):
            with pytest.raises(ActivityFailureError) as failed:
                await client.execute_activity(
                    "record_answer",
                    args=[withdrawal_id, BankAnswer(TransferState.SUCCEEDED, "B1", None), now()],
                    id=str(uuid4()),
                    task_queue=house.task_queue,
                    start_to_close_timeout=timedelta(seconds=5),
                    schedule_to_close_timeout=timedelta(seconds=20),
                )
            assert isinstance(failed.value.cause, ApplicationError)
            assert failed.value.cause.type == REFUSED
        assert house.status(withdrawal_id) is Status.PROCESSING


# Keys that change, and one that is lost.


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Keys of this test's own."""
    rotate(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@pytest.fixture
async def own_house(temporal_address: str, database: Database, key_file: Path) -> AsyncIterator[House]:
    """A house whose client has the keys of ``key_file``."""
    async with open_house(await with_keys(temporal_address, key_file), database.app_url) as house:
        yield house


async def test_keys_are_rotated_while_a_withdrawal_waits(
    own_house: House, temporal_address: str, key_file: Path
) -> None:
    """Begun under one key, finished under the next, by a worker that was never restarted."""
    house = own_house
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
        await asyncio.sleep(1.1)  # The worker has looked at its file, and may look again.
        rotate(key_file)
        later = await with_keys(temporal_address, key_file)
        asked = house.instructions.record(withdrawal_id, Verb.CANCEL, "customer", now=now())
        with pytest.raises(WorkflowUpdateFailedError):  # Its argument is under the new key; the bank was asked.
            await later.get_workflow_handle(workflow_id(withdrawal_id)).execute_update(WithdrawalWorkflow.cancel, asked)
        await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
        assert await ended(house, withdrawal_id) is Status.PAID
        assert await never_stuck(house, withdrawal_id)
    history = await house.handle(withdrawal_id).fetch_history()
    assert {key for key in ("k1.", "k2.") if f'"{KEY_ID}": "' in history.to_json()} == {"k1.", "k2."}
    await replayed(House(later, house.database, account_id=house.account_id + "_x"), withdrawal_id)


async def test_a_lost_key_pauses_and_loses_nothing(own_house: House, temporal_address: str, key_file: Path) -> None:
    """Without the key no money moves, no run fails and somebody is told; with it again everything goes on."""
    house, whole = own_house, read(key_file)
    async with house.worker():
        withdrawal_id = await house.verified()
        await house.asked(withdrawal_id)
    rotate(key_file)
    both = read(key_file)
    assert whole["payload_keys"].items() < both["payload_keys"].items()
    lost = both | {"payload_keys": {"k2": both["payload_keys"]["k2"]}}
    write(key_file, lost)
    told: list[str] = []
    client = await with_keys(temporal_address, key_file, told)
    house.bank.says(withdrawal_id, TransferState.SUCCEEDED)
    before = house.account
    async with paused_house(house, client).worker():
        await client.get_workflow_handle(workflow_id(withdrawal_id)).signal(WithdrawalWorkflow.look)
        await until(lambda: told.count("key_missing") >= 2)
        assert (house.status(withdrawal_id), house.account) == (Status.PROCESSING, before)
        engine = TemporalEngine(client, house.task_queue, timedelta(seconds=1), house.instructions)
        with pytest.raises(TemporarilyUnavailable):  # A caller is told to come again.
            await engine.verify(withdrawal_id)
        run = await client.get_workflow_handle(workflow_id(withdrawal_id)).describe()
        assert run.status is WorkflowExecutionStatus.RUNNING
        write(key_file, both)
        await house.becomes(withdrawal_id, Status.PAID)
    assert (await client.get_workflow_handle(workflow_id(withdrawal_id)).describe()).status in (
        WorkflowExecutionStatus.COMPLETED,
        WorkflowExecutionStatus.RUNNING,
    )


async def test_a_decision_under_a_key_that_the_worker_lacks_waits_for_it(
    own_house: House, temporal_address: str, key_file: Path, tmp_path: Path
) -> None:
    """A new key that has not reached every machine: the word is neither refused nor lost."""
    behind = tmp_path / "behind.json"
    write(behind, read(key_file))
    told: list[str] = []
    house = rich(paused_house(own_house, await with_keys(temporal_address, behind, told)))
    rotate(key_file)
    ahead = await with_keys(temporal_address, key_file)
    async with house.worker():
        withdrawal_id = await house.verified(LARGE)
        await ahead.get_workflow_handle(workflow_id(withdrawal_id)).signal("decide", APPROVE)
        await until(lambda: "key_missing" in told)
        assert house.status(withdrawal_id) is Status.AWAITING_APPROVAL
        write(behind, read(key_file))
        await house.asked(withdrawal_id)
    assert "refused" not in told


async def test_an_answer_under_a_key_we_lack_is_asked_for_again(
    own_house: House, temporal_address: str, key_file: Path, tmp_path: Path
) -> None:
    """The API's keys are behind the worker's: 503, nothing is lost, and the next call finds it done."""
    house = own_house
    behind = tmp_path / "behind.json"
    write(behind, read(key_file))
    rotate(key_file)
    worker = paused_house(house, await with_keys(temporal_address, key_file))
    engine = TemporalEngine(
        await with_keys(temporal_address, behind), house.task_queue, timedelta(seconds=10), house.instructions
    )
    async with worker.worker():
        withdrawal_id = house.apply()
        with pytest.raises(TemporarilyUnavailable):
            await engine.open(withdrawal_id)
        write(behind, read(key_file))
        await asyncio.sleep(1.1)
        assert (await engine.open(withdrawal_id)).code_sent


# What these tests are made of.


def read(key_file: Path) -> dict[str, Any]:
    """The keys as they are in the file."""
    content: dict[str, Any] = json.loads(key_file.read_text())
    return content


def write(key_file: Path, content: dict[str, Any]) -> None:
    """What somebody does to the file."""
    key_file.write_text(json.dumps(content))


async def with_keys(address: str, key_file: Path, told: list[str] | None = None) -> Client:
    """A process that has just read its keys."""
    count = told.append if told is not None else lambda _: None
    return await Client.connect(address, data_converter=data_converter(PayloadKeys(key_file), "default", count))


def paused_house(house: House, client: Client) -> House:
    """The same rows, bank and task queue with another client."""
    return House(
        client,
        house.database,
        bank=house.bank,
        sms=house.sms,
        task_queue=house.task_queue,
        account_id=f"{house.account_id}_beside",
    )


async def as_hand(client: Client, codec: EncryptedPayloads, *, copied: bool = False) -> Client:
    """Whoever encodes through the codec server; or with payloads that were written for another run."""

    class Fixed(EncryptedPayloads):
        def with_context(self, context: object) -> Fixed:
            return self

    fixed = Fixed(codec.keys, codec.namespace, workflow_id="withdrawal-of-another" if copied else None)
    config = client.config()
    converter = data_converter(codec.keys, codec.namespace)
    config["data_converter"] = type(converter)(
        payload_converter_class=converter.payload_converter_class, payload_codec=fixed
    )
    return Client(**config)


async def until_history_has(house: House, withdrawal_id: UUID, kind: EventType.ValueType, times: int) -> None:
    """Returns once the run's history has that many events of a kind."""
    for _ in range(200):
        history = await house.handle(withdrawal_id).fetch_history()
        if sum(event.event_type == kind for event in history.events) >= times:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not {times} of {kind}")


async def replayed(house: House, withdrawal_id: UUID) -> None:
    """What was refused once is refused at every replay."""
    history = await house.handle(withdrawal_id).fetch_history()
    replayer = Replayer(
        workflows=[WithdrawalWorkflow, BankReturnWorkflow],
        workflow_runner=restricted_runner(),
        data_converter=house.client.data_converter,
    )
    await replayer.replay_workflow(history)
