"""What pgbench is told is what a move was seen to send, about another withdrawal each time."""

from __future__ import annotations

from typing import Any

import pytest

from bench.moves import CONNECTIONS, MOVES_A_MEASURE, MOVES_A_MEASURE_SHORT, TO_WARM_UP, Script
from bench.withdrawals import Batch

SEEN: list[tuple[str, dict[str, Any]]] = [
    (
        "UPDATE withdrawals SET status=%(status)s::text WHERE id = %(id)s::uuid AND latest = %(on)s",
        {"status": "paid", "id": Batch(800, 8, hot=False, frozen=True).id_of(808), "on": None},
    ),
    (
        "INSERT INTO transactions (operation_key, account_id) VALUES (%(key)s::text, %(account)s::text)",
        {"key": f"{Batch(800, 8, hot=False, frozen=True).id_of(808)}:settle", "account": "acct_808"},
    ),
]


@pytest.mark.parametrize("moves", [MOVES_A_MEASURE, MOVES_A_MEASURE_SHORT, TO_WARM_UP])
def test_each_connection_has_as_many_moves(moves: int) -> None:
    """pgbench is given turns for each of its clients, and does whole ones."""
    assert moves % CONNECTIONS == 0


def test_ids_and_keys_follow_the_number_and_everything_else_stays() -> None:
    """The withdrawal that was seen is the one after the batch: none of the batch is moved by being looked at."""
    script = Script.of(SEEN, Batch(800, 8, hot=False, frozen=True))
    key, account = "(lpad(:number::text, 32, '0')::uuid::text || :c4)", "(('acct_' || :number::text))"
    assert script.text.splitlines() == [
        "\\set turn :turn + 1",
        "\\set number :first + :client_id + :turn * :clients",
        "BEGIN;",
        "UPDATE withdrawals SET status=(:c3)::text WHERE id = (lpad(:number::text, 32, '0'))::uuid AND latest = NULL;",
        f"INSERT INTO transactions (operation_key, account_id) VALUES ({key}::text, {account}::text);",
        "COMMIT;",
    ]
    assert (script.constants["c3"], script.constants["c4"], script.constants["first"]) == ("paid", ":settle", "800")


def test_a_hot_account_stays_the_same() -> None:
    """Only the withdrawals differ there, and their months."""
    batch = Batch(800, 8, hot=True, frozen=False)
    seen = [("SELECT %(account)s::text", {"account": batch.account_of(801)})]
    script = Script.of(seen, batch)
    assert script.constants["c3"] == "acct_hot_800"
    assert len({batch.month_of(number) for number in range(800, 808)}) == 8
