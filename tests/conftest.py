"""The real parts every test may use: PostgreSQL and Temporal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.client import Client

from payloads.encryption import data_converter
from payloads.keys import PayloadKeys, rotate
from stack.postgres import Postgres
from stack.temporal import Temporal
from tests.databases import Database, copied_database, migrate


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One server for the whole run; what it holds need not survive it."""
    with Postgres.running(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> Postgres:
    """The server with its own database migrated, and left alone from then on: it is the template."""
    migrate(postgres)
    return postgres


@pytest.fixture
def database(migrated_postgres: Postgres) -> Iterator[Database]:
    """A fresh migrated database with the calendar filled."""
    with copied_database(migrated_postgres) as database:
        yield database


@pytest.fixture(scope="session")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Temporal]:
    """One dev server for the whole run, in memory."""
    log: Path = tmp_path_factory.mktemp("temporal") / "server.log"
    with Temporal.running(log=log) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="session")
def temporal_address(temporal: Temporal) -> str:
    """host:port of the dev server, as TEMPORAL_ADDRESS takes it."""
    return temporal.address


@pytest.fixture(scope="session")
def payload_key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of what travels through Temporal in this run of the tests."""
    file = tmp_path_factory.mktemp("keys") / "payload-keys.json"
    rotate(file)
    return file


@pytest.fixture(scope="session")
async def temporal_client(temporal_address: str, payload_key_file: Path) -> Client:
    """A client as the worker and the API have it: payloads are encrypted."""
    converter = data_converter(PayloadKeys(payload_key_file), "default")
    return await Client.connect(temporal_address, data_converter=converter)
