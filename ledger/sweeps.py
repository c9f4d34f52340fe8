"""What the sweep reads and keeps: up to where it has looked, and who is not finished yet.

A sweep asks for what changed since the last one, by indexes that are there for others: it costs what the changes cost,
however many withdrawals wait or are over. The thorough sweep asks the same of everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, or_, select
from sqlalchemy.dialects.postgresql import insert

from domain.withdrawal import OPEN, Status, TransferState
from ledger.database import Database
from ledger.invariants import LedgerMark, Look
from ledger.tables import bank_cursor, oversight, sweep_marks, transfers, verifications, withdrawals

STEPS = ("invariants", "runs")
"""Of the sweep, those that keep a mark."""

OVERDUE = 1_000
"""How many codes whose time is over one sweep looks after at the most; the next one goes on."""


@dataclass(frozen=True)
class RunsMark:
    """Which sweep has looked after the runs last, and that of what changed ``until`` then it has missed nothing."""

    until: datetime
    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class Sweeps:
    """Reads over all withdrawals; changes nothing but the cursor and what the last look found."""

    database: Database

    def cursor(self) -> str:
        """Where to go on reading the bank's changes; empty for the beginning."""
        with self.database.transaction() as connection:
            return connection.execute(select(bank_cursor.c.cursor)).scalar() or ""

    def move_cursor(self, cursor: str, *, now: datetime) -> None:
        """Remembers how far was read; only once everyone concerned was prompted, or a crash would skip them."""
        with self.database.transaction() as connection:
            moved = insert(bank_cursor).values(singleton=True, cursor=cursor, moved_at=now)
            connection.execute(
                moved.on_conflict_do_update(
                    index_elements=[bank_cursor.c.singleton], set_={"cursor": cursor, "moved_at": now}
                )
            )

    def runs_mark(self) -> RunsMark | None:
        """The last sweep that has looked after the runs; None before the first."""
        query = select(sweep_marks).where(sweep_marks.c.step == "runs")
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else RunsMark(row.seen_until, row.workflow_id, row.run_id)

    def note_runs(self, mark: RunsMark, *, whole: bool) -> None:
        """Only once everything up to the mark was looked after: the next sweep goes on from there."""
        seen = {"seen_until": mark.until, "workflow_id": mark.workflow_id, "run_id": mark.run_id}
        with self.database.transaction() as connection:
            _note(connection, "runs", seen | ({"whole_at": mark.until} if whole else {}))

    def ledger_mark(self) -> LedgerMark | None:
        """Where the look over the ledger goes on; None if the whole has to be looked at.

        That is so before the first look, and as long as something is broken: what was seen broken once is not among
        the changes of the next minute, and must not be taken for whole.
        """
        query = (
            select(sweep_marks.c.horizon, sweep_marks.c.seen_until, oversight.c.broken_invariants)
            .select_from(sweep_marks)
            .join(oversight, oversight.c.singleton)
            .where(sweep_marks.c.step == "invariants")
        )
        with self.database.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None or row.broken_invariants else LedgerMark(row.horizon, row.seen_until)

    def note_invariants(self, look: Look, *, now: datetime) -> None:
        """Keeps what the newest look found, for the metrics of every process, and where the next one goes on.

        A look at the changes adds to what is broken; only one at everything takes anything away.
        """
        seen = {"seen_until": look.mark.until, "horizon": look.mark.horizon}
        with self.database.transaction() as connection:
            broken = {one.invariant for one in look.violations}
            if not look.whole:  # A thorough look may have found something while this one was under way.
                known = connection.execute(select(oversight.c.broken_invariants).with_for_update()).scalar()
                broken.update(known or ())
            found = {"broken_invariants": sorted(broken), "looked_at": now}
            noted = insert(oversight).values(singleton=True, **found)
            connection.execute(noted.on_conflict_do_update(index_elements=[oversight.c.singleton], set_=found))
            _note(connection, "invariants", seen | ({"whole_at": now} if look.whole else {}))

    def whole_at(self) -> datetime | None:
        """When everything was looked at last, by both steps; None if one of them never has."""
        with self.database.transaction() as connection:
            seen = connection.execute(select(sweep_marks.c.whole_at).where(sweep_marks.c.whole_at.is_not(None)))
            moments = seen.scalars().all()
        return min(moments) if len(moments) == len(STEPS) else None

    def known(self, withdrawal_ids: Collection[UUID]) -> dict[UUID, tuple[Status, TransferState]]:
        """The status and the transfer's state of each of these that we asked the bank for; no one else's."""
        query = (
            select(withdrawals.c.id, withdrawals.c.status, transfers.c.state)
            .join_from(withdrawals, transfers)
            .where(withdrawals.c.id.in_(withdrawal_ids))
        )
        with self.database.transaction() as connection:
            return {
                withdrawal_id: (Status(status), TransferState(state))
                for withdrawal_id, status, state in connection.execute(query)
            }

    def unfinished(self, *, unchanged_since: datetime, after: UUID | None, limit: int) -> list[UUID]:
        """A page of the withdrawals that are not over, by id, without those that changed only just now."""
        query = select(withdrawals.c.id).where(
            withdrawals.c.status.in_(sorted(OPEN)), withdrawals.c.updated_at <= unchanged_since
        )
        if after is not None:
            query = query.where(withdrawals.c.id > after)
        with self.database.transaction() as connection:
            return list(connection.execute(query.order_by(withdrawals.c.id).limit(limit)).scalars())

    def unfinished_among(self, withdrawal_ids: Collection[UUID], *, unchanged_since: datetime) -> list[UUID]:
        """Which of these are not over, without those that changed only just now."""
        return self._ids(
            withdrawals.c.id.in_(withdrawal_ids),
            withdrawals.c.status.in_(sorted(OPEN)),
            withdrawals.c.updated_at <= unchanged_since,
        )

    def untold(self, *, since: datetime, by: datetime) -> list[UUID]:
        """Applications of that time for which no code was ever sent: perhaps nobody lived to start their run.

        A run's first step is the code. Who has one on record had a run, and if that was lost, Temporal has closed it.
        """
        query = (
            select(withdrawals.c.id)
            .join_from(withdrawals, verifications)
            .where(
                withdrawals.c.status == str(Status.AWAITING_VERIFICATION),
                withdrawals.c.created_at.between(since, by),
                verifications.c.sends == 0,
            )
        )
        with self.database.transaction() as connection:
            return list(connection.execute(query).scalars())

    def overdue(self, *, by: datetime, since: datetime | None = None) -> list[UUID]:
        """Whose rows say that something should have been done by then: a run that was not told, or that is lost.

        Verified and not frozen, frozen and the bank not asked, or the code's time over and still waiting for it.
        A step's commit can outlive the workflow task that it was made in, and then the run never heard of it.
        Of those that wait for the bank it asks only for what changed ``since``; a code's life is minutes, so few wait
        for one at any time.
        """
        late = withdrawals.c.updated_at <= by
        unheard = and_(withdrawals.c.status == str(Status.PROCESSING), transfers.c.withdrawal_id.is_(None), late)
        of_time = () if since is None else _changed_since(since)
        code_over = and_(
            withdrawals.c.status == str(Status.AWAITING_VERIFICATION),
            or_(and_(withdrawals.c.verified_at.is_not(None), late), verifications.c.expires_at <= by),
        )
        # Two queries: joined by OR into one, they would find no index. The second has a limit, since the next sweep
        # asks it again; the first has none, since the next one asks for later changes.
        queries = (
            select(withdrawals.c.id).outerjoin_from(withdrawals, transfers).where(unheard, *of_time),
            select(withdrawals.c.id).join_from(withdrawals, verifications).where(code_over).limit(OVERDUE),
        )
        with self.database.transaction() as connection:
            return [found for query in queries for found in connection.execute(query).scalars()]

    def over(self, withdrawal_ids: Collection[UUID], *, by: datetime) -> list[UUID]:
        """Which of these were over by then."""
        return self._ids(
            withdrawals.c.id.in_(withdrawal_ids),
            withdrawals.c.status.not_in(sorted(OPEN)),
            withdrawals.c.updated_at <= by,
        )

    def ended(self, *, since: datetime, by: datetime) -> list[UUID]:
        """Which came to an end in that time."""
        return self._ids(
            withdrawals.c.status.not_in(sorted(OPEN)), withdrawals.c.updated_at <= by, *_changed_since(since)
        )

    def _ids(self, *those: ColumnElement[bool]) -> list[UUID]:
        with self.database.transaction() as connection:
            return list(connection.execute(select(withdrawals.c.id).where(*those)).scalars())


def _changed_since(since: datetime) -> tuple[ColumnElement[bool], ...]:
    """Found by the index of those whose card is still kept, as it is for half a year after the end."""
    return withdrawals.c.card_number.is_not(None), withdrawals.c.updated_at >= since


def _note(connection: Connection, step: str, seen: Mapping[str, Any]) -> None:
    noted = insert(sweep_marks).values(step=step, **seen)
    connection.execute(noted.on_conflict_do_update(index_elements=[sweep_marks.c.step], set_=seen))
