"""The ledger's own stories."""

from __future__ import annotations

from tests.ledger.conftest import empty_database, ledger, stories

__all__ = ["empty_database", "ledger", "stories"]
