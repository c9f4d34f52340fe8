"""The app as a process starts it: from its settings, and whether or not anything else is there."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import pytest
from asgi_lifespan import LifespanManager

from api.app import create_app
from tests import databases
from tests.api.conftest import WEBHOOK_SECRETS

KEY = base64.b64encode(bytes(32)).decode()


async def test_the_app_starts_and_says_what_is_missing(
    database: databases.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Temporal and without the issuer: alive, not ready, and callers are to come again."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"field_keys": {"k1": KEY}, "current_field_key": "k1", "code_key": KEY}))
    for name, value in {
        "WITHDRAWALS_MODE": "sandbox",
        "WITHDRAWALS_DATABASE_URL": database.app_url,
        "WITHDRAWALS_KEY_FILE": str(keys),
        "WITHDRAWALS_BANK_URL": "http://127.0.0.1:9",
        "WITHDRAWALS_SMS_URL": "http://127.0.0.1:9",
        "WITHDRAWALS_BANK_WEBHOOK_SECRETS": ",".join(WEBHOOK_SECRETS),
        "WITHDRAWALS_JWT_ISSUER": "http://127.0.0.1:9",
        "WITHDRAWALS_JWT_AUDIENCE": "withdrawals",
        "WITHDRAWALS_JWKS_URL": "http://127.0.0.1:9/.well-known/jwks.json",
        "WITHDRAWALS_ENGINE_TIMEOUT_S": "1",
        "TEMPORAL_ADDRESS": "127.0.0.1:9",
        "TEMPORAL_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    app = create_app()
    async with (
        LifespanManager(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http,
    ):
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"] == {"database": "ok", "engine": "away", "workers": "away"}
        signed = {"Authorization": "Bearer eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.e30.AAAA"}
        unknown = await http.get("/v1/withdrawals", headers=signed)
        assert (unknown.status_code, unknown.json()["code"]) == (503, "temporarily_unavailable")
        assert (await http.get("/metrics")).status_code == 200
