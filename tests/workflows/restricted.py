"""Temporal's sandbox, for the tests: the workflows' own modules are loaded inside it, anew for each run."""

from __future__ import annotations

from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = ("activities", "bank", "domain", "ledger", "payloads", "sms")
"""What the workflows need for its names and types, and the weight behind it. Not ``workflows``: that is restricted."""


def restricted_runner() -> SandboxedWorkflowRunner:
    """A clock, chance, a file or a thread in a workflow raises here (decision 53)."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(
        *PASSED_THROUGH, "aiohttp", "opentelemetry", "psycopg", "pydantic", "sqlalchemy", "uuid_utils"
    )
    return SandboxedWorkflowRunner(restrictions=restrictions)
