"""Every operation of a run as JSON lines: `invoke` before it is made, then `ok`, `fail` or `unknown`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Outcome(StrEnum):
    """How an operation ended. `fail` is a definite no; `unknown` may have been done, or may yet be."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that has ended. Times are seconds of `time.monotonic`."""

    kind: str
    account_id: str
    invoked_at: float
    ended_at: float
    outcome: Outcome
    status: int
    facts: Json = field(repr=False)
    """What was asked for: amount, reference, key, withdrawal_id, where the kind has them."""
    answer: Json = field(repr=False)


class Journal:
    """Written through at once, so that a run that is cut short can still be read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.ended: list[Operation] = []
        self._begun_at = time.monotonic()
        self._numbers = 0
        self._lock = threading.Lock()
        self._lines = file.open("w", encoding="utf-8", buffering=1)

    def invoke(self, kind: str, account_id: str, facts: Json) -> int:
        """The number under which the operation ends."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._write({"n": number, "type": "invoke", "op": kind, "account_id": account_id, **facts})
        return number

    def end(self, number: int, operation: Operation) -> None:
        """How it ended, with the error code or the status the answer named."""
        named = ("id", "code", "status", "withdrawal_status", "attempts_left")
        said = {f"said_{name}": operation.answer[name] for name in named if name in operation.answer}
        line = {"n": number, "type": operation.outcome, "op": operation.kind, "account_id": operation.account_id}
        about = {name: operation.facts[name] for name in ("withdrawal_id",) if name in operation.facts}
        with self._lock:
            self._write(line | about | {"http": operation.status} | said)
            self.ended.append(operation)

    def note(self, what: str, **facts: Any) -> None:
        """A fault, or another thing that was done to the stack."""
        with self._lock:
            self._write({"type": "fault", "op": what, **facts})

    def lines_about(self, account_id: str) -> Iterator[str]:
        """The operations on an account, in the order in which they were made and ended."""
        with self.file.open(encoding="utf-8") as lines:
            for line in lines:
                if json.loads(line).get("account_id") == account_id:
                    yield line.rstrip()

    def close(self) -> None:
        """No line follows."""
        self._lines.close()

    def _write(self, line: Json) -> None:
        stamped = {"t": round(time.monotonic() - self._begun_at, 3), **line}
        self._lines.write(json.dumps(stamped, ensure_ascii=False, default=str) + "\n")
