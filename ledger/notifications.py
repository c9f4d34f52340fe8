"""Which of the bank's notifications have prompted already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from domain.withdrawal import Status
from ledger.database import Database
from ledger.prepared import Prepared

KEPT = timedelta(days=7)
"""Far longer than a signature lives (five minutes) and than the bank tries again."""
FORGOTTEN_AT_ONCE = 10
"""With each new one: more go than come, and no call waits for a great clean-up."""

_STATUS_IF_NEW = Prepared("""
    SELECT status FROM withdrawals
    WHERE id = %(withdrawal_id)s::uuid
      AND NOT EXISTS (SELECT FROM seen_notifications WHERE id_digest = %(digest)s::bytea)""")
# Two calls that clean up at once take different rows, and never wait for each other.
_SEEN = Prepared(f"""
    WITH forgotten AS (
        DELETE FROM seen_notifications WHERE id_digest IN (
            SELECT id_digest FROM seen_notifications WHERE seen_at < %(before)s::timestamptz
            ORDER BY seen_at LIMIT {FORGOTTEN_AT_ONCE} FOR UPDATE SKIP LOCKED)
    )
    INSERT INTO seen_notifications (id_digest, seen_at) VALUES (%(digest)s::bytea, %(now)s::timestamptz)
    ON CONFLICT DO NOTHING""")  # noqa: S608 - a number of ours # nosec B608


@dataclass(frozen=True)
class SeenNotifications:
    """Event ids, as digests: whatever the bank calls an event, a row has one size."""

    database: Database

    def status_if_new(self, event_id: str, withdrawal_id: UUID) -> Status | None:
        """The status of the withdrawal that the event is about; None if it has prompted before, or is of no one's."""
        with self.database.statement() as connection:
            row = _STATUS_IF_NEW.first(connection, withdrawal_id=withdrawal_id, digest=_digest(event_id))
        return None if row is None else Status(row["status"])

    def mark_seen(self, event_id: str, *, now: datetime) -> None:
        """Remembers, for a week, that the event has prompted; once is enough, and twice does no harm."""
        with self.database.statement() as connection:
            _SEEN.run(connection, digest=_digest(event_id), now=now, before=now - KEPT)


def _digest(event_id: str) -> bytes:
    return hashlib.sha256(event_id.encode()).digest()
