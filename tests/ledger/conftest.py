"""An empty ledger for each test, and the proof after each that everything still holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from ledger.database import Database
from ledger.invariants import violations
from ledger.tables import metadata, working_calendar
from stack.postgres import Postgres
from tests import databases
from tests.hypothesis_profiles import load_profile
from tests.ledger.stories import Ledger, Stories

load_profile()


@pytest.fixture(scope="session")
def empty_database(migrated_postgres: Postgres) -> Iterator[Callable[[], Database]]:
    """Empties one database and gives it out: some twenty times faster than a copy for each test."""
    tables = [table.name for table in metadata.sorted_tables if table is not working_calendar]
    deletions = "; ".join(f"DELETE FROM {name}" for name in reversed(tables))
    with (
        databases.copied_database(migrated_postgres) as copy,
        closing(Database.connect(copy.app_url, pool_size=20)) as connected,
        migrated_postgres.connect(copy.name) as superuser,
    ):
        # Nobody else gets past the triggers that keep the book append-only.
        superuser.execute("SET session_replication_role = replica")

        def emptied() -> Database:
            superuser.execute(deletions)
            return connected

        yield emptied


@pytest.fixture
def ledger(empty_database: Callable[[], Database]) -> Iterator[Ledger]:
    """As the application reaches it; after the test every invariant holds, whatever the test did."""
    ledger = Ledger.on(empty_database())
    yield ledger
    assert violations(ledger.database) == []


@pytest.fixture
def stories(ledger: Ledger) -> Stories:
    """What can happen to withdrawals, told on the test's ledger."""
    return Stories(ledger)


@pytest.fixture
def own_ledger(database: databases.Database) -> Iterator[Ledger]:
    """On a database that nobody else uses: for tests that break it, or change its calendar."""
    with closing(Database.connect(database.app_url)) as connected:
        yield Ledger.on(connected)


@pytest.fixture
def hand(migrated_postgres: Postgres, database: databases.Database) -> Iterator[psycopg.Connection[Any]]:
    """A superuser whom no trigger and no foreign key stops."""
    with migrated_postgres.connect(database.name) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection
