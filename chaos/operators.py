"""Operators with their hands in Temporal, and a hand on the clock: no programme can wait three weeks."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from temporalio.client import Client
from temporalio.service import RPCError

from chaos.journal import Journal
from domain.withdrawal import workflow_id
from payloads.encryption import data_converter
from payloads.keys import PayloadKeys
from stack.local import LocalStack
from stack.postgres import Postgres

T = TypeVar("T")

_PATIENCE_SECONDS = 5.0

# Both move what PostgreSQL knows of the time; the run is then asked to look, and reads it there.
_END_THE_WINDOW = """UPDATE withdrawals SET earliest = current_date - 8, latest = current_date - 1
                     WHERE id = %s AND status = 'processing'"""
_END_THE_CODE = """UPDATE verifications SET expires_at = now() - interval '1 second' FROM withdrawals w
                   WHERE w.id = withdrawal_id AND w.id = %s AND w.status = 'awaiting_verification'"""
_A_MINUTE_AGO = """UPDATE verifications SET sent_at = sent_at - interval '61 seconds' WHERE withdrawal_id = %s"""
_ONE_OF = "SELECT id::text FROM withdrawals WHERE status = %s ORDER BY random() LIMIT 1"


class Operators:
    """What they do is done or not, as Temporal pleases: nobody waits for them, and no fault is theirs to report."""

    def __init__(self, loop: asyncio.AbstractEventLoop, client: Client, postgres: Postgres, journal: Journal) -> None:
        self.terminated: Counter[str] = Counter()
        self._loop = loop
        self._client = client
        self._postgres = postgres
        self._journal = journal

    @classmethod
    @contextlib.contextmanager
    def at_work(cls, stack: LocalStack, journal: Journal) -> Iterator[Operators]:
        """With a client of their own until the block is left."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="operators", daemon=True)
        thread.start()
        converter = data_converter(PayloadKeys(stack.state.payload_key_file()), "default")
        connecting = Client.connect(stack.temporal.address, lazy=True, data_converter=converter)
        try:
            client = asyncio.run_coroutine_threadsafe(connecting, loop).result(30)
            yield cls(loop, client, stack.postgres, journal)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

    def terminate_one(self, status: str) -> None:
        """Ends the run of a withdrawal in this status, if there is one, as a careless operator would."""
        withdrawal_id = self._one_in(status)
        if withdrawal_id is not None and self._done(self._run(withdrawal_id).terminate("by the programme")):
            self.terminated[status] += 1
            self._journal.note("terminate", withdrawal_id=withdrawal_id, status=status)

    def cancel(self, withdrawal_id: str) -> bool:
        """Asks Temporal to cancel the run."""
        self._journal.note("cancel_in_temporal", withdrawal_id=withdrawal_id)
        return self._done(self._run(withdrawal_id).cancel())

    def decide(self, withdrawal_id: str, decision: str, *, by: str) -> bool:
        """Finance's word through Temporal's own door."""
        self._journal.note("decide_by_signal", withdrawal_id=withdrawal_id, decision=decision, by=by)
        word = {"approver": by, "decision": decision, "note": "by the programme"}
        return self._done(self._run(withdrawal_id).signal("decide", word))

    def match_statements(self) -> bool:
        """Lets the daily matching run now."""
        return self._done(self._client.get_schedule_handle("statement").trigger())

    def end_window(self, withdrawal_id: str) -> None:
        """The fifteenth working day is over, for a withdrawal that the bank was asked to pay."""
        self._move_the_clock(_END_THE_WINDOW, withdrawal_id)

    def end_code(self, withdrawal_id: str) -> None:
        """The ten minutes are over, for an application whose code was not entered."""
        self._move_the_clock(_END_THE_CODE, withdrawal_id)

    def let_a_minute_pass(self, withdrawal_id: str) -> None:
        """Since the last code was sent."""
        self._move_the_clock(_A_MINUTE_AGO, withdrawal_id)

    def count_runs(self, query: str) -> int:
        """How many runs Temporal lists for a query; raises RPCError."""

        async def count() -> int:
            return (await self._client.count_workflows(query)).count

        return self._answer(count())

    def _move_the_clock(self, statement: str, withdrawal_id: str) -> None:
        with contextlib.suppress(psycopg.Error), self._postgres.connect() as connection:
            connection.execute(statement, [withdrawal_id])
        self._done(self._run(withdrawal_id).signal("look"))

    def _one_in(self, status: str) -> str | None:
        with contextlib.suppress(psycopg.Error), self._postgres.connect() as connection:
            row: Any = connection.execute(_ONE_OF, [status]).fetchone()
            return row and str(row[0])
        return None

    def _run(self, withdrawal_id: str) -> Any:
        return self._client.get_workflow_handle(workflow_id(UUID(withdrawal_id)))

    def _done(self, call: Coroutine[Any, Any, Any]) -> bool:
        try:
            self._answer(call)
        except (RPCError, RuntimeError, TimeoutError):
            return False
        return True

    def _answer(self, call: Coroutine[Any, Any, T]) -> T:
        # Bounded on the loop itself: a call given up by this thread alone would live on there.
        bounded = asyncio.wait_for(call, _PATIENCE_SECONDS)
        return asyncio.run_coroutine_threadsafe(bounded, self._loop).result(2 * _PATIENCE_SECONDS)
