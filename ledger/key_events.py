"""What happened to the field keys: an audit record of its own, since a key's history explains who could read what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.audit_tables import key_events
from ledger.database import Database


@dataclass(frozen=True)
class KeyEvents:
    """``made_current``, ``taken_up`` (by a process), ``rewritten`` (values moved to it) and ``retired``; no key itself."""

    database: Database

    def record(self, kind: str, key_id: str, *, by: str, now: datetime, data: Mapping[str, Any] | None = None) -> None:
        """Writes one event down; ``by`` is a process or an operator's command."""
        with self.database.transaction() as connection:
            row = {"kind": kind, "key_id": key_id, "actor": by, "data": dict(data or {}), "at": now}
            connection.execute(key_events.insert(), row)
