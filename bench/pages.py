"""How many of PostgreSQL's pages one connection touches: a cost that no other load on the machine changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sqlalchemy import text

from ledger.database import Database

_TOUCHED = text("SELECT sum(hits + reads)::bigint FROM pg_stat_get_backend_io(pg_backend_pid())")
_FLUSH = text("SELECT pg_stat_force_next_flush()")


@dataclass(frozen=True)
class Pages:
    """Counts for a database with one connection in its pool, which all of the work to be counted goes through."""

    database: Database
    own: int

    @classmethod
    def of(cls, database: Database) -> Self:
        """Ready to count, without the pages that counting itself touches."""
        counter = cls(database, 0)
        counter.touched()
        before = counter.touched()
        return cls(database, counter.touched() - before)

    def touched(self) -> int:
        """All pages since the connection was opened, from memory or not."""
        # What a transaction has touched is told when it has ended.
        with self.database.transaction() as connection:
            connection.execute(_FLUSH)
        with self.database.transaction() as connection:
            return int(connection.execute(_TOUCHED).scalar_one())

    def since(self, before: int) -> int:
        """Pages touched since then, by others than this counter."""
        return max(0, self.touched() - before - self.own)
