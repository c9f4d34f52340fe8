"""The settings of API and worker, and the only reader of the environment (prefix ``WITHDRAWALS_``).

The connection to Temporal is configured by Temporal's own variables and TOML profiles (``temporalio.envconfig``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
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
from domain.verification import CodeLimits
from ledger.audit_anchor import AnchorFile
from ledger.kept_keys import KeptKeys, KeyRingFile, KeyRingInEnvironment
from payloads.keys import PayloadKeys

SECRETS = "WITHDRAWALS_SECRETS_DIR"


class _FromEnvironmentOrFiles(BaseSettings):
    """A variable, or else a file of its name in lower case where secrets are mounted."""

    # An empty variable is one that is not set: Compose and Kubernetes can't leave one out.
    model_config = SettingsConfigDict(env_prefix="WITHDRAWALS_", env_ignore_empty=True, hide_input_in_errors=True)

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


class RotationSettings(_FromEnvironmentOrFiles):
    """What rewrites the field keys is told."""

    database_url: SecretStr
    key_file: Path | None = None
    """Without one the ring is in ``WITHDRAWALS_KEYS``, which no command can change."""


class AuditSettings(_FromEnvironmentOrFiles):
    """What reads the audit chain again is told: an auditor needs no key that signs or opens anything."""

    database_url: SecretStr
    audit_anchor_file: Path
    audit_public_key_file: Path
    """The public half of the key that signs (PEM); those before it too, if it was ever replaced."""


def what_is_missing(incomplete: ValidationError) -> str:
    """A line for each setting that is missing or wrong, with the name of its variable and never its value."""
    return "\n".join(
        f"setting {'.'.join(map(str, error['loc']))} (WITHDRAWALS_{'_'.join(map(str, error['loc'])).upper()}):"
        f" {'is missing' if error['type'] == 'missing' else error['msg']}"
        for error in incomplete.errors()
    )


class Settings(_FromEnvironmentOrFiles):
    """Every setting with its default; a missing or malformed one stops the process with its name."""

    mode: Literal["production", "sandbox"] = "production"
    """What ``production.py`` finds unsafe keeps a process of production from starting; the local stack is a sandbox."""
    database_url: SecretStr
    key_file: Path | None = None
    """The key ring; a file can be rotated while processes run. See ``ledger.kept_keys`` for its form."""
    keys: SecretStr | None = None
    """The same JSON as a variable, for where there is no file; a rotation then needs a restart."""
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
    decide_by_signal: bool = False
    """Whether finance may decide through Temporal's own door, where whoever reaches Temporal can say who they are."""
    sweep_every_s: float = 60.0
    """How often the sweep looks for what a notification missed or a lost run left behind, in seconds."""
    test_cards: Annotated[frozenset[str], NoDecode] = frozenset()
    """Comma separated made-up cards of a sandbox, whose check digit is not looked at. None in production."""
    database_pool_size: int = 16
    events_url: str | None = None
    """Where the console's backend hears of every change of status. Without it nothing is told."""
    events_secrets: Annotated[list[str], NoDecode] = Field(default_factory=list, repr=False)
    """Comma separated Standard Webhooks secrets; each signs, so that the receiver changes from one to the next."""
    audit_anchor_file: Path | None = None
    """Where the head of the audit chain is signed and kept outside PostgreSQL; append-only storage is best."""
    audit_signing_key_file: Path | None = None
    """The Ed25519 key that signs it (PEM)."""
    card_days: int = Field(default=180, ge=1)
    """How long name, card number and phone of a withdrawal are kept after it was over (docs/retention.md)."""
    wrong_tries_a_day: int = Field(default=15, ge=1)
    """For each account, in a Shanghai day."""
    codes_a_day: int = Field(default=5, ge=1)
    """For each phone, in a Shanghai day, whichever withdrawals they are for."""
    codes_an_hour: int = Field(default=10_000, ge=1)
    """For everybody together: the SMS budget."""
    payload_key_file: Path | None = None
    """The keys of what travels through Temporal. Without them it travels in clear."""
    worker_metrics_address: str | None = None
    """``host:port`` where the worker serves Temporal's metrics and ours; without one it serves none."""
    serve_openapi: bool = False
    """Whether the API serves its own description at /openapi.json."""
    allow_plain_database: bool = False
    allow_plain_temporal: bool = False
    allow_plain_http: bool = False
    """Production without TLS where somebody else sees to it, a mesh or one machine: said aloud, each by itself."""
    calls_per_second: Annotated[float, Field(gt=0)] = 200
    calls_burst: Annotated[int, Field(ge=1)] = 2_000
    """How often one person (``sub``) may call, in each process of the API."""
    billing_calls_per_second: Annotated[float, Field(gt=0)] = 2_000
    billing_calls_burst: Annotated[int, Field(ge=1)] = 20_000
    """The billing system is one caller, and speaks for every customer."""
    refused_per_second: Annotated[float, Field(gt=0)] = 50
    refused_burst: Annotated[int, Field(ge=1)] = 1_000
    """How often one address is told that it could not be authenticated, before it is told to wait."""
    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    otlp_traces_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    """OpenTelemetry's own variables, which its exporter reads too: no traces are made without one of these."""
    build_id: str | None = None
    """The release, for Temporal's worker deployments (decision 41); workers are unversioned without one."""
    failpoints: Path | None = None
    """A folder of armed failpoints; for the fault programme alone (see ``failpoints.py``)."""

    @field_validator("bank_webhook_secrets", "events_secrets", "test_cards", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value

    @property
    def traced(self) -> bool:
        """Whether traces are to be made."""
        return bool(self.otlp_endpoint or self.otlp_traces_endpoint)

    @model_validator(mode="after")
    def _events_are_signed(self) -> Self:
        if self.events_url is not None and not self.events_secrets:
            raise ValueError("WITHDRAWALS_EVENTS_URL needs WITHDRAWALS_EVENTS_SECRETS: nothing goes out unsigned")
        return self

    def key_ring(self) -> KeptKeys:
        """The key ring from ``key_file`` or else ``keys``; ``ValueError`` without either."""
        if self.key_file is not None:
            return KeptKeys(KeyRingFile(self.key_file))
        if self.keys is None:
            raise ValueError("WITHDRAWALS_KEY_FILE or WITHDRAWALS_KEYS is needed")
        return KeptKeys(KeyRingInEnvironment(self.keys.get_secret_value()))

    def code_limits(self) -> CodeLimits:
        """How many codes and wrong tries there are beyond one withdrawal."""
        return CodeLimits(self.wrong_tries_a_day, self.codes_a_day, self.codes_an_hour)

    def audit_anchor(self) -> AnchorFile | None:
        """The anchor of the audit chain; None where no file is named."""
        if self.audit_anchor_file is None:
            return None
        if self.audit_signing_key_file is None:
            raise ValueError("WITHDRAWALS_AUDIT_ANCHOR_FILE needs WITHDRAWALS_AUDIT_SIGNING_KEY_FILE")
        return AnchorFile.open(self.audit_anchor_file, self.audit_signing_key_file)

    def payload_keys(self) -> PayloadKeys | None:
        """The keys of ``payload_key_file``, None where payloads are not encrypted."""
        return None if self.payload_key_file is None else PayloadKeys(self.payload_key_file)

    def rules(self) -> EligibilityRules:
        """The eligibility rules with the configured reserve."""
        return EligibilityRules(reserve=parse_yuan(self.reserve))

    def approval_policy(self) -> ApprovalPolicy:
        """The approval limits."""
        return ApprovalPolicy(parse_yuan(self.approval_from), parse_yuan(self.two_approvals_from))


class CodecSettings(_FromEnvironmentOrFiles):
    """What the codec server is told, and no more: it needs neither the database nor the bank."""

    mode: Literal["production", "sandbox"] = "production"
    payload_key_file: Path
    jwt_issuer: str
    jwt_audience: str
    jwks_url: str
    codec_origins: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Comma separated: the origins whose pages a browser may let read the answers: those of Temporal's UI."""
    codec_origin_without_token: str | None = None
    """For a sandbox on one machine: pages of this origin need no token, as the dev server's UI has none to send."""

    @field_validator("codec_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part for part in value.split(",") if part] if isinstance(value, str) else value
