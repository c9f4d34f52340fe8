"""What happened to the field keys: an audit record of its own, since a key's history explains who could read what."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DBAPIError

from domain.errors import TemporarilyUnavailable
from ledger.audit_tables import key_events
from ledger.database import Database
from ledger.encryption import KeyRing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyEvents:
    """``made_current``, ``taken_up`` (by a process), ``rewritten`` (values moved to it), ``retired``; no key itself."""

    database: Database

    def record(self, kind: str, key_id: str, *, by: str, now: datetime, data: Mapping[str, Any] | None = None) -> None:
        """Writes one event down; ``by`` is a process or an operator's command."""
        with self.database.transaction() as connection:
            row = {"kind": kind, "key_id": key_id, "actor": by, "data": dict(data or {}), "at": now}
            connection.execute(key_events.insert(), row)

    def taken_up(self, ring: KeyRing, *, by: str, now: datetime) -> None:
        """A process that starts says which keys it holds; a database that is away does not keep it from starting."""
        try:
            held = {"can_open": sorted(ring.field_keys)}
            self.record("taken_up", ring.current_field_key, by=by, now=now, data=held)
        except (TemporarilyUnavailable, DBAPIError):
            log.warning("which keys %s holds could not be recorded", by)
