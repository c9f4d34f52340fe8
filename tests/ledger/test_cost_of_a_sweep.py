"""What a sweep reads follows the changes: many times the rows that wait or are over cost it nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import psycopg
import pytest

from bench.finished import copy_withdrawal
from bench.pages import Pages
from domain.withdrawal import Status
from ledger.database import Database
from ledger.invariants import LATE, look_over, violations
from ledger.sweeps import Sweeps
from tests import databases
from tests.ledger.stories import ACCEPTED, Ledger, Stories

CHANGES = 3


@pytest.fixture
def one_connection(database: databases.Database) -> Iterator[Ledger]:
    """Whose every page is counted."""
    with closing(Database.connect(database.app_url, pool_size=1)) as connected:
        yield Ledger.on(connected)


def test_a_sweep_reads_what_the_changes_take(one_connection: Ledger, hand: psycopg.Connection[Any]) -> None:
    """With forty times the withdrawals that wait and are over, the same changes take about as many pages."""
    ledger, stories = one_connection, Stories(one_connection)
    over, waiting = stories.bring_to(Status.PAID), stories.bring_to(Status.PROCESSING)
    stories.answer(waiting, ACCEPTED)
    costs = []
    for series, count in (("few", 200), ("many", 8_000)):
        copy_withdrawal(hand, over, count, series=series)
        copy_withdrawal(hand, waiting, count, series=f"{series}_waiting", an_account=1)
        costs.append(_cost(ledger, stories))
    (few, first), (many, second) = costs
    assert first == second
    # What was written last is found by block ranges, which are read whole: up to 128 pages of three tables.
    allowed = {"invariants": 3 * 128}
    assert all(many[step] <= 1.5 * few[step] + allowed.get(step, 10) for step in few), costs
    pages = Pages.of(ledger.database)
    before = pages.touched()
    assert violations(ledger.database) == []
    assert pages.since(before) > 10 * many["invariants"]


def _cost(ledger: Ledger, stories: Stories) -> tuple[dict[str, int], dict[str, int]]:
    """Pages and rows found by each query of a sweep, when a few have ended and a few were frozen since the last."""
    pages, sweeps = Pages.of(ledger.database), Sweeps(ledger.database)
    mark = look_over(ledger.database, None, now=stories.now).mark
    stories.pass_time(hours=1)
    since = stories.now - LATE
    opened = []
    for _ in range(CHANGES):
        stories.bring_to(Status.PAID)
        stories.bring_to(Status.PROCESSING)
        opened.append(stories.apply(stories.open_account()))
    stories.pass_time(seconds=20)
    steps: dict[str, Callable[[], Sequence[object]]] = {
        "closed runs": lambda: sweeps.unfinished_among(opened, unchanged_since=stories.now),
        "untold": lambda: sweeps.untold(since=since, by=stories.now),
        "overdue": lambda: sweeps.overdue(by=stories.now, since=since),
        "ended": lambda: sweeps.ended(since=since, by=stories.now),
        "invariants": lambda: look_over(ledger.database, mark, now=stories.now).violations,
    }
    taken, found = {}, {}
    for name, step in steps.items():
        step()  # Once before: a first call reads the catalogue, too.
        before = pages.touched()
        found[name] = len(step())
        taken[name] = pages.since(before)
    for withdrawal_id in opened:
        stories.cancel(withdrawal_id)  # Its code's time would be over when the next round looks.
    stories.pass_time(days=1)
    return taken, found
