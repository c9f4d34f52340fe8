"""How long a kill hurt: until the first success that began after it and needed what was killed."""

from __future__ import annotations

from chaos.healing import API, POSTGRES, SANDBOX, WORKER, Kills, percentile
from chaos.journal import Operation, Outcome


def operation(kind: str, begun: float, ended: float, outcome: Outcome = Outcome.OK, status: int = 200) -> Operation:
    """One call of acct_1."""
    return Operation(kind, "acct_1", begun, ended, outcome, status, {}, {})


def test_what_began_before_the_kill_or_failed_proves_nothing() -> None:
    """Nor does what came from the rows prove a worker."""
    kills = Kills([(API, 10.0), (WORKER, 10.0), (SANDBOX, 10.0), (POSTGRES, 50.0)])
    operations = [
        operation("read", 9.5, 11.0),
        operation("read", 10.5, 12.0, Outcome.UNKNOWN),
        operation("read", 11.0, 15.0),
        operation("read", 12.0, 13.0),
        operation("apply", 14.0, 19.0, status=202),
        operation("apply", 20.0, 21.0, status=201),
    ]
    assert kills.times_to_heal(operations) == {
        "API": [3.0],
        "worker": [11.0],
        "sandbox": [],
        "PostgreSQL": [],
        "Temporal": [],
    }


def test_percentiles_are_by_nearest_rank() -> None:
    """Of nothing it is nothing; the highest is the largest."""
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 1.0) == 3.0
