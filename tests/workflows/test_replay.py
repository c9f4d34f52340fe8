"""Recorded histories replay: the code of today makes the same commands as the code that wrote them.

``RECORD_HISTORIES=1 pytest tests/workflows/test_replay.py`` adds histories that are missing. A change of commands
that is meant needs ``workflow.patched`` and a recording under a new name beside the old one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec, WorkflowSerializationContext
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from domain.withdrawal import Decision, Outcome, Status, TransferState
from payloads.encryption import data_converter
from payloads.keys import PayloadKeys
from tests.workflows.house import House, now
from worker import sandboxed_runner
from workflows.bank_return import BankReturnWorkflow
from workflows.withdrawal import WithdrawalWorkflow

HISTORIES = Path(__file__).parent / "histories"
RECORDED = {path.stem: path.read_text() for path in sorted(HISTORIES.glob("*.json"))}
LARGE = 50_000_00

Story = Callable[[House, WorkflowEnvironment], Awaitable[UUID]]


async def paid(house: House, skipping: WorkflowEnvironment) -> UUID:
    """Application, code, freeze, transfer, notification."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return withdrawal_id


async def failed(house: House, skipping: WorkflowEnvironment) -> UUID:
    """The bank says no."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.FAILED, "account_closed")
    return withdrawal_id


async def expired(house: House, skipping: WorkflowEnvironment) -> UUID:
    """No code within ten minutes."""
    withdrawal_id = await house.open()
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(minutes=11))
    return withdrawal_id


async def cancelled(house: House, skipping: WorkflowEnvironment) -> UUID:
    """The customer's cancel."""
    withdrawal_id = await house.open()
    await house.cancel(withdrawal_id)
    return withdrawal_id


async def cancelled_by_operator(house: House, skipping: WorkflowEnvironment) -> UUID:
    """Temporal's cancellation while finance is waited for."""
    withdrawal_id = await house.verified(LARGE)
    await house.handle(withdrawal_id).cancel()
    return withdrawal_id


async def rejected(house: House, skipping: WorkflowEnvironment) -> UUID:
    """Finance says no after a reminder."""
    withdrawal_id = await house.verified(LARGE)
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=2))
    await house.decide(withdrawal_id, "finance_1", Decision.REJECT)
    return withdrawal_id


async def approved_by_signal(house: House, skipping: WorkflowEnvironment) -> UUID:
    """Finance says yes through Temporal's door, and the bank pays."""
    withdrawal_id = await house.verified(LARGE)
    word = {"approver": "finance_1", "decision": "approve"}
    await house.handle(withdrawal_id).signal("decide", word)
    await house.asked(withdrawal_id)
    await house.bank_says(withdrawal_id, TransferState.SUCCEEDED)
    return withdrawal_id


async def resolved(house: House, skipping: WorkflowEnvironment) -> UUID:
    """No answer in the window; finance finds out that it was paid."""
    withdrawal_id = await house.verified()
    await house.asked(withdrawal_id)
    await skipping.fast_forward(house.handle(withdrawal_id), timedelta(days=40))
    await house.becomes(withdrawal_id, Status.UNDER_REVIEW)
    await house.resolve(withdrawal_id, "finance_1", Outcome.PAID)
    return withdrawal_id


PATHS: list[Story] = [
    paid,
    failed,
    expired,
    cancelled,
    cancelled_by_operator,
    rejected,
    approved_by_signal,
    resolved,
]


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_replays_as_it_ran(long_house: House, skipping: WorkflowEnvironment, path: Story) -> None:
    """No clock, chance or order of the moment is in the story: a fresh worker comes to the same commands."""
    house = long_house
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            withdrawal_id = await path(house, skipping)
        try:
            await house.handle(withdrawal_id).result()
        except WorkflowFailureError:
            assert path is cancelled_by_operator
    history = await house.handle(withdrawal_id).fetch_history()
    await replayer().replay_workflow(history)
    recording = HISTORIES / f"{path.__name__}.json"
    if os.environ.get("RECORD_HISTORIES") and not recording.exists():
        recording.write_text(history.to_json())


@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_histories_replay(name: str) -> None:
    """Withdrawals that began with an older release go on with this one."""
    history = WorkflowHistory.from_json(name, RECORDED[name])
    await replayer().replay_workflow(history)


@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_histories_replay_encrypted(name: str, payload_key_file: Path) -> None:
    """The same stories with every payload encrypted, by a key of this moment: none is kept in the repository."""
    converter = data_converter(PayloadKeys(payload_key_file), "default")
    codec = converter.with_context(WorkflowSerializationContext("default", name)).payload_codec
    assert codec is not None
    encrypted = json.dumps(await _encrypted(json.loads(RECORDED[name]), codec))
    assert base64.b64encode(b'{"withdrawal_id"').decode()[:20] not in encrypted
    await replayer(converter).replay_workflow(WorkflowHistory.from_json(name, encrypted))


async def _encrypted(value: Any, codec: PayloadCodec) -> Any:
    """A history in JSON with its payloads encoded, as the codec of the worker that wrote it would have done."""
    if isinstance(value, list):
        return [await _encrypted(part, codec) for part in value]
    if not isinstance(value, dict):
        return value
    if "encoding" in value.get("metadata", {}):
        (sealed,) = await codec.encode([ParseDict(value, Payload())])
        return MessageToDict(sealed)
    # The SDK's own note on a local step stays in clear, and so do search attributes.
    left = ("data", "searchAttributes")
    return {name: part if name in left else await _encrypted(part, codec) for name, part in value.items()}


async def test_there_is_a_recording_of_every_path() -> None:
    """Nobody has removed one."""
    assert {path.__name__ for path in PATHS} <= RECORDED.keys()


async def test_a_history_that_the_code_would_not_write_is_noticed() -> None:
    """The check can fail: a history whose first step has another name does not replay."""
    forged = WorkflowHistory.from_json("paid", RECORDED["paid"])
    for event in forged.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            event.activity_task_scheduled_event_attributes.activity_type.name = "another_step"
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(forged)


def replayer(converter: DataConverter = pydantic_data_converter) -> Replayer:
    """Replays with the worker's own sandbox, and the converter of before there were keys unless told otherwise."""
    return Replayer(
        workflows=[WithdrawalWorkflow, BankReturnWorkflow],
        workflow_runner=sandboxed_runner(),
        data_converter=converter,
    )
