"""Tokens: what is believed, and where the issuer's keys come from."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, KeySet, RSAKey

from api.issuer_keys import FRESH_S, PAUSE_S, FetchedKeys
from domain.errors import TemporarilyUnavailable
from tests.api.clock import START
from tests.api.console import Console, refused
from tests.api.issuer import TestIssuer

NOW = int(START.timestamp())


def base64url(content: bytes) -> str:
    """As tokens and keys write bytes (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


async def ask(console: Console, authorization: str) -> httpx.Response:
    """A call that a good token may make."""
    return await console.http.get("/v1/accounts/acct_1001", headers={"Authorization": authorization})


async def test_a_good_token_is_believed(console: Console, issuer: TestIssuer) -> None:
    """Also within 30 seconds of clock skew on either side, with several audiences and several scopes."""
    good: list[dict[str, Any]] = [
        {},
        {"exp": NOW - 29},
        {"nbf": NOW + 29, "iat": NOW + 29},
        {"aud": ["other", "withdrawals"]},
        {"scope": "profile withdrawals billing"},
        {"nbf": None, "iat": None},
    ]
    for claims in good:
        assert (await ask(console, f"Bearer {issuer.token(**claims)}")).status_code == 200, claims


async def test_a_token_with_wrong_claims_is_not_believed(console: Console, issuer: TestIssuer) -> None:
    """Expired, early, from or for somebody else, without a subject, of the wrong types: all the same 401."""
    wrong: list[dict[str, Any]] = [
        {"exp": NOW - 31},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": NOW + 31},
        {"iat": NOW + 31},
        {"iss": "https://elsewhere.test"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"sub": "a\nb"},
        {"scope": ["withdrawals"]},
    ]
    for claims in wrong:
        answer = await ask(console, f"Bearer {issuer.token(**claims)}")
        problem = refused(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"', claims
        assert problem["detail"] == "Who calls could not be verified."


async def test_a_token_signed_otherwise_is_not_believed(console: Console, issuer: TestIssuer) -> None:
    """Another key, an unknown key id, no signature, a MAC keyed with the public key, a changed payload."""
    stranger = ECKey.generate_key("P-256", {"kid": "test-key"})
    header, payload, signature = issuer.token().split(".")
    changed = base64url(json.dumps(issuer.claims(sub="fin-1")).encode())
    unsigned = base64url(b'{"alg":"none"}')
    with_mac = base64url(b'{"alg":"HS256","kid":"test-key"}') + "." + payload
    for token in (
        issuer.token(key=stranger),
        issuer.token(header={"alg": "ES256", "kid": "unknown"}),
        f"{with_mac}.{base64url(hmac.digest(issuer.key.as_pem(private=False), with_mac.encode(), 'sha256'))}",
        issuer.token(key=RSAKey.generate_key(2048), header={"alg": "RS256", "kid": "test-key"}),
        f"{unsigned}.{payload}.",
        f"{header}.{changed}.{signature}",
        f"{header}.{payload}.",
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "." * 100,
        base64url(b"[" * 6000) + ".e30.e30",
        "e30." * 5000,
    ):
        answer = await console.http.get(
            "/v1/accounts/acct_1001", headers={b"Authorization": f"Bearer {token}".encode()}
        )
        refused(answer, 401, "unauthenticated")


async def test_another_scheme_is_no_token(console: Console, issuer: TestIssuer) -> None:
    """Only Bearer."""
    for authorization in ("Basic dXNlcjpwYXNz", "Bearer", issuer.token(), f"Token {issuer.token()}"):
        refused(await ask(console, authorization), 401, "unauthenticated")


class JwksServer:
    """Answers with its keys, counts who asks, and can be away or talk nonsense."""

    def __init__(self) -> None:
        self.keys = [ECKey.generate_key("P-256", {"kid": "first"})]
        self.asked = 0
        self.answer: httpx.Response | None = None
        self.now = 0.0

    def fetched(self) -> FetchedKeys:
        """A key source that asks this server."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return FetchedKeys(client, "https://issuer.test/jwks.json", lambda: self.now)

    def _answer(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        return self.answer or httpx.Response(200, json=KeySet(list(self.keys)).as_dict(private=False))


def key_ids(keys: KeySet) -> list[str | None]:
    """Which keys these are."""
    return [key.kid for key in keys]


async def test_keys_are_fetched_once_and_kept_for_five_minutes() -> None:
    """The issuer is not asked for every token."""
    server = JwksServer()
    source = server.fetched()
    for _ in range(3):
        assert key_ids(await source.key_set("first")) == ["first"]
    assert server.asked == 1
    server.now += FRESH_S + 1
    await source.key_set("first")
    assert server.asked == 2


async def test_a_new_key_is_found_at_once_and_unknown_ones_are_no_flood() -> None:
    """An unknown key id makes us look, but at most every few seconds."""
    server = JwksServer()
    source = server.fetched()
    await source.key_set("first")
    server.keys.append(ECKey.generate_key("P-256", {"kid": "second"}))
    server.now += PAUSE_S
    assert key_ids(await source.key_set("second")) == ["first", "second"]
    for _ in range(100):
        await source.key_set("made-up")
    assert server.asked == 2


@pytest.mark.parametrize(
    "answer", [httpx.Response(500), httpx.Response(200, text="<html>"), httpx.Response(200, json=[])]
)
async def test_keys_stay_good_while_the_issuer_is_away(answer: httpx.Response) -> None:
    """Its outage is not ours."""
    server = JwksServer()
    source = server.fetched()
    await source.key_set("first")
    server.answer = answer
    server.now += FRESH_S + 1
    assert key_ids(await source.key_set("first")) == ["first"]
    assert server.asked == 2


async def test_without_any_key_callers_are_to_come_again() -> None:
    """503 and not 401: the token may be good. Once the issuer is back, so are we."""
    server = JwksServer()
    source = server.fetched()
    server.answer = httpx.Response(503)
    for _ in range(3):
        with pytest.raises(TemporarilyUnavailable):
            await source.key_set("first")
    assert server.asked == 1
    server.answer = None
    server.now += PAUSE_S
    assert key_ids(await source.key_set("first")) == ["first"]
