"""The secrets of docker-compose.yml, each in a file of its own: `python -m stack.secrets .state/secrets`."""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path
from typing import Final

from stack.postgres import APP_ROLE, DATABASE, OWNER_ROLE
from stack.state import State

SERVER: Final = "postgres:5432"
"""PostgreSQL's name in docker-compose.yml."""


def make_secrets(folder: Path) -> list[str]:
    """Makes what is missing and leaves what is there; returns the names of the new files.

    Containers read the files under users of their own, so the files are readable; the folder lets nobody else in.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    passwords = {role: _kept(folder / f"{role}_password", secrets.token_urlsafe(24)) for role in ("owner", "app")}
    for name in ("postgres_password", "temporal_password", "grafana_password"):
        _kept(folder / name, secrets.token_urlsafe(24))
    for name in ("bank_webhook_secrets", "events_secrets"):
        # The mark at its front keeps it out of production: see production.py.
        _kept(folder / name, f"whsec_{base64.b64encode(b'sandbox:' + secrets.token_bytes(32)).decode()}")
    _kept(folder / "database_url", _url(APP_ROLE, passwords["app"]))
    _kept(folder / "migration_database_url", _url(OWNER_ROLE, passwords["owner"]))
    with State.locked(folder / "made") as state:
        _kept(folder / "keys.json", state.key_file().read_text())
        _kept(folder / "payload-keys.json", state.payload_key_file().read_text())
        _kept(folder / "audit-signing-key.pem", state.audit_signing_key().read_text())
        _kept(folder / "console-secret", state.console_secret().read_text())
        _kept(folder / "audit-public-key.pem", state.audit_public_key.read_text())
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def _kept(file: Path, made: str) -> str:
    """What the file says, or what was made for it now."""
    if not file.exists():
        file.write_text(made, "ascii")
        file.chmod(0o444)
    return file.read_text("ascii")


def _url(role: str, password: str) -> str:
    return f"postgresql+psycopg://{role}:{password}@{SERVER}/{DATABASE}"


def main() -> None:
    """Tells what is there."""
    folder = Path(sys.argv[1])
    print(f"{folder}: {', '.join(make_secrets(folder))}")


if __name__ == "__main__":
    main()
