"""Personal data at rest: AES-256-GCM with the key's id in the value, bound to the row it belongs to.

The associated data is ``table.column:row``, so that a value copied into another row or column does not open.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Undecipherable(Exception):
    """The value was written with a key that is not in the ring, for another row, or was tampered with."""


class UnknownKey(Undecipherable):
    """The value's key is not in the ring: it was never there, was retired, or has only just been made."""


class Keys(Protocol):
    """What the ledger does with keys, whether the ring stays the same (``KeyRing``) or is rotated (``KeptKeys``)."""

    def encrypt(self, value: str, *, column: str, row: str) -> bytes:
        """Seals a value for one row of one column (``table.column``)."""

    def decrypt(self, value: bytes, *, column: str, row: str) -> str:
        """Opens what ``encrypt`` sealed for the same column and row; ``Undecipherable`` otherwise."""

    def code_mac(self, code: str, *, bound_to: str) -> bytes:
        """The MAC under which a phone code is stored, bound to its withdrawal, amount and card."""

    def body_mac(self, body_digest: bytes) -> bytes:
        """The MAC under which a request body is remembered."""

    def lookup_mac(self, value: str, *, purpose: str) -> bytes:
        """The MAC by which equal values are found; it says nothing outside its ``purpose``."""


@dataclass(frozen=True)
class KeyRing:
    """``field_keys`` are 32-byte AES keys by id; new values use ``current_field_key``; ``code_key`` is for MACs."""

    field_keys: Mapping[str, bytes] = field(repr=False)
    current_field_key: str
    code_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.current_field_key not in self.field_keys:
            raise ValueError(f"the current field key {self.current_field_key!r} is not in the ring")
        if any(len(key) != 32 for key in (*self.field_keys.values(), self.code_key)):
            raise ValueError("every key is 32 bytes")
        if any(not 0 < len(key_id.encode()) < 256 for key_id in self.field_keys):
            raise ValueError("a key id is 1 to 255 bytes")

    def encrypt(self, value: str, *, column: str, row: str) -> bytes:
        """``len(key id) ‖ key id ‖ nonce ‖ ciphertext and tag``; ``column`` is ``table.column``."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.field_keys[self.current_field_key]).encrypt(nonce, value.encode(), _bound(column, row))
        return key_prefix(self.current_field_key) + nonce + sealed

    def decrypt(self, value: bytes, *, column: str, row: str) -> str:
        """Opens what ``encrypt`` wrote for the same column and row; ``Undecipherable`` otherwise."""
        key_id = value[1 : 1 + value[0]].decode(errors="replace") if value else ""
        rest = value[1 + value[0] :] if value else b""
        key = self.field_keys.get(key_id)
        if key is None:
            raise UnknownKey(f"no key {key_id!r} for {column}")
        try:
            return AESGCM(key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _bound(column, row)).decode()
        except (InvalidTag, ValueError) as wrong:
            raise Undecipherable(f"{column} does not open with key {key_id!r}") from wrong

    def code_mac(self, code: str, *, bound_to: str) -> bytes:
        """The MAC under which a phone code is stored, bound to its withdrawal, amount and card."""
        return hmac.digest(self.code_key, f"{bound_to}\x1f{code}".encode(), sha256)

    def body_mac(self, body_digest: bytes) -> bytes:
        """The MAC under which a request body is remembered: a bare digest of a card number can be guessed back."""
        return hmac.digest(self.code_key, b"request body\x1f" + body_digest, sha256)

    def lookup_mac(self, value: str, *, purpose: str) -> bytes:
        """Under a key of its own for each purpose, derived from ``code_key``: MACs of two purposes never match."""
        key = hmac.digest(self.code_key, f"key for\x1f{purpose}".encode(), sha256)
        return hmac.digest(key, value.encode(), sha256)


def key_prefix(key_id: str) -> bytes:
    """What every value begins with that was sealed with this key."""
    return bytes([len(key_id.encode())]) + key_id.encode()


def _bound(column: str, row: str) -> bytes:
    return f"{column}:{row}".encode()
