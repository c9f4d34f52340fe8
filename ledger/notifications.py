"""Which of the bank's notifications have prompted already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from ledger.database import Database
from ledger.tables import seen_notifications

KEPT = timedelta(days=7)
"""Far longer than a signature lives (five minutes) and than the bank tries again."""
FORGOTTEN_AT_ONCE = 10
"""With each new one: more go than come, and no call waits for a great clean-up."""

_BY_DIGEST = select(seen_notifications.c.seen_at).where(seen_notifications.c.id_digest == bindparam("digest"))
_SEEN = insert(seen_notifications).on_conflict_do_nothing()
_FORGET = delete(seen_notifications).where(
    seen_notifications.c.id_digest.in_(
        select(seen_notifications.c.id_digest)
        .where(seen_notifications.c.seen_at < bindparam("before"))
        .order_by(seen_notifications.c.seen_at)
        .limit(FORGOTTEN_AT_ONCE)
        # Two calls that clean up at once take different rows, and never wait for each other.
        .with_for_update(skip_locked=True)
    )
)


@dataclass(frozen=True)
class SeenNotifications:
    """Event ids, as digests: whatever the bank calls an event, a row has one size."""

    database: Database

    def is_seen(self, event_id: str) -> bool:
        """Whether the event has prompted before."""
        with self.database.statement() as connection:
            return connection.execute(_BY_DIGEST, {"digest": _digest(event_id)}).first() is not None

    def mark_seen(self, event_id: str, *, now: datetime) -> None:
        """Remembers, for a week, that the event has prompted; once is enough, and twice does no harm."""
        with self.database.transaction() as connection:
            connection.execute(_SEEN, {"id_digest": _digest(event_id), "seen_at": now})
            connection.execute(_FORGET, {"before": now - KEPT})


def _digest(event_id: str) -> bytes:
    return hashlib.sha256(event_id.encode()).digest()
