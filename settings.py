"""The settings of API and worker, and the only reader of the environment (prefix ``WITHDRAWALS_``).

The connection to Temporal is configured by Temporal's own variables and TOML profiles (``temporalio.envconfig``).
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    PydanticBaseSettingsSource as Source,
)

from domain.approval import ApprovalPolicy
from domain.eligibility import EligibilityRules
from domain.money import parse_yuan
from ledger.encryption import KeyRing

SECRETS = "WITHDRAWALS_SECRETS_DIR"


class _FromEnvironmentOrFiles(BaseSettings):
    """A variable, or else a file of its name in lower case where secrets are mounted."""

    # An empty variable is one that is not set: Compose and Kubernetes can't leave one out.
    model_config = SettingsConfigDict(env_prefix="WITHDRAWALS_", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, env_settings: Source, *_: Source, **__: Source
    ) -> tuple[Source, ...]:
        """Files come last; a folder that is not there has none."""
        folder = Path(os.environ.get(SECRETS, "/run/secrets"))
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder.is_dir() else ()
        return (init_settings, env_settings, *files)


class MigrationSettings(_FromEnvironmentOrFiles):
    """What the migrations are told, and nobody else: how to reach the role that owns the schema."""

    migration_database_url: SecretStr


class CalendarSettings(_FromEnvironmentOrFiles):
    """What loads the calendar is told: how to reach the ledger as the application does."""

    database_url: SecretStr


class Settings(_FromEnvironmentOrFiles):
    """Every setting with its default; a missing or malformed one stops the process with its name."""

    database_url: SecretStr
    key_file: Path
    bank_url: str
    sms_url: str
    bank_webhook_secrets: Annotated[list[str], NoDecode] = Field(repr=False)
    """Comma separated; two are active while one is being rotated."""
    jwt_issuer: str
    jwt_audience: str
    jwks_url: str
    task_queue: str = "withdrawals"
    engine_timeout_s: float = 5.0
    """How long a caller waits for Temporal before being told 202 or 503, in seconds."""
    reserve: str = "200.00"
    approval_from: str = "50000.00"
    two_approvals_from: str = "500000.00"
    """Yuan; the limits of product.md."""
    decide_by_signal: bool = True
    """Whether finance may decide through Temporal's own door."""
    sweep_every_s: float = 60.0
    """How often the sweep looks for what a notification missed or a lost run left behind, in seconds."""
    test_cards: Annotated[frozenset[str], NoDecode] = frozenset()
    """Comma separated made-up cards of a sandbox, whose check digit is not looked at. None in production."""
    database_pool_size: int = 16
    events_url: str | None = None
    """Where the console's backend hears of every change of status. Without it nothing is told."""
    events_secrets: Annotated[list[str], NoDecode] = Field(default_factory=list, repr=False)
    """Comma separated Standard Webhooks secrets; each signs, so that the receiver changes from one to the next."""
    failpoints: Path | None = None
    """A folder of armed failpoints; for the fault programme alone (see ``failpoints.py``)."""

    @field_validator("bank_webhook_secrets", "events_secrets", "test_cards", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _events_are_signed(self) -> Self:
        if self.events_url is not None and not self.events_secrets:
            raise ValueError("WITHDRAWALS_EVENTS_URL needs WITHDRAWALS_EVENTS_SECRETS: nothing goes out unsigned")
        return self

    def key_ring(self) -> KeyRing:
        """The keys of ``key_file``: ``{"field_keys": {id: base64}, "current_field_key": id, "code_key": base64}``."""
        content = json.loads(self.key_file.read_text())
        return KeyRing(
            field_keys={key_id: base64.b64decode(key) for key_id, key in content["field_keys"].items()},
            current_field_key=content["current_field_key"],
            code_key=base64.b64decode(content["code_key"]),
        )

    def rules(self) -> EligibilityRules:
        """The eligibility rules with the configured reserve."""
        return EligibilityRules(reserve=parse_yuan(self.reserve))

    def approval_policy(self) -> ApprovalPolicy:
        """The approval limits."""
        return ApprovalPolicy(parse_yuan(self.approval_from), parse_yuan(self.two_approvals_from))
