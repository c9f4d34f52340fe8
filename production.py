"""What must be so where money is real: a process that finds otherwise does not start."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import make_url

from settings import CodecSettings, Settings

FOR_TRYING_OUT = ("for-trying-out", "sandbox:")
"""How the passwords of docker-compose.yml and the secrets the local stack makes can be told."""
SHORTEST_SECRET_BYTES = 24


class Unsafe(Exception):
    """Every reason at once, each with the name of the setting."""

    def __init__(self, violations: list[str]) -> None:
        lines = "\n".join(f"  {violation}" for violation in violations)
        super().__init__(f"Not started: in production mode this is not safe.\n{lines}")
        self.violations = violations


def require_safe(settings: Settings, temporal: Mapping[str, Any]) -> None:
    """Raises ``Unsafe`` where the mode is production and anything is left of a sandbox, or readable on the way.

    ``temporal`` is how Temporal is connected to, as ``temporalio.envconfig`` loads it.
    """
    if settings.mode == "sandbox":
        return
    violations = [
        *_of_secrets(settings),
        *_of_connections(settings, temporal),
        *_of_urls(settings),
        *_of_the_sandbox(settings),
    ]
    if violations:
        raise Unsafe(violations)


def require_safe_codec(settings: CodecSettings) -> None:
    """The same for the codec server: whoever may use it reads what travels through Temporal, and speaks to runs."""
    if settings.mode == "sandbox":
        return
    violations = []
    if settings.codec_origin_without_token is not None:
        violations.append("WITHDRAWALS_CODEC_ORIGIN_WITHOUT_TOKEN: pages that need no token are for a sandbox")
    if _is_this_machine(urlsplit(settings.jwt_issuer).hostname) or _is_this_machine(
        urlsplit(settings.jwks_url).hostname
    ):
        violations.append("WITHDRAWALS_JWT_ISSUER, WITHDRAWALS_JWKS_URL: are the sandbox, which gives anyone any token")
    if violations:
        raise Unsafe(violations)


def _of_secrets(settings: Settings) -> Iterator[str]:
    if not settings.bank_webhook_secrets:
        yield "WITHDRAWALS_BANK_WEBHOOK_SECRETS: there is none, so that every notification would be refused"
    for number, secret in enumerate(settings.bank_webhook_secrets, start=1):
        reason = _weakness(secret)
        if reason:
            yield f"WITHDRAWALS_BANK_WEBHOOK_SECRETS: number {number} {reason}"
    for number, secret in enumerate(settings.events_secrets, start=1):
        reason = _weakness(secret)
        if reason:
            yield f"WITHDRAWALS_EVENTS_SECRETS: number {number} {reason}"
    if "for-trying-out" in (make_url(settings.database_url.get_secret_value()).password or ""):
        yield "WITHDRAWALS_DATABASE_URL: the password is the known one of docker-compose.yml"
    yield from _of_keys(settings)


def _of_keys(settings: Settings) -> Iterator[str]:
    name = "WITHDRAWALS_KEYS" if settings.key_file is None else "WITHDRAWALS_KEY_FILE"
    try:
        kept = settings.keys.get_secret_value() if settings.keys else ""
        made_for = json.loads(kept if settings.key_file is None else settings.key_file.read_text()).get("made_for")
    except (OSError, ValueError, AttributeError) as error:
        yield f"{name}: cannot be read ({type(error).__name__})"
    else:
        if made_for == "sandbox":
            yield f"{name}: these keys were made by the local stack for its sandbox"
    if settings.payload_key_file is None:
        yield "WITHDRAWALS_PAYLOAD_KEY_FILE: is missing, so that what travels through Temporal would travel in clear"
    if settings.audit_anchor_file is None:
        yield "WITHDRAWALS_AUDIT_ANCHOR_FILE: is missing, so that a deleted end of the audit chain would go unnoticed"


def _weakness(secret: str) -> str | None:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    except (binascii.Error, ValueError):
        return "is no secret as Standard Webhooks writes them"
    if any(known.encode() in key for known in FOR_TRYING_OUT):
        return "is one of a sandbox"
    if len(key) < SHORTEST_SECRET_BYTES or len(set(key)) < SHORTEST_SECRET_BYTES // 2:
        return f"is shorter than {SHORTEST_SECRET_BYTES} random bytes"
    return None


def _of_connections(settings: Settings, temporal: Mapping[str, Any]) -> Iterator[str]:
    sslmode = make_url(settings.database_url.get_secret_value()).query.get("sslmode")
    if sslmode != "verify-full" and not settings.allow_plain_database:
        yield (
            "WITHDRAWALS_DATABASE_URL: without sslmode=verify-full anyone on the way may be PostgreSQL; "
            "WITHDRAWALS_ALLOW_PLAIN_DATABASE=true says that this is meant"
        )
    if not temporal.get("tls") and not settings.allow_plain_temporal:
        yield (
            "TEMPORAL_TLS: Temporal is reached without TLS (TEMPORAL_API_KEY or TEMPORAL_TLS_* turn it on); "
            "WITHDRAWALS_ALLOW_PLAIN_TEMPORAL=true says that this is meant"
        )


def _of_urls(settings: Settings) -> Iterator[str]:
    for name in ("bank_url", "sms_url", "jwks_url", "events_url"):
        url = getattr(settings, name)
        if url is not None and urlsplit(url).scheme != "https" and not settings.allow_plain_http:
            yield (
                f"WITHDRAWALS_{name.upper()}: is not https; WITHDRAWALS_ALLOW_PLAIN_HTTP=true says that this is meant"
            )


def _of_the_sandbox(settings: Settings) -> Iterator[str]:
    issuer, bank = urlsplit(settings.jwt_issuer), urlsplit(settings.bank_url)
    if _is_this_machine(issuer.hostname) or (issuer.hostname, issuer.port) == (bank.hostname, bank.port):
        yield "WITHDRAWALS_JWT_ISSUER: is the sandbox, which gives anyone any token"
    elif _is_this_machine(urlsplit(settings.jwks_url).hostname):
        yield "WITHDRAWALS_JWKS_URL: is on this machine, as the sandbox is, which gives anyone any token"
    if settings.test_cards:
        yield "WITHDRAWALS_TEST_CARDS: made-up cards are for a sandbox"
    if settings.failpoints is not None:
        yield "WITHDRAWALS_FAILPOINTS: failpoints are for the fault programme, which breaks things on purpose"
    if settings.serve_openapi:
        yield "WITHDRAWALS_SERVE_OPENAPI: /openapi.json would be open to everyone"


def _is_this_machine(host: str | None) -> bool:
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
