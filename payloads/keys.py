"""The keys for payloads, from a file that may change while the process runs.

``python -m payloads.keys FILE`` adds a key and makes it the current one.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FRESH_S = 60.0
"""A new current key is used by every process within this time, in seconds, and at once where it is met in a payload."""
PAUSE_S = 1.0
"""Between two looks at the file for an unknown key: whoever makes ids up must not keep us reading."""

log = structlog.get_logger()


class KeyMissing(Exception):
    """A payload names a key that the file does not have, now. It may come back: nothing is concluded from it."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no payload key {key_id!r}")
        self.key_id = key_id


@dataclass(frozen=True)
class _Ring:
    ciphers: Mapping[str, AESGCM]
    current: str


class PayloadKeys:
    """``{"payload_keys": {name: base64 of 32 bytes}, "current_payload_key": name}``, read again when it has to be.

    A key's id is its name and a digest of the key: another key under an old name is a missing key and pauses what
    needs it, whereas a wrong key would make every payload look forged.
    """

    def __init__(self, file: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises OSError or ValueError for a file that cannot be read: a process does not start without keys."""
        self._file = file
        self._clock = clock
        self._ring = _parse(file.read_text())
        self._read_at = clock()

    def current(self) -> tuple[str, AESGCM]:
        """The id of the key for new payloads, and its cipher."""
        if self._clock() - self._read_at > FRESH_S:
            self._read()
        return self._ring.current, self._ring.ciphers[self._ring.current]

    def cipher(self, key_id: str) -> AESGCM:
        """The cipher of a key, as the file has it; ``KeyMissing`` where it does not."""
        since = self._clock() - self._read_at
        if since > FRESH_S or (key_id not in self._ring.ciphers and since >= PAUSE_S):
            self._read()
        try:
            return self._ring.ciphers[key_id]
        except KeyError:
            raise KeyMissing(key_id) from None

    def _read(self) -> None:
        self._read_at = self._clock()
        try:
            self._ring = _parse(self._file.read_text())
        except (OSError, ValueError) as unreadable:
            # What was read before stays good: a file that is away for a moment stops nobody.
            log.error("payload_keys_not_read", error=type(unreadable).__name__)  # noqa: TRY400 - no variables drawn


def rotate(file: Path) -> str:
    """Adds a key to the file and makes it current, the others stay readable; returns its name. Makes a missing file."""
    content: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"payload_keys": {}}
    number = len(content["payload_keys"]) + 1
    while f"k{number}" in content["payload_keys"]:
        number += 1
    name = f"k{number}"
    content["payload_keys"][name] = base64.b64encode(secrets.token_bytes(32)).decode()
    content["current_payload_key"] = name
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as written:
        json.dump(content, written, indent=2)
        written.flush()
        os.fsync(written.fileno())
    if file.exists() and os.geteuid() == 0:
        owner = file.stat()
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.rename(file)
    return name


def _parse(text: str) -> _Ring:
    content = json.loads(text)
    try:
        keys = {name: base64.b64decode(key, validate=True) for name, key in content["payload_keys"].items()}
        current = _key_id(content["current_payload_key"], keys[content["current_payload_key"]])
    except (KeyError, TypeError, AttributeError) as missing:
        raise ValueError("the payload key file lacks what it must have") from missing
    if any(len(key) != 32 for key in keys.values()):
        raise ValueError("every payload key is 32 bytes")
    return _Ring({_key_id(name, key): AESGCM(key) for name, key in keys.items()}, current)


def _key_id(name: str, key: bytes) -> str:
    digest = sha256(b"payload key\x1f" + key).hexdigest()
    return f"{name}.{digest[:16]}"


if __name__ == "__main__":
    sys.stdout.write(f"the current payload key is now {rotate(Path(sys.argv[1]))}\n")
