"""The way to Temporal: every failure comes out as a refusal, and in time."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.refusals import as_application_error
from api.engine import EngineHealth, TemporalEngine
from domain.errors import NotPossibleNow, TemporarilyUnavailable, TooManyRequests
from domain.withdrawal import Status
from ledger.database import Database
from ledger.instructions import Instructions


async def engine_at(address: str, *, patience: timedelta = timedelta(seconds=1)) -> TemporalEngine:
    """An engine whose client connects when it is first used."""
    client = await Client.connect(address, lazy=True, data_converter=pydantic_data_converter)
    nowhere = Database.connect("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    return TemporalEngine(client, "nobody-polls-here", patience, Instructions(nowhere))


@pytest.fixture
def closed_port() -> str:
    """Where nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def silent_port() -> Iterator[str]:
    """Where connections are taken and nothing is ever answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_without_a_server_every_call_is_temporarily_unavailable(closed_port: str) -> None:
    """Nothing of the client's own errors comes through."""
    engine = await engine_at(closed_port)
    for call in (
        engine.open(uuid4()),
        engine.cancel(uuid4(), "somebody"),
        engine.look(uuid4()),
        engine.bank_changed(uuid4(), Status.PROCESSING),
        engine.bank_changed(uuid4(), Status.PAID),
    ):
        with pytest.raises(TemporarilyUnavailable):
            await call
    assert await engine.ready() == EngineHealth(reachable=False, workers=False)


async def test_a_server_that_never_answers_is_given_up_in_time(silent_port: str) -> None:
    """The caller waits as long as the settings say, and no longer."""
    engine = await engine_at(silent_port, patience=timedelta(seconds=0.5))
    started = time.monotonic()
    with pytest.raises(TemporarilyUnavailable):
        await engine.open(uuid4())
    assert not (await engine.ready()).reachable
    assert time.monotonic() - started < 3


async def test_without_a_worker_an_update_times_out_and_the_run_is_there(temporal_address: str) -> None:
    """Update-with-start is not atomic: the caller is told 202 or 503, and the run waits for a worker."""
    engine = await engine_at(temporal_address)
    withdrawal_id = uuid4()
    with pytest.raises(TemporarilyUnavailable):
        await engine.open(withdrawal_id)
    run = engine.client.get_workflow_handle(f"withdrawal-{withdrawal_id}")
    assert (await run.describe()).workflow_type == "WithdrawalWorkflow"
    assert await engine.ready() == EngineHealth(reachable=True, workers=False)
    await run.terminate()


async def test_a_failed_update_leaves_nothing_to_be_logged_as_lost(
    temporal_address: str, closed_port: str, silent_port: str
) -> None:
    """Whichever way it fails: an exception nobody read would turn up in the log at some garbage collection."""
    lost: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: lost.append(context))
    try:
        for address in (temporal_address, closed_port, silent_port):
            engine = await engine_at(address, patience=timedelta(seconds=0.5))
            with pytest.raises(TemporarilyUnavailable):
                await engine.open(uuid4())
            await asyncio.sleep(0)
            gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert lost == []


async def test_looking_at_a_run_that_is_gone_is_no_error(temporal_address: str) -> None:
    """There is nothing to wake."""
    await (await engine_at(temporal_address)).look(uuid4())


async def test_news_of_the_bank_starts_what_has_to_ask(temporal_address: str) -> None:
    """The withdrawal's run while it is open, the return's run once the bank was asked, nothing otherwise."""
    engine = await engine_at(temporal_address)
    started = {}
    for status in Status:
        withdrawal_id = uuid4()
        for _ in range(2):
            await engine.bank_changed(withdrawal_id, status)
        for workflow_id in (f"withdrawal-{withdrawal_id}", f"bank-return-{withdrawal_id}"):
            run = engine.client.get_workflow_handle(workflow_id)
            with suppress(RPCError):  # Not found: it was not started.
                started[status] = (await run.describe()).workflow_type
                await run.terminate()
    assert started == {
        Status.AWAITING_VERIFICATION: "WithdrawalWorkflow",
        Status.AWAITING_APPROVAL: "WithdrawalWorkflow",
        Status.PROCESSING: "WithdrawalWorkflow",
        Status.UNDER_REVIEW: "WithdrawalWorkflow",
        Status.PAID: "BankReturnWorkflow",
        Status.RETURNED: "BankReturnWorkflow",
        Status.FAILED: "BankReturnWorkflow",
    }


async def raised_through(engine: TemporalEngine, error: BaseException) -> BaseException:
    """What the caller sees when the client raises this."""
    with pytest.raises(BaseException) as seen:  # noqa: PT011 - whatever it is, it is looked at
        async with engine._reached():
            raise error
    return seen.value


async def test_a_refusal_of_the_workflow_comes_out_as_what_it_went_in(closed_port: str) -> None:
    """With its facts, and however deep an activity's failure wraps it."""
    engine = await engine_at(closed_port)
    refusal = as_application_error(TooManyRequests(retry_after_s=42))
    out = await raised_through(engine, WorkflowUpdateFailedError(refusal))
    assert isinstance(out, TooManyRequests)
    assert out.retry_after_s == 42
    wrapped = ApplicationError("the activity failed")
    wrapped.__cause__ = as_application_error(NotPossibleNow(status="paid"))
    out = await raised_through(engine, WorkflowUpdateFailedError(wrapped))
    assert isinstance(out, NotPossibleNow)
    assert out.status == "paid"


async def test_what_passes_by_itself_is_temporarily_unavailable(closed_port: str) -> None:
    """Time-outs, an unavailable server, a run that ended meanwhile; our own faults are not hidden so."""
    engine = await engine_at(closed_port)
    ended = ApplicationError("ended", type="AcceptedUpdateCompletedWorkflow")
    for error in (
        RPCError("away", RPCStatusCode.UNAVAILABLE, b""),
        WorkflowUpdateRPCTimeoutOrCancelledError(),
        TimeoutError(),
        WorkflowUpdateFailedError(ended),
    ):
        assert isinstance(await raised_through(engine, error), TemporarilyUnavailable)
    ours = WorkflowUpdateFailedError(ApplicationError("a bug", type="Bug"))
    assert await raised_through(engine, ours) is ours
    bug = RuntimeError("a bug")
    assert await raised_through(engine, bug) is bug


async def test_a_caller_that_is_cancelled_is_cancelled(closed_port: str) -> None:
    """A shutdown is not mistaken for a time-out."""
    engine = await engine_at(closed_port)

    async def wait() -> None:
        async with engine._reached():
            await asyncio.sleep(60)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
