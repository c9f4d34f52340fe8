"""Looks over the moment-invariants each second, in one snapshot, while everything breaks."""

from __future__ import annotations

import threading
from typing import Self

from chaos.journal import Journal
from domain.errors import TemporarilyUnavailable
from ledger.database import Database
from ledger.invariants import violations

EVERY_SECONDS = 1.0


class Watch:
    """A thread of its own with a connection of its own."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self.snapshots = 0
        self.skipped = 0
        self.broken: dict[str, list[str]] = {}
        """The rows by invariant, each row once."""
        self._database = database
        self._journal = journal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def look(self) -> bool:
        """One snapshot; False if PostgreSQL was away."""
        try:
            found = violations(self._database)
        except TemporarilyUnavailable:
            self.skipped += 1
            return False
        self.snapshots += 1
        for violation in found:
            rows = self.broken.setdefault(violation.invariant, [])
            for row in (str(dict(row)) for row in violation.rows):
                if row not in rows:
                    rows.append(row)
                    self._journal.note("violation", invariant=violation.invariant, row=row)
        return True

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.look()
