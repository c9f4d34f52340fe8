"""The connection is cut at COMMIT: nobody knows whether it was done, and the same call again makes it right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import make_url, text

from chaos.wire import Wire
from domain.errors import IdempotencyKeyInUse, TemporarilyUnavailable
from domain.withdrawal import Decision, Status
from ledger.database import Database
from ledger.invariants import violations
from stack.ports import free_ports
from tests import databases
from tests.ledger.stories import LARGE, REFUSED, RETURNED, SMALL, SUCCEEDED, Ledger, Stories


@dataclass(frozen=True)
class Cut:
    """One ledger, reached directly and through a wire that can be cut."""

    wire: Wire
    ledger: Ledger
    stories: Stories
    through: Ledger


@pytest.fixture
def cut(database: databases.Database) -> Iterator[Cut]:
    """Afterwards every invariant holds."""
    url, (port,) = make_url(database.app_url), free_ports(1)
    assert url.port is not None
    with (
        Wire.laid(port, url.port) as wire,
        closing(Database.connect(url, pool_size=2)) as direct,
        closing(Database.connect(url.set(port=port), pool_size=2)) as through,
    ):
        ledger = Ledger.on(direct)
        yield Cut(wire, ledger, Stories(ledger), Ledger.on(through))
        assert violations(direct) == []


Move = Callable[[Cut, UUID], object]


def _freeze(cut: Cut, withdrawal_id: UUID) -> object:
    return cut.through.moves.freeze(withdrawal_id, now=cut.stories.now)


def _settle(cut: Cut, withdrawal_id: UUID) -> object:
    return cut.through.transfers.record_answer(withdrawal_id, SUCCEEDED, now=cut.stories.now)


def _refuse(cut: Cut, withdrawal_id: UUID) -> object:
    return cut.through.transfers.record_answer(withdrawal_id, REFUSED, now=cut.stories.now)


def _return(cut: Cut, withdrawal_id: UUID) -> object:
    return cut.through.transfers.record_answer(withdrawal_id, RETURNED, now=cut.stories.now)


def _prepare(cut: Cut, withdrawal_id: UUID) -> object:
    return cut.through.transfers.prepare(withdrawal_id, now=cut.stories.now)


def _cancel(cut: Cut, withdrawal_id: UUID) -> object:
    by = cut.stories.instruction(key="cancel-once")
    return cut.through.moves.cancel(withdrawal_id, by, now=cut.stories.now)


def _reject(cut: Cut, withdrawal_id: UUID) -> object:
    by = cut.stories.instruction("finance-1", key="reject-once")
    return cut.through.moves.decide(withdrawal_id, Decision.REJECT, "", by, now=cut.stories.now)


def _resolve(cut: Cut, withdrawal_id: UUID) -> object:
    by = cut.stories.instruction("finance-1", key="resolve-once")
    return cut.through.transfers.resolve(withdrawal_id, "paid", "statement", by, now=cut.stories.now)


_MOVES: list[tuple[Move, Status, Status, int, list[str]]] = [
    (_freeze, Status.AWAITING_VERIFICATION, Status.PROCESSING, SMALL, ["freeze"]),
    (_prepare, Status.PROCESSING, Status.PROCESSING, SMALL, ["freeze"]),
    (_settle, Status.PROCESSING, Status.PAID, SMALL, ["freeze", "settle"]),
    (_refuse, Status.PROCESSING, Status.FAILED, SMALL, ["freeze", "unfreeze"]),
    (_return, Status.PAID, Status.RETURNED, SMALL, ["freeze", "settle", "return"]),
    (_cancel, Status.AWAITING_APPROVAL, Status.CANCELLED, LARGE, ["freeze", "unfreeze"]),
    (_reject, Status.AWAITING_APPROVAL, Status.REJECTED, LARGE, ["freeze", "unfreeze"]),
    (_resolve, Status.UNDER_REVIEW, Status.PAID, SMALL, ["freeze", "settle"]),
]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("move", "start", "end", "amount", "moved"), _MOVES, ids=[move.__name__.strip("_") for move, *_ in _MOVES]
)
def test_a_move_cut_at_commit_is_made_once(
    cut: Cut, move: Move, start: Status, end: Status, amount: int, moved: list[str], moment: str
) -> None:
    """Cut before PostgreSQL hears of it, or before its answer does: the caller is told to ask again, and does."""
    withdrawal_id = cut.stories.bring_to(start, amount=amount)
    if move is _freeze:
        cut.stories.verify(withdrawal_id)
    if move in (_settle, _refuse):
        cut.stories.ledger.transfers.prepare(withdrawal_id, now=cut.stories.now)
    before = cut.ledger.everything()
    cut.wire.arm(moment)
    with pytest.raises(TemporarilyUnavailable):
        move(cut, withdrawal_id)
    assert (cut.ledger.everything() == before) is (moment == "before")
    for _ in range(2):
        move(cut, withdrawal_id)
    assert cut.ledger.moves.standing(withdrawal_id).status is end
    assert _moves_of(cut, withdrawal_id) == moved


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_application_cut_at_commit_is_recorded_once(cut: Cut, moment: str) -> None:
    """The same key again: recorded now, or told that the first one is still being answered."""
    account_id = cut.stories.open_account()
    application = cut.stories.application(account_id, SMALL)
    cut.wire.arm(moment)
    with pytest.raises(TemporarilyUnavailable):
        cut.through.applications.apply(application, now=cut.stories.now)
    assert cut.ledger.count("withdrawals") == (moment == "after")
    if moment == "after":
        with pytest.raises(IdempotencyKeyInUse):
            cut.through.applications.apply(application, now=cut.stories.now)
        cut.stories.pass_time(minutes=1)
    cut.through.applications.apply(application, now=cut.stories.now)
    assert cut.ledger.count("withdrawals") == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_top_up_cut_at_commit_is_booked_once(cut: Cut, moment: str) -> None:
    """The same reference again: booked now, or found booked."""
    account_id = cut.stories.open_account(cash=0)
    cut.wire.arm(moment)
    with pytest.raises(TemporarilyUnavailable):
        cut.through.accounts.top_up(account_id, "once", SMALL, now=cut.stories.now)
    booked_now = cut.through.accounts.top_up(account_id, "once", SMALL, now=cut.stories.now)
    assert booked_now is (moment == "before")
    assert cut.ledger.balances(account_id).available == SMALL


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_wrong_code_cut_at_commit_costs_a_try_or_none(cut: Cut, moment: str) -> None:
    """A try nobody heard of may count; it never counts for less than was answered."""
    withdrawal_id = cut.stories.apply(cut.stories.open_account())
    code = cut.stories.send_code(withdrawal_id)
    cut.wire.arm(moment)
    with pytest.raises(TemporarilyUnavailable):
        cut.through.verifications.try_code(withdrawal_id, _another(code), of=None, by="customer-1", now=cut.stories.now)
    tries = cut.stories.event_kinds(withdrawal_id).count("wrong_code")
    assert tries == (moment == "after")
    verified = cut.through.verifications.try_code(withdrawal_id, code, of=None, by="customer-1", now=cut.stories.now)
    assert verified.verified


def _moves_of(cut: Cut, withdrawal_id: UUID) -> list[str]:
    query = text("SELECT kind FROM transactions WHERE withdrawal_id = :id ORDER BY id")
    with cut.ledger.database.transaction() as connection:
        return list(connection.execute(query, {"id": withdrawal_id}).scalars())


def _another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"
