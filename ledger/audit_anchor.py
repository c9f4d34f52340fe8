"""The head of the audit chain, written down outside PostgreSQL: a file of signed lines that only grows.

Whoever can rewrite the whole database can also make a new chain. They can't make the line that was signed before, so
a chain that was cut, or told anew, no longer fits the file.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.audit_chain import Batch

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\n?", re.DOTALL)


class AnchorBroken(Exception):
    """The file, or the chain against it, is not what was signed."""


@dataclass(frozen=True)
class Anchor:
    """One line: at this moment the chain's head was this batch."""

    seq: int
    hash: str
    at: str
    previous: str
    key: str


@dataclass(frozen=True)
class AnchorFile:
    """Appends to the file. One writer at a time, by a lock on the file itself."""

    path: Path
    key: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def open(cls, path: Path, key_file: Path) -> AnchorFile:
        """With the Ed25519 key of a PEM file."""
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("the audit signing key is an Ed25519 key")  # noqa: TRY004 - what is wrong is the file
        return cls(path, key)

    def anchor(self, head: Batch, *, now: datetime) -> bool:
        """Signs the head and appends it; False if it is anchored already.

        ``AnchorBroken`` if the file knows of a later batch, or of another one with this number: then the database
        was put back behind what was anchored, and a person has to find out why before more is written.
        """
        with self._locked() as descriptor:
            lines = _whole_lines(descriptor)
            last = _parse(lines[-1]) if lines else None
            if last is not None:
                if (last["seq"], last["hash"]) == (head.seq, head.hash.hex()):
                    return False
                if last["seq"] >= head.seq:
                    raise AnchorBroken(f"batch {last['seq']} was anchored, and the chain ends at {head.seq}")
            words = {
                "seq": head.seq,
                "hash": head.hash.hex(),
                "at": now.astimezone(UTC).isoformat(timespec="seconds"),
                "previous": hashlib.sha256(lines[-1]).hexdigest() if lines else "",
                "key": _key_id(self.key.public_key()),
            }
            signature = base64.b64encode(self.key.sign(_signed(words))).decode()
            os.write(descriptor, json.dumps({**words, "signature": signature}).encode() + b"\n")
            os.fsync(descriptor)
        return True

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def read_anchors(path: Path, public_keys: Iterable[Ed25519PublicKey]) -> list[Anchor]:
    """Every line, in order, each signed by one of the keys and linked to the one before; else ``AnchorBroken``."""
    keys = {_key_id(key): key for key in public_keys}
    anchors: list[Anchor] = []
    before = b""
    content = path.read_bytes()
    # What follows the last line feed was cut short while it was written, and never counted as anchored.
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            words = _parse(line)
            signature = base64.b64decode(words.pop("signature"))
            anchor = Anchor(**words)
            keys[anchor.key].verify(signature, _signed(words))
        except InvalidSignature:
            raise AnchorBroken(f"line {number} of the anchor file: the signature is not right") from None
        except (KeyError, TypeError, ValueError):
            raise AnchorBroken(f"line {number} of the anchor file: not a line signed with a known key") from None
        if anchor.previous != (hashlib.sha256(before).hexdigest() if before else ""):
            raise AnchorBroken(f"line {number} of the anchor file: a line before it is missing or changed")
        if anchors and anchor.seq <= anchors[-1].seq:
            raise AnchorBroken(f"line {number} of the anchor file: it goes back to batch {anchor.seq}")
        anchors.append(anchor)
        before = line
    return anchors


def read_public_keys(path: Path) -> list[Ed25519PublicKey]:
    """The keys of a PEM file: one, and those before it if it was ever replaced."""
    keys = [serialization.load_pem_public_key(pem) for pem in _PEM.findall(path.read_bytes())]
    return [key for key in keys if isinstance(key, Ed25519PublicKey)]


def _whole_lines(descriptor: int) -> list[bytes]:
    """The lines of the file; what a crash left of one that was being written is taken off its end."""
    content = b""
    os.lseek(descriptor, 0, os.SEEK_SET)
    while part := os.read(descriptor, 1 << 20):
        content += part
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.ftruncate(descriptor, whole)
    return content[:whole].split(b"\n")[:-1]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        words = json.loads(line)
    except ValueError:
        raise AnchorBroken("the anchor file has a line that is no JSON") from None
    if not isinstance(words, dict):
        raise AnchorBroken("the anchor file has a line that is no JSON object")
    return words


def _signed(words: Mapping[str, Any]) -> bytes:
    return b"withdrawals audit anchor 1\n" + json.dumps(words, sort_keys=True, separators=(",", ":")).encode()


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]
