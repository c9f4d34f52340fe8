"""What the browser keeps for us without being able to read or change it, and forms that only our pages can send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

SHORTEST_SECRET = 32


class Seals:
    """Seals values for cookies and signs forms; each purpose has a key of its own, derived from one secret."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise ValueError("the console's secret is too short")
        self._secret = secret

    def seal(self, purpose: str, value: dict[str, Any]) -> str:
        """``value`` encrypted and signed; opened again only for the same purpose."""
        return self._fernet(purpose).encrypt(json.dumps(value, separators=(",", ":")).encode()).decode()

    def open(self, purpose: str, sealed: str, *, lasts_s: int) -> dict[str, Any] | None:
        """The value, or None for what we did not seal or sealed longer ago than ``lasts_s`` seconds."""
        try:
            value = json.loads(self._fernet(purpose).decrypt(sealed.encode(), ttl=lasts_s))
        except (InvalidToken, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def form_token(self, browser: str, subject: str) -> str:
        """What a form of this browser and this person carries, so that no other site can make it up."""
        return hmac.new(self._key("form"), f"{browser}\n{subject}".encode(), hashlib.sha256).hexdigest()

    def form_is_ours(self, sent: str, browser: str, subject: str) -> bool:
        """True if the form was rendered for this browser and this person."""
        return hmac.compare_digest(sent.encode(), self.form_token(browser, subject).encode())

    def _fernet(self, purpose: str) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self._key(f"seal:{purpose}")))

    def _key(self, purpose: str) -> bytes:
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()
