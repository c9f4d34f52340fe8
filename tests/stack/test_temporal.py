from __future__ import annotations

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client


async def test_the_dev_server_answers_a_client(temporal_client: Client) -> None:
    """A client connected to the started server gets the server's own version."""
    info = await temporal_client.workflow_service.get_system_info(GetSystemInfoRequest())
    assert info.server_version.startswith("1.")
