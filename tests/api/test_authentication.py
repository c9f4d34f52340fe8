"""Tokens: what is believed, and where the issuer's keys come from."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, KeySet, RSAKey

from api.issuer_keys import FETCH_S, FRESH_S, LARGEST_DOCUMENT, PAUSE_S, STALE_S, FetchedKeys
from domain.errors import TemporarilyUnavailable
from tests.api.clock import START
from tests.api.console import Console, refused
from tests.api.issuer import TestIssuer

NOW = int(START.timestamp())


def base64url(content: bytes) -> str:
    """As tokens and keys write bytes (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def signed(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A token whose header is taken as it is: a library would not write most of these."""
    signing_input = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    assert key.private_key is not None
    der = key.private_key.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))
    signature = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))
    return f"{signing_input}.{base64url(signature)}"


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


async def test_a_token_cannot_bring_its_own_key_or_rules(console: Console, issuer: TestIssuer) -> None:
    """A key in the header, or where to fetch one, is not looked at; what it calls critical is not agreed to."""
    stranger = ECKey.generate_key("P-256", {"kid": "test-key"})
    public = stranger.as_dict(private=False)
    with_keys: list[dict[str, Any]] = [
        {"jwk": public},
        {"jku": "https://elsewhere.test/jwks.json"},
        {"x5u": "https://elsewhere.test/chain.pem"},
        {"x5c": ["AAAA"]},
        {"kid": "../../dev/null"},
        {"kid": None},
    ]
    for more in with_keys:
        header = {"alg": "ES256", "kid": "test-key"} | more
        answer = await ask(console, f"Bearer {signed(stranger, header, issuer.claims())}")
        refused(answer, 401, "unauthenticated")
    with_rules: list[dict[str, Any]] = [
        {"crit": ["exp"], "exp": NOW + 3600},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"b64": False},
        {"typ": "logout+jwt"},
        {"typ": 5},
    ]
    for more in with_rules:
        header = {"alg": "ES256", "kid": "test-key"} | more
        answer = await ask(console, f"Bearer {signed(issuer.key, header, issuer.claims())}")
        refused(answer, 401, "unauthenticated")
    for kind in ("JWT", "at+jwt", "application/at+JWT"):
        header = {"alg": "ES256", "kid": "test-key", "typ": kind}
        assert (await ask(console, f"Bearer {signed(issuer.key, header, issuer.claims())}")).status_code == 200


async def test_a_token_longer_than_any_of_ours_is_not_read(console: Console, issuer: TestIssuer) -> None:
    """8 KiB, signature and all, however good it is."""
    assert (await ask(console, f"Bearer {issuer.token(filling='x' * 5000)}")).status_code == 200
    refused(await ask(console, f"Bearer {issuer.token(filling='x' * 9000)}"), 401, "unauthenticated")


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
        self.hangs = False
        self.now = 0.0

    def fetched(self, fetch_s: float = FETCH_S) -> FetchedKeys:
        """A key source that asks this server."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return FetchedKeys(client, "https://issuer.test/jwks.json", lambda: self.now, fetch_s)

    async def _answer(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
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


GOOD_KEYS = json.dumps({"keys": [ECKey.generate_key("P-256", {"kid": "first"}).as_dict(private=False)]}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"Location": "https://elsewhere.test/jwks.json"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"keys": [{"kty": "oct", "k": "AAAA", "kid": "first"}]}),
        httpx.Response(200, content=GOOD_KEYS + b" " * LARGEST_DOCUMENT),
        httpx.Response(200, content=b"[" * 60_000),
    ],
)
async def test_keys_stay_good_for_an_hour_while_the_issuer_is_away(answer: httpx.Response) -> None:
    """Its outage is not ours; but whoever keeps us from it does not keep a withdrawn key good for ever."""
    assert STALE_S == 3600
    server = JwksServer()
    source = server.fetched()
    await source.key_set("first")
    server.answer = answer
    server.now += FRESH_S + 1
    assert key_ids(await source.key_set("first")) == ["first"]
    assert server.asked == 2
    server.now = STALE_S
    assert key_ids(await source.key_set("first")) == ["first"]
    server.now = STALE_S + 1
    with pytest.raises(TemporarilyUnavailable):
        await source.key_set("first")


async def test_nobody_waits_for_an_issuer_that_hangs() -> None:
    """The first look that fails is waited for; after it the known keys are used, and looked for behind."""
    server = JwksServer()
    source = server.fetched(fetch_s=0.05)
    await source.key_set("first")
    server.hangs = True
    server.now += FRESH_S + 1
    assert key_ids(await source.key_set("first")) == ["first"]
    server.now += PAUSE_S
    async with asyncio.timeout(0.04):
        for _ in range(100):
            assert key_ids(await source.key_set("first")) == ["first"]
    await asyncio.sleep(0.1)
    server.hangs = False
    server.now += PAUSE_S
    await source.key_set("first")
    await asyncio.sleep(0.05)
    asked = server.asked
    assert key_ids(await source.key_set("first")) == ["first"]
    assert server.asked == asked == 4


async def test_a_storm_of_unknown_keys_while_the_issuer_is_away_is_no_flood_there() -> None:
    """A hundred at once, for a minute: one look every two seconds."""
    server = JwksServer()
    source = server.fetched()
    await source.key_set("first")
    server.answer = httpx.Response(503)
    for _ in range(60):
        await asyncio.gather(*(source.key_set(f"made-up-{number}") for number in range(100)))
        server.now += 1
    assert server.asked <= 1 + 60 / PAUSE_S


async def test_only_keys_that_may_sign_for_us_are_taken() -> None:
    """Whatever else the issuer publishes is left alone, and takes the good ones not along."""
    good, private, short = (RSAKey.generate_key(2048, {"kid": kid}) for kid in ("rsa", "private", "short"))
    published: list[object] = [
        "nonsense",
        {"kty": "oct", "k": base64url(b"k" * 32), "kid": "mac"},
        {"kty": "post-quantum", "kid": "new"},
        ECKey.generate_key("P-384", {"kid": "other-curve"}).as_dict(private=False),
        ECKey.generate_key("P-256", {"kid": "encryption", "use": "enc"}).as_dict(private=False),
        good.as_dict(private=False, alg="PS512", kid="other-alg"),
        short.as_dict(private=False) | {"n": base64url(b"\xff" * 128)},
        {"kty": "EC", "crv": "P-256", "x": "!", "y": "!", "kid": "broken"},
        private.as_dict(private=True),
        good.as_dict(private=False),
        ECKey.generate_key("P-256", {"kid": "ec", "use": "sig", "alg": "ES256"}).as_dict(private=False),
    ]
    server = JwksServer()
    server.answer = httpx.Response(200, json={"keys": published})
    keys = await server.fetched().key_set("rsa")
    assert key_ids(keys) == ["private", "rsa", "ec"]
    assert not any(key.is_private for key in keys)


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
