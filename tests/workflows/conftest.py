"""The house on a real Temporal server, at the clock's own pace or with the weeks skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from stack.temporal import binary, dynamic_config_arguments
from tests.databases import Database
from tests.workflows.house import House, open_house
from workflows.registration import register

SKIPPING = (
    "frontend.WorkflowTimeSkippingEnabled=true",
    # Without these two, every skipped timer costs a pause of the wall clock.
    'history.timerProcessorMaxTimeShift="1ms"',
    "history.timerProcessorMaxPollRPS=2000",
)


@pytest.fixture
async def house(temporal_client: Client, database: Database) -> AsyncIterator[House]:
    """The house without time skipping."""
    async with open_house(temporal_client, database.app_url) as house:
        yield house


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The real server with a clock per workflow that tests can move."""
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(binary()),
        dev_server_extra_args=[
            *dynamic_config_arguments(),
            *(argument for value in SKIPPING for argument in ("--dynamic-config-value", value)),
        ],
        data_converter=pydantic_data_converter,
    )
    async with environment:
        await register(environment.client)
        yield environment


@pytest.fixture
async def long_house(skipping: WorkflowEnvironment, database: Database) -> AsyncIterator[House]:
    """The house in which weeks can be skipped."""
    async with open_house(skipping.client, database.app_url) as house:
        yield house
