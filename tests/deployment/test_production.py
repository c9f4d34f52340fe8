"""What is deployed as production starts as production: nothing that `production.py` looks for is left in the files."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from temporalio.envconfig import ClientConfig

from production import Unsafe, require_safe
from settings import Settings
from tests.databases import ROOT
from tests.deployment.written import compose, manifest, pod

PREFIX = "WITHDRAWALS_"
OUTSIDE = {
    "WITHDRAWALS_BANK_URL": "https://bank.example.com",
    "WITHDRAWALS_SMS_URL": "https://sms.example.com",
    "WITHDRAWALS_JWT_ISSUER": "https://login.example.com",
    "WITHDRAWALS_JWKS_URL": "https://login.example.com/jwks.json",
    "WITHDRAWALS_EVENTS_URL": "https://console.example.com/events",
    "WITHDRAWALS_MODE": "production",
    "WITHDRAWALS_DECIDE_BY_SIGNAL": "false",
    "WITHDRAWALS_SERVE_OPENAPI": "false",
}


def whsec() -> str:
    """A secret that nobody knows."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


@pytest.fixture
def mounted(tmp_path: Path) -> dict[str, Any]:
    """What the secrets of a production hold."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"field_keys": {}, "current_field_key": "k1", "code_key": ""}))
    return {
        "database_url": "postgresql+psycopg://app:a@db.example.net/withdrawals?sslmode=verify-full",
        "bank_webhook_secrets": whsec(),
        "events_secrets": whsec(),
        "key_file": keys,
    }


def settings(written: dict[str, Any], mounted: dict[str, Any]) -> Settings:
    """As a process reads them."""
    ours = {key.removeprefix(PREFIX).lower(): value for key, value in written.items() if key.startswith(PREFIX)}
    read = {key: value for key, value in ours.items() if key in Settings.model_fields and value != ""}
    return Settings(**{**read, **mounted})


@pytest.fixture
def temporal(tmp_path: Path) -> dict[str, Any]:
    """The profile that the manifests name, of the example."""
    file = tmp_path / "temporal.toml"
    file.write_text((ROOT / "deploy" / "temporal" / "profiles.example.toml").read_text("utf-8"))
    profile = manifest("ConfigMap", "settings")["data"]["TEMPORAL_PROFILE"]
    environment = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": profile}
    return dict(ClientConfig.load_client_connect_config(override_env_vars=environment))


def test_what_kubernetes_starts_is_safe(mounted: dict[str, Any], temporal: dict[str, Any]) -> None:
    """API and worker read the same settings; a guard that is not met would keep both from starting."""
    written = manifest("ConfigMap", "settings")["data"]
    assert settings(written, mounted).mode == "production"
    require_safe(settings(written, mounted), temporal)
    del written["WITHDRAWALS_AUDIT_ANCHOR_FILE"]
    with pytest.raises(Unsafe, match="WITHDRAWALS_AUDIT_ANCHOR_FILE"):
        require_safe(settings(written, mounted), temporal)


@pytest.mark.parametrize("name", ["api", "api-2", "worker"])
def test_the_compose_file_can_be_made_safe_by_its_variables(
    name: str, mounted: dict[str, Any], temporal: dict[str, Any]
) -> None:
    """With the variables of a production in .env nothing of the sandbox is left."""
    written = compose(**OUTSIDE)["services"][name]["environment"]
    require_safe(settings(written, mounted), temporal)
    with pytest.raises(Unsafe):
        require_safe(settings({**written, "WITHDRAWALS_SERVE_OPENAPI": "true"}, mounted), temporal)


def test_only_workers_sign_the_audit_chain_and_only_migrations_own_the_schema() -> None:
    """In Kubernetes as in Compose: whoever does not need a key is not given it."""
    claims = {}
    for kind, name in (("Deployment", "api"), ("Deployment", "worker"), ("Job", "migrate")):
        claims[name] = json.dumps(pod(manifest(kind, name))["volumes"])
    assert [name for name, volumes in claims.items() if "withdrawals-audit" in volumes] == ["worker"]
    assert [name for name, volumes in claims.items() if "withdrawals-migration" in volumes] == ["migrate"]
    services = compose()["services"]
    assert [name for name, one in services.items() if "audit_signing_key" in str(one.get("secrets"))] == ["worker"]
