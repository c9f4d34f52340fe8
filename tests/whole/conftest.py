"""One real stack for all of these tests, put back on its feet after each, and its books looked over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from chaos.both_books import BanksBook, OurBook, disagreements
from ledger.database import Database
from ledger.invariants import violations
from stack.local import LocalStack, running_stack
from stack.ports import Ports
from stack.state import State
from tests.whole.world import WELL_BEHAVED, World

_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=100)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """PostgreSQL, Temporal on a file, sandbox, worker and API as processes, on free ports."""
    root = tmp_path_factory.mktemp("whole") / "state"
    with State.locked(root) as state, running_stack(state, Ports.free()) as stack:
        yield stack


@pytest.fixture(scope="session")
def whole(stack: LocalStack) -> Iterator[World]:
    """The world around the one stack."""
    with (
        httpx.Client(base_url=stack.api_url, trust_env=False, timeout=30, limits=_CONNECTIONS) as api,
        httpx.Client(base_url=stack.sandbox_url, trust_env=False, timeout=30, limits=_CONNECTIONS) as sandbox,
    ):
        yield World(stack, api, sandbox)


@pytest.fixture
def world(whole: World) -> Iterator[World]:
    """Everything runs and the bank behaves; whatever the test did, in the end every fen is where it should be."""
    whole.turn(**WELL_BEHAVED)
    try:
        yield whole
    finally:
        _put_on_its_feet(whole.stack)
    whole.turn(**WELL_BEHAVED)
    database = Database.connect(whole.stack.postgres.url(), pool_size=1)
    try:
        assert _lasting_disagreements(whole, database) == []
        assert violations(database) == []
    finally:
        database.close()
    assert whole.count_runs("ExecutionStatus = 'Failed'") == 0


def _lasting_disagreements(world: World, database: Database) -> list[str]:
    """What the books still disagree about when the bank has had its time to tell us."""
    deadline = time.monotonic() + 20
    while (found := _disagreements(world, database)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _disagreements(world: World, database: Database) -> list[str]:
    # The bank first: what it pays while we read is then not held against us, as it is not yet in the copy.
    banks = BanksBook.of(world.book())
    return disagreements(OurBook.read(database), banks)


def _put_on_its_feet(stack: LocalStack) -> None:
    """Starts what a test has killed and wakes what it has stopped."""
    if stack.postgres.process.exit_code is not None:
        stack.postgres.start_again()
    if stack.temporal.process.exit_code is not None:
        stack.temporal.start_again()
    for process in (stack.temporal.process, stack.sandbox, stack.worker, stack.api):
        if process.exit_code is not None:
            process.start_again()
        os.kill(process.pid, signal.SIGCONT)
    stack.wait_until_ready()
