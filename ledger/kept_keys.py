"""The key ring of a running process: read from where it is kept, and read again when it was rotated there."""

from __future__ import annotations

import base64
import json
import logging
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ledger.encryption import KeyRing, UnknownKey

log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Where a ring is kept. A KMS that unwraps data keys is a third one: it names its ring's version and reads it."""

    def version(self) -> Hashable:
        """Changes whenever the ring may have changed; cheap enough to be asked before each use."""

    def read(self) -> KeyRing:
        """The ring as it is kept now; ``ValueError`` for what is none, ``OSError`` where it can't be reached."""


@dataclass(frozen=True)
class KeyRingFile:
    """``{"field_keys": {id: base64}, "current_field_key": id, "code_key": base64}``, replaced whole when it changes."""

    path: Path

    def version(self) -> Hashable:
        """A file that was replaced is another file, written at another time."""
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> KeyRing:
        """The ring in the file."""
        return read_ring(self.path.read_text())


@dataclass(frozen=True)
class KeyRingInEnvironment:
    """The same JSON as a variable of the process; it can't change while the process runs."""

    content: str = field(repr=False)

    def version(self) -> Hashable:
        """Always the same."""
        return 0

    def read(self) -> KeyRing:
        """The ring in the variable."""
        return read_ring(self.content)


def read_ring(content: str) -> KeyRing:
    """Reads the JSON form of a ring; ``ValueError`` says what is wrong without quoting it."""
    try:
        ring: dict[str, Any] = json.loads(content)
        return KeyRing(
            field_keys={key_id: base64.b64decode(key, validate=True) for key_id, key in ring["field_keys"].items()},
            current_field_key=ring["current_field_key"],
            code_key=base64.b64decode(ring["code_key"], validate=True),
        )
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError(f"no key ring: {type(wrong).__name__}") from None


class KeptKeys:
    """The ring as it is kept now: before each use the source is asked whether it changed.

    So a new key is taken up at once and without a restart, and a value that another process sealed with it a moment
    ago opens. A source that is away or unreadable leaves the ring as it was, with a word in the log.
    """

    def __init__(self, source: KeySource) -> None:
        """Raises ``ValueError`` or ``OSError`` if there is no ring to begin with."""
        self.source = source
        self._turn = threading.Lock()
        self._version = source.version()
        self._ring = source.read()

    def __repr__(self) -> str:
        return f"KeptKeys({self._ring!r})"

    @property
    def ring(self) -> KeyRing:
        """The ring to use now."""
        try:
            version = self.source.version()
            if version != self._version:
                self._read(version)
        except (OSError, ValueError) as away:
            log.warning("the key ring could not be read again: %s", type(away).__name__)
        return self._ring

    def encrypt(self, value: str, *, column: str, row: str) -> bytes:
        """With the key that is current now."""
        return self.ring.encrypt(value, column=column, row=row)

    def decrypt(self, value: bytes, *, column: str, row: str) -> str:
        """With whichever key of the ring the value names."""
        ring = self.ring
        try:
            return ring.decrypt(value, column=column, row=row)
        except UnknownKey:
            # The file may have been replaced between our look and the reading of the value.
            if (newer := self.ring) is ring:
                raise
            return newer.decrypt(value, column=column, row=row)

    def code_mac(self, code: str, *, bound_to: str) -> bytes:
        """See ``KeyRing.code_mac``."""
        return self.ring.code_mac(code, bound_to=bound_to)

    def body_mac(self, body_digest: bytes) -> bytes:
        """See ``KeyRing.body_mac``."""
        return self.ring.body_mac(body_digest)

    def lookup_mac(self, value: str, *, purpose: str) -> bytes:
        """See ``KeyRing.lookup_mac``."""
        return self.ring.lookup_mac(value, purpose=purpose)

    def _read(self, version: Hashable) -> None:
        with self._turn:
            if version == self._version:
                return
            # The version from before the reading: a ring replaced in between is read once more, never missed.
            self._ring, self._version = self.source.read(), version
            log.info("the key ring was read again; the current key is %s", self._ring.current_field_key)
