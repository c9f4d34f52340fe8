"""What keeps a process of production from starting, the API and the worker alike."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from production import Unsafe, require_safe, require_safe_codec
from settings import CodecSettings, Settings
from stack.local import room_environment
from stack.ports import Ports
from stack.postgres import APP_ROLE, OWNER_ROLE, SUPERUSER, Logins
from stack.state import State
from tests.databases import ROOT

OVER_TLS = {"target_host": "a.tmprl.cloud:7233", "tls": True}


def whsec(key: bytes) -> str:
    """A secret as Standard Webhooks writes them."""
    return f"whsec_{base64.b64encode(key).decode()}"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Keys that nobody made for a sandbox."""
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"field_keys": {}, "current_field_key": "k1", "code_key": ""}))
    return file


@pytest.fixture
def safe(key_file: Path) -> dict[str, Any]:
    """Settings as production has them."""
    return {
        "payload_key_file": key_file.with_name("payload-keys.json"),
        "audit_anchor_file": key_file.with_name("anchors.jsonl"),
        "database_url": SecretStr("postgresql+psycopg://app:a@db.example.net/withdrawals?sslmode=verify-full"),
        "key_file": key_file,
        "bank_url": "https://bank.example.com",
        "sms_url": "https://sms.example.com",
        "bank_webhook_secrets": [whsec(secrets.token_bytes(32)), whsec(secrets.token_bytes(24))],
        "jwt_issuer": "https://login.example.com",
        "jwt_audience": "withdrawals",
        "jwks_url": "https://login.example.com/jwks.json",
    }


def violations(settings: dict[str, Any], temporal: dict[str, Any] | None = None) -> list[str]:
    """What is found, as the names of settings."""
    try:
        require_safe(Settings(**settings), OVER_TLS if temporal is None else temporal)
    except Unsafe as unsafe:
        return [line.strip().split(":")[0] for line in str(unsafe).splitlines()[1:]]
    return []


def test_production_is_the_default_and_starts_where_all_is_safe(safe: dict[str, Any]) -> None:
    """Nobody has to remember to turn safety on."""
    assert Settings(**safe).mode == "production"
    assert violations(safe) == []


def test_the_doors_of_a_sandbox_are_closed_by_default(safe: dict[str, Any]) -> None:
    """Decisions by signal and the API's own description."""
    settings = Settings(**safe)
    assert (settings.decide_by_signal, settings.serve_openapi, settings.test_cards) == (False, False, frozenset())


def test_a_mode_that_does_not_exist_is_refused(safe: dict[str, Any]) -> None:
    """A misspelt sandbox is no production, and a misspelt production no sandbox."""
    with pytest.raises(ValidationError):
        Settings(**safe | {"mode": "prod"})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("bank_webhook_secrets", []),
        ("bank_webhook_secrets", [whsec(b"for-trying-out-only-not-a-secret")]),
        ("bank_webhook_secrets", [whsec(secrets.token_bytes(32)), whsec(b"sandbox:" + secrets.token_bytes(32))]),
        ("bank_webhook_secrets", [whsec(secrets.token_bytes(23))]),
        ("bank_webhook_secrets", [whsec(b"\0" * 32)]),
        ("bank_webhook_secrets", ["secret"]),
        ("database_url", SecretStr("postgresql+psycopg://app:a@db.example.net/withdrawals")),
        ("database_url", SecretStr("postgresql+psycopg://app:a@db.example.net/withdrawals?sslmode=require")),
        (
            "database_url",
            SecretStr("postgresql+psycopg://app:app-for-trying-out@db.example.net/withdrawals?sslmode=verify-full"),
        ),
        ("bank_url", "http://bank.example.com"),
        ("sms_url", "http://sms.example.com"),
        ("jwks_url", "http://login.example.com/jwks.json"),
        ("jwks_url", "https://localhost:8002/jwks.json"),
        ("jwt_issuer", "http://127.0.0.1:8002"),
        ("jwt_issuer", "https://[::1]:8002"),
        ("jwt_issuer", "https://bank.example.com"),
        ("test_cards", frozenset({"6230580000000000018"})),
        ("serve_openapi", True),
        ("failpoints", Path("/run/failpoints")),
        ("key_file", Path("/nowhere/keys.json")),
        ("events_secrets", [whsec(b"sandbox:" + secrets.token_bytes(32))]),
    ],
)
def test_each_guard_stops_the_start(safe: dict[str, Any], setting: str, value: object) -> None:
    """And names the setting; the same settings start a sandbox."""
    unsafe = safe | {setting: value}
    assert violations(unsafe) == [f"WITHDRAWALS_{setting.upper()}"]
    assert violations(unsafe | {"mode": "sandbox"}) == []


def test_messages_to_the_console_go_over_tls(safe: dict[str, Any]) -> None:
    """They name accounts and amounts."""
    told = {**safe, "events_secrets": [whsec(secrets.token_bytes(32))]}
    assert violations({**told, "events_url": "https://console.example.com/events"}) == []
    assert violations({**told, "events_url": "http://console.example.com/events"}) == ["WITHDRAWALS_EVENTS_URL"]


def test_temporal_without_tls_stops_the_start(safe: dict[str, Any]) -> None:
    """An address alone is plain text."""
    assert violations(safe, {"target_host": "temporal.example.net:7233"}) == ["TEMPORAL_TLS"]


def test_keys_made_for_a_sandbox_stop_the_start(safe: dict[str, Any], key_file: Path) -> None:
    """Those of a developer's machine are on a developer's machine."""
    key_file.write_text(json.dumps({"made_for": "sandbox"}))
    assert violations(safe) == ["WITHDRAWALS_KEY_FILE"]


def test_what_is_meant_can_be_said(safe: dict[str, Any]) -> None:
    """Each allowance covers its own guard, and none of the others."""
    plain = safe | {
        "database_url": SecretStr("postgresql+psycopg://app:a@db/withdrawals"),
        "bank_url": "http://bank",
        "sms_url": "http://sms",
        "jwks_url": "http://login/jwks.json",
    }
    by_allowance = {
        "allow_plain_database": {"WITHDRAWALS_DATABASE_URL"},
        "allow_plain_temporal": {"TEMPORAL_TLS"},
        "allow_plain_http": {"WITHDRAWALS_BANK_URL", "WITHDRAWALS_SMS_URL", "WITHDRAWALS_JWKS_URL"},
    }
    everything = set().union(*by_allowance.values())
    assert set(violations(plain, {})) == everything
    for allowance, covered in by_allowance.items():
        assert set(violations(plain | {allowance: True}, {})) == everything - covered
    assert violations(plain | dict.fromkeys(by_allowance, True), {}) == []


@pytest.mark.parametrize("command", [["worker.py"], ["-m", "api", "--port", "9"]])
def test_neither_process_starts_as_the_sandbox_stack_would(tmp_path: Path, command: list[str]) -> None:
    """With the local stack's own environment, and only the mode left out: every violation at once, and exit code 1."""
    with State.locked(tmp_path / "state") as state:
        logins = Logins(9, dict.fromkeys((SUPERUSER, OWNER_ROLE, APP_ROLE), "password"))
        environment = room_environment(state, Ports.with_offset(0), logins)
    del environment["WITHDRAWALS_MODE"]
    started = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 1
    assert "Traceback" not in started.stderr
    for name in (
        *("BANK_WEBHOOK_SECRETS", "KEY_FILE", "DATABASE_URL", "BANK_URL", "SMS_URL", "JWKS_URL", "JWT_ISSUER"),
        *("TEST_CARDS", "SERVE_OPENAPI"),
    ):
        assert f"WITHDRAWALS_{name}: " in started.stderr
    assert "TEMPORAL_TLS: " in started.stderr
    assert "password" not in started.stderr.replace("the password is", "")


@pytest.mark.parametrize("missing", ["payload_key_file", "audit_anchor_file"])
def test_production_does_without_nothing_that_protects(safe: dict[str, Any], missing: str) -> None:
    """Payloads in clear and an audit chain whose end can be cut off are for trying out."""
    assert violations(safe | {missing: None}) == [f"WITHDRAWALS_{missing.upper()}"]


def test_keys_in_the_environment_are_looked_at_too(safe: dict[str, Any]) -> None:
    """Those of the local stack say what they were made for, wherever they are kept."""
    kept = {"key_file": None, "keys": SecretStr('{"made_for": "sandbox"}')}
    assert violations(safe | kept) == ["WITHDRAWALS_KEYS"]
    assert violations(safe | {"key_file": None}) == ["WITHDRAWALS_KEYS"]


def test_a_codec_server_of_production_asks_everyone_for_a_token(tmp_path: Path) -> None:
    """And believes no issuer on its own machine."""
    settings: dict[str, Any] = {
        "payload_key_file": tmp_path / "payload-keys.json",
        "jwt_issuer": "https://login.example.com",
        "jwt_audience": "withdrawals",
        "jwks_url": "https://login.example.com/jwks.json",
    }
    require_safe_codec(CodecSettings(**settings))
    for unsafe in ({"codec_origin_without_token": "http://127.0.0.1:8233"}, {"jwks_url": "http://localhost/jwks"}):
        with pytest.raises(Unsafe):
            require_safe_codec(CodecSettings(**(settings | unsafe)))
        require_safe_codec(CodecSettings(**(settings | unsafe | {"mode": "sandbox"})))
