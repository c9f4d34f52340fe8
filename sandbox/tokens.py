"""Sandbox: the token issuer. It gives anyone any token they ask for: never run it where that matters."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import BaseModel, ConfigDict, Field

from sandbox.book import Clock

LIFETIME_S = 3600
ALGORITHM = "ES256"


class TokenRequest(BaseModel):
    """Who the caller wants to be. `scope` is a space-separated list (RFC 6749, section 3.3)."""

    model_config = ConfigDict(extra="forbid")

    sub: Annotated[str, Field(min_length=1, max_length=128)]
    scope: Annotated[str, Field(max_length=256)]
    account_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class IssuedToken(BaseModel):
    """RFC 6749, section 5.1; `expires_in` in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the kind of token, not a token
    expires_in: int = LIFETIME_S


class TokenIssuer:
    """Signs JWTs with the key at `key_file`, which is made at first start and then stays."""

    def __init__(self, key_file: Path, issuer: str, audience: str, clock: Clock) -> None:
        self._key = _load_or_create_key(key_file)
        self._issuer = issuer
        self._audience = audience
        self._clock = clock

    def issue(self, request: TokenRequest) -> IssuedToken:
        """A token valid from now on for an hour."""
        now = int(self._clock())
        claims: dict[str, str | int] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": request.sub,
            "scope": request.scope,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_S,
            "jti": uuid.uuid4().hex,
        }
        if request.account_id is not None:
            claims["account_id"] = request.account_id
        header = {"alg": ALGORITHM, "kid": self._key.thumbprint()}
        return IssuedToken(access_token=jwt.encode(header, claims, self._key, algorithms=[ALGORITHM]))

    def public_keys(self) -> dict[str, list[dict[str, Any]]]:
        """The JWKS (RFC 7517) that verifies every token issued here."""
        kid = self._key.thumbprint()
        return {"keys": [dict(self._key.as_dict(private=False, kid=kid, use="sig", alg=ALGORITHM))]}


def _load_or_create_key(key_file: Path) -> ECKey:
    if not key_file.exists():
        key_file.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp gives mode 0600; the link appears whole or not at all, and of two first starts one wins.
        handle, draft = tempfile.mkstemp(dir=key_file.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(ECKey.generate_key("P-256").as_pem(private=True))
        try:
            os.link(draft, key_file)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return ECKey.import_key(key_file.read_text())


def token_routes(issuer: TokenIssuer) -> APIRouter:
    """`/_sandbox/token` and the JWKS."""
    routes = APIRouter(tags=["tokens"])

    @routes.post("/_sandbox/token")
    def issue_token(request: TokenRequest) -> IssuedToken:
        return issuer.issue(request)

    @routes.get("/.well-known/jwks.json")
    def show_public_keys() -> dict[str, list[dict[str, Any]]]:
        return issuer.public_keys()

    return routes
