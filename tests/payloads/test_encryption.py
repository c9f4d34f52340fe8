"""The codec: nothing readable goes out, and nothing comes in that nobody with a key has written for this place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import ActivitySerializationContext, DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError

from payloads.encryption import KEY_ID, KNOWN_AT_ONCE, WORKFLOW_ID, EncryptedPayloads, data_converter
from payloads.keys import KeyMissing, PayloadKeys, rotate
from payloads.refused import ANOTHER_RUN, CHANGED, NOT_ENCRYPTED, REFUSED, STEP_BY_HAND, RefusedPayload, genuine

PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"13800001234"')
RUN = WorkflowSerializationContext("default", "withdrawal-1")
STEP = ActivitySerializationContext("default", "1", "ask_bank", "q", "withdrawal-1", "WithdrawalWorkflow", False)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> PayloadKeys:
    """One key."""
    file: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    rotate(file)
    return PayloadKeys(file)


@pytest.fixture(scope="module")
def codec(keys: PayloadKeys) -> EncryptedPayloads:
    """The codec in the history of one run."""
    return EncryptedPayloads(keys, "default").with_context(RUN)


async def encrypted(codec: EncryptedPayloads, payload: Payload = PLAIN) -> Payload:
    (sealed,) = await codec.encode([payload])
    return sealed


async def refusal(codec: EncryptedPayloads, payload: Payload) -> str:
    (opened,) = await codec.decode([payload])
    assert opened.metadata["encoding"] == b"binary/refused"
    return opened.data.decode()


async def test_what_was_encrypted_opens_again_as_it_was(codec: EncryptedPayloads) -> None:
    """In the same run, for a client as for a step; and the same text never looks the same."""
    sealed = await encrypted(codec)
    assert await codec.decode([sealed]) == [PLAIN]
    assert await codec.with_context(STEP).decode([sealed]) == [PLAIN]
    assert b"13800001234" not in sealed.SerializeToString()
    assert (await encrypted(codec)).data != sealed.data


@given(data=st.binary(max_size=2000), encoding=st.binary(max_size=20), key=st.text(max_size=20))
async def test_every_payload_comes_back(codec: EncryptedPayloads, data: bytes, encoding: bytes, key: str) -> None:
    """Whatever is in it."""
    payload = Payload(metadata={"encoding": encoding, key: b"x"}, data=data)
    assert await codec.decode([await encrypted(codec, payload)]) == [payload]


@pytest.mark.parametrize(
    "payload", [PLAIN, Payload(), Payload(metadata={"encoding": b"binary/null"}), Payload(data=b"\x00\xff")]
)
async def test_what_is_in_clear_is_refused(codec: EncryptedPayloads, payload: Payload) -> None:
    """However it is made: there is no way around the codec."""
    assert await refusal(codec, payload) == NOT_ENCRYPTED


@given(place=st.integers(0, 60), bit=st.integers(0, 7))
async def test_a_changed_bit_is_noticed(codec: EncryptedPayloads, place: int, bit: int) -> None:
    """In the nonce, the text or the tag."""
    sealed = await encrypted(codec)
    data = bytearray(sealed.data)
    data[place % len(data)] ^= 1 << bit
    assert await refusal(codec, Payload(metadata=dict(sealed.metadata), data=bytes(data))) == CHANGED


async def test_it_opens_in_no_other_namespace_run_or_step_outside_of_a_run(codec: EncryptedPayloads) -> None:
    """Copied there it is refused, even with its label changed."""
    sealed = await encrypted(codec)
    assert await refusal(replace(codec, namespace="other"), sealed) == CHANGED
    assert await refusal(replace(codec, workflow_id="withdrawal-2"), sealed) == ANOTHER_RUN
    alone = codec.with_context(replace(STEP, workflow_id=None))
    assert await refusal(alone, sealed) == ANOTHER_RUN
    relabelled = Payload(metadata={**sealed.metadata, WORKFLOW_ID: b"withdrawal-2"}, data=sealed.data)
    assert await refusal(replace(codec, workflow_id="withdrawal-2"), relabelled) == CHANGED
    unlabelled = Payload(metadata={k: v for k, v in sealed.metadata.items() if k != WORKFLOW_ID}, data=sealed.data)
    assert await refusal(codec, unlabelled) == CHANGED


async def test_a_schedules_payloads_open_in_the_runs_it_starts(codec: EncryptedPayloads) -> None:
    """Temporal adds the time to the id it was given."""
    of_schedule = await encrypted(replace(codec, workflow_id="reconciliation"))
    run = replace(codec, workflow_id="reconciliation-2026-11-25T14:46:00Z")
    assert await run.decode([of_schedule]) == [PLAIN]


async def test_a_missing_key_is_no_refusal(codec: EncryptedPayloads) -> None:
    """It may come back: the run waits, and somebody is told."""
    told: list[str] = []
    sealed = await encrypted(codec)
    unknown = Payload(metadata={**sealed.metadata, KEY_ID: b"k9.0000000000000000"}, data=sealed.data)
    with pytest.raises(KeyMissing):
        await replace(codec, count=told.append).decode([unknown])
    assert told == ["key_missing"]


async def test_two_keys_are_not_mixed_up(tmp_path: Path) -> None:
    """The id of the key is bound as well."""
    rotate(tmp_path / "keys.json")
    before = EncryptedPayloads(PayloadKeys(tmp_path / "keys.json"), "default")
    sealed = await encrypted(before)
    rotate(tmp_path / "keys.json")
    after = EncryptedPayloads(PayloadKeys(tmp_path / "keys.json"), "default")
    assert [one.data for one in await after.decode([sealed])] == [PLAIN.data]
    relabelled = Payload(metadata={**sealed.metadata, KEY_ID: after.keys.current()[0].encode()}, data=sealed.data)
    assert await refusal(after, relabelled) == CHANGED


async def test_what_was_written_by_hand_speaks_to_a_run_but_is_no_step_of_it(keys: PayloadKeys) -> None:
    """The codec server encodes for whoever may decide: not for who would play the bank's answer."""
    converter = data_converter(keys, "default")
    (by_hand,) = await EncryptedPayloads(keys, "default").encode([PLAIN])
    assert await converter.with_context(RUN).decode([by_hand], [str]) == ["13800001234"]
    assert await converter.with_context(STEP).decode([by_hand], [str]) == [RefusedPayload(STEP_BY_HAND)]
    with pytest.raises(ApplicationError) as refused:
        genuine(RefusedPayload(STEP_BY_HAND))
    assert (refused.value.type, refused.value.non_retryable) == (REFUSED, True)


async def test_a_refused_payload_is_an_error_except_where_it_would_stop_a_run(keys: PayloadKeys) -> None:
    """The error says why, and nothing of the payload; who takes anything, and who waits for a step, gets a value."""
    converter = data_converter(keys, "default").with_context(RUN)
    assert await converter.decode([PLAIN], [cast(type, Any)]) == [RefusedPayload(NOT_ENCRYPTED)]
    assert await converter.with_context(STEP).decode([PLAIN], [str]) == [RefusedPayload(NOT_ENCRYPTED)]
    some: list[list[type] | None] = [[str], None]
    for hints in some:
        with pytest.raises(ApplicationError, match="not encrypted") as refused:
            await converter.decode([PLAIN], hints)
        assert "13800001234" not in str(refused.value)


async def test_each_run_keeps_a_converter_of_its_own(keys: PayloadKeys) -> None:
    """Made once for a run and its steps, never handed to another run, and no more kept than a worker needs."""
    converter = data_converter(keys, "default")
    bound = converter.with_context(RUN)
    assert converter.with_context(RUN) is bound
    others = [
        converter.with_context(replace(RUN, workflow_id=f"withdrawal-{number}"))
        for number in range(2, KNOWN_AT_ONCE + 3)
    ]
    (sealed,) = await bound.encode(["for the first"])
    assert await converter.with_context(RUN).decode([sealed], [str]) == ["for the first"]
    with pytest.raises(ApplicationError, match="another run"):
        await others[-1].decode([sealed], [str])
    assert converter.with_context(RUN) is not bound


async def test_failures_are_encrypted_too(keys: PayloadKeys) -> None:
    """Message, stack trace and details: who reads the history without a key learns the kind of error and no more."""
    converter = data_converter(keys, "default").with_context(RUN)
    failure = Failure()
    await converter.encode_failure(ApplicationError("for 13800001234", {"card": "6230580000000000013"}), failure)
    written = failure.SerializeToString()
    assert b"13800001234" not in written
    assert b"6230580000000000013" not in written
    assert str(await converter.decode_failure(failure)) == "for 13800001234"


async def test_without_keys_nothing_is_encrypted_and_nothing_refused() -> None:
    """A development server without a key file; histories from before."""
    converter: DataConverter = data_converter(None, "default")
    assert converter.payload_codec is None
    assert await converter.decode([PLAIN], [str]) == ["13800001234"]
