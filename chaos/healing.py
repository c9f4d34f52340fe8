"""How long it takes, after a process was killed, until something that needs it succeeds again."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from chaos.journal import Operation, Outcome

API, WORKER, SANDBOX, POSTGRES, TEMPORAL = "API", "worker", "sandbox", "PostgreSQL", "Temporal"
PROCESSES: Final = (API, WORKER, SANDBOX, POSTGRES, TEMPORAL)

_THROUGH_THE_ENGINE = frozenset({API, WORKER, POSTGRES, TEMPORAL})
_FROM_THE_ROWS = frozenset({API, POSTGRES})


def needed(operation: Operation) -> frozenset[str]:
    """Which processes a success proves to be well again; what could have come from the rows proves less."""
    match operation.kind, operation.status:
        case "apply", 201:
            return _THROUGH_THE_ENGINE
        case (("cancel" | "decide" | "resend"), _):
            return _THROUGH_THE_ENGINE
        case (("token" | "messages" | "card"), _):
            return frozenset({SANDBOX})
        case _:
            return _FROM_THE_ROWS


@dataclass
class Kills:
    """When each process was killed, in seconds of `time.monotonic`."""

    at: list[tuple[str, float]] = field(default_factory=list)

    def by_process(self) -> Counter[str]:
        """How often each was killed."""
        return Counter(name for name, _ in self.at)

    def times_to_heal(self, operations: list[Operation]) -> dict[str, list[float]]:
        """For each process the seconds from each kill to the next success that began after it."""
        proofs: dict[str, list[tuple[float, float]]] = {name: [] for name in PROCESSES}
        for one in operations:
            if one.outcome is Outcome.OK:
                for name in needed(one):
                    proofs[name].append((one.invoked_at, one.ended_at))
        healed: dict[str, list[float]] = {name: [] for name in PROCESSES}
        for name, times in proofs.items():
            times.sort()
            begun = [begin for begin, _ in times]
            # The earliest end of all that began at or after each place.
            earliest = list(itertools.accumulate((end for _, end in reversed(times)), min))[::-1]
            for killed, killed_at in self.at:
                place = bisect.bisect_right(begun, killed_at)
                if killed == name and place < len(begun):
                    healed[name].append(earliest[place] - killed_at)
        return healed


def percentile(seconds: list[float], share: float) -> float:
    """The nearest rank; 0 for none."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
