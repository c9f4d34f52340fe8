"""The token issuer: its tokens verify against its published keys, and its key stays."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey, KeySet

from sandbox.tokens import TokenIssuer
from tests.sandbox.conftest import OpenSandbox

FINANCE = {"sub": "finance-1", "scope": "finance"}


async def issue(sandbox: httpx.AsyncClient, **request: str) -> str:
    """An access token."""
    answer = await sandbox.post("/_sandbox/token", json=request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    assert answer.json()["expires_in"] == 3600
    token: str = answer.json()["access_token"]
    return token


async def published_keys(sandbox: httpx.AsyncClient) -> KeySet:
    """What a verifier fetches."""
    return KeySet.import_key_set((await sandbox.get("/.well-known/jwks.json")).json())


async def test_a_token_verifies_against_the_published_keys(sandbox: httpx.AsyncClient) -> None:
    """Issuer, audience, subject, scope and account are as asked for, and it is valid for an hour from now."""
    token = await issue(sandbox, sub="customer-1", scope="withdrawals", account_id="acct_1001")
    decoded = jwt.decode(token, await published_keys(sandbox), algorithms=["ES256"])
    claims: dict[str, Any] = decoded.claims
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": "http://sandbox.test"},
        aud={"essential": True, "value": "withdrawals"},
        sub={"essential": True, "value": "customer-1"},
        scope={"essential": True, "value": "withdrawals"},
        account_id={"essential": True, "value": "acct_1001"},
        jti={"essential": True},
    ).validate(claims)
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["nbf"] == claims["iat"]
    assert abs(claims["iat"] - time.time()) < 5


async def test_a_token_of_another_key_does_not_verify(sandbox: httpx.AsyncClient) -> None:
    """A signature made with any other key is refused by the published ones."""
    keys = await published_keys(sandbox)
    kid = keys.keys[0].kid
    assert kid is not None
    forged = jwt.encode({"alg": "ES256", "kid": kid}, FINANCE, ECKey.generate_key("P-256"), algorithms=["ES256"])
    with pytest.raises(BadSignatureError):
        jwt.decode(forged, keys, algorithms=["ES256"])


async def test_a_token_without_an_account_names_none(sandbox: httpx.AsyncClient) -> None:
    """Finance has no account: the claim is left out, not null; and no two tokens share an id."""
    keys = await published_keys(sandbox)
    first, second = [jwt.decode(await issue(sandbox, **FINANCE), keys, algorithms=["ES256"]).claims for _ in range(2)]
    assert "account_id" not in first
    assert first["jti"] != second["jti"]


async def test_the_published_keys_are_public(sandbox: httpx.AsyncClient) -> None:
    """The JWKS says what the key is for and holds no private part."""
    (key,) = (await sandbox.get("/.well-known/jwks.json")).json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (key["use"], key["alg"]) == ("sig", "ES256")


async def test_the_signing_key_stays(open_sandbox: OpenSandbox) -> None:
    """A token from before a restart verifies against the keys published after it."""
    async with open_sandbox() as sandbox:
        token = await issue(sandbox, **FINANCE)
    async with open_sandbox() as sandbox:
        claims = jwt.decode(token, await published_keys(sandbox), algorithms=["ES256"]).claims
    assert claims["sub"] == "finance-1"


def test_the_signing_key_is_its_owners_alone(tmp_path: Path) -> None:
    """Made at first start with mode 0600, and nothing is left lying beside it."""
    key_file = tmp_path / "keys" / "signing-key.pem"
    TokenIssuer(key_file, "http://sandbox.test", "withdrawals", time.time)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert list(key_file.parent.iterdir()) == [key_file]


@pytest.mark.parametrize(
    "request_body", [{"scope": "finance"}, {"sub": "", "scope": "finance"}, {**FINANCE, "admin": True}]
)
async def test_a_bad_token_request_is_refused(sandbox: httpx.AsyncClient, request_body: dict[str, Any]) -> None:
    """No subject or a field too many gets 422."""
    assert (await sandbox.post("/_sandbox/token", json=request_body)).status_code == 422
