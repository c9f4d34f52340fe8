"""The console's settings, and its only reader of the environment (prefix ``CONSOLE_``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """A missing or malformed setting stops the process with its name."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_", frozen=True)

    api_url: str
    secret_file: Path
    """32 bytes or more, the owner's alone: it seals sessions and signs forms. Shared by all processes of a console."""
    sandbox_url: str = ""
    """The sandbox's address, as the console reaches it; empty in production, where nothing of the sandbox is left."""
    temporal_ui_url: str = ""
    """The Temporal UI, as a browser reaches it; the sandbox corner links to the run."""
    top_up_url: str = ""
    """In production, the vendor's page for topping up; without one the console has no such entry."""
    log_out_url: str = ""
    """In production, where the vendor's log-in ends a session."""
    secure_cookies: bool = True
    """False only where the console is served without TLS, as on the developer's own machine."""
    session_idle_s: int = Field(default=1800, gt=0)
    """A session nobody uses for this long is over, in seconds."""
    session_lasts_s: int = Field(default=8 * 3600, gt=0)
    """And any session after this long, in seconds."""
    api_timeout_s: float = Field(default=15.0, gt=0)
