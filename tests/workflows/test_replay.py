"""Recorded histories replay: the code of today makes the same commands as the code that wrote them.

``RECORD_HISTORIES=1 pytest tests/workflows/test_replay.py`` adds histories that are missing. A change of commands
that is meant needs ``workflow.patched`` and a recording under a new name beside the old one (decision 41).
"""

from __future__ import annotations

import base64
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, PayloadCodec, WorkflowSerializationContext
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from domain.withdrawal import Status
from payloads.encryption import data_converter
from payloads.keys import PayloadKeys
from tests.databases import ROOT
from tests.workflows.house import House, now
from tests.workflows.paths import BY_THE_CLOCK, PATHS, Story
from tests.workflows.restricted import restricted_runner
from worker import WORKFLOWS

HISTORIES = Path(__file__).parent / "histories"
RECORDED = {path.stem: path.read_text() for path in sorted(HISTORIES.glob("*.json"))}


@pytest.mark.parametrize("path", [*PATHS, *BY_THE_CLOCK])
async def test_every_path_replays_as_it_ran(long_house: House, skipping: WorkflowEnvironment, path: Story) -> None:
    """No clock, chance or order of the moment is in the story: a fresh worker comes to the same commands."""
    house = long_house
    house.accounts.top_up(house.account_id, "rich", 1_000_000_00, now=now())
    async with house.worker():
        with skipping.with_time_skipping_disabled():
            run = await path(house, skipping)
        with suppress(WorkflowFailureError):  # One that an operator cancelled ends as cancelled.
            await run.result()
    history = await run.fetch_history()
    await replayer().replay_workflow(history)
    recording = HISTORIES / f"{path.__name__}.json"
    if os.environ.get("RECORD_HISTORIES") and not recording.exists():
        recording.write_text(history.to_json().replace(f"{ROOT}/", ""))


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


async def test_there_is_a_recording_of_every_path_and_of_every_status() -> None:
    """Nobody has removed one, and the columns of the recorded runs pass through the whole diagram."""
    assert {path.__name__ for path in (*PATHS, *BY_THE_CLOCK)} <= RECORDED.keys()
    passed = {status for name in RECORDED for status in Status if f'"{_encoded(status)}"' in RECORDED[name]}
    assert passed == set(Status)


def test_there_is_a_recording_of_every_workflow() -> None:
    """Those that a schedule starts included."""
    types = {_type(recording) for recording in RECORDED.values()}
    assert types == {one.__name__ for one in WORKFLOWS}


@pytest.mark.parametrize("name", RECORDED)
def test_no_recording_names_a_place_of_the_machine_it_was_made_on(name: str) -> None:
    """The stack traces of failed steps would."""
    assert 'File \\"/' not in RECORDED[name]


@pytest.mark.parametrize("name", ["paid", "returned", "swept", "matched", "sealed", "cleaned"])
async def test_a_history_that_the_code_would_not_write_is_noticed(name: str) -> None:
    """The check can fail: a history of any workflow whose steps have another name does not replay."""
    forged = WorkflowHistory.from_json(name, RECORDED[name])
    for event in forged.events:
        if event.HasField("activity_task_scheduled_event_attributes"):
            event.activity_task_scheduled_event_attributes.activity_type.name = "another_step"
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(forged)


def replayer(converter: DataConverter = pydantic_data_converter) -> Replayer:
    """Replays with the worker's own sandbox, and the converter of before there were keys unless told otherwise."""
    return Replayer(
        workflows=WORKFLOWS,
        workflow_runner=restricted_runner(),
        data_converter=converter,
    )


def _encoded(status: Status) -> str:
    """As a search attribute stands in a history."""
    return base64.b64encode(json.dumps(str(status)).encode()).decode()


def _type(recording: str) -> str:
    """Which workflow's history it is."""
    started = json.loads(recording)["events"][0]["workflowExecutionStartedEventAttributes"]
    return str(started["workflowType"]["name"])
