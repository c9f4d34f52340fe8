"""Sandbox: the only reader of its environment (prefix SANDBOX_)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    PydanticBaseSettingsSource as Source,
)


class Settings(BaseSettings):
    """What is fixed for the life of the process; what a test may turn while it runs is in `switches`."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Source, env_settings: Source, *_: Source, **__: Source
    ) -> tuple[Source, ...]:
        """A variable, or else a file of its name in lower case, such as sandbox_webhook_secret, in a mounted folder."""
        folder = Path(os.environ.get("SANDBOX_SECRETS_DIR", "/run/secrets"))
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder.is_dir() else ()
        return (init_settings, env_settings, *files)

    book: Path
    signing_key: Path
    notify_url: str = ""
    webhook_secret: SecretStr = SecretStr("")
    issuer: str = "http://127.0.0.1:8002"
    audience: str = "withdrawals"
    tick_s: float = Field(default=0.1, gt=0, description="seconds between two looks at what is due")

    @model_validator(mode="after")
    def _notifications_are_signed(self) -> Self:
        if self.notify_url and not self.webhook_secret.get_secret_value():
            raise ValueError("SANDBOX_NOTIFY_URL needs SANDBOX_WEBHOOK_SECRET: nothing goes out unsigned")
        return self
