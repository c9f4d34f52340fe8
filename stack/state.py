"""Where one stack keeps its data, keys and logs."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class StateInUse(Exception):
    """Another stack runs on the same state."""

    def __init__(self, root: Path) -> None:
        super().__init__(f"another stack runs on {root}; end it, or start with another STATE")


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one stack. What is inside is readable by its owner only."""

    root: Path

    @classmethod
    @contextlib.contextmanager
    def locked(cls, root: Path) -> Iterator[State]:
        """Creates what is missing and holds the folder until the block is left; raises StateInUse.

        The lock ends with the process, however it ends.
        """
        state = cls(root.absolute())
        if not root.exists():
            root.mkdir(parents=True)
            # Passable, so that PostgreSQL under its unprivileged user reaches its own folder inside.
            root.chmod(0o711)
        with _open_private(root / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StateInUse(state.root) from None
            for file in (state.temporal_database, state.sandbox_book, state.audit_anchor):
                file.parent.mkdir(mode=0o700, exist_ok=True)
            for folder in (state.logs, state.keys):
                folder.mkdir(mode=0o700, exist_ok=True)
            yield state

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def temporal_database(self) -> Path:
        return self.root / "temporal" / "temporal.sqlite"

    @property
    def sandbox_book(self) -> Path:
        return self.root / "sandbox" / "book.sqlite"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def sandbox_signing_key(self) -> Path:
        """Created by the sandbox at its first start."""
        return self.keys / "sandbox-signing-key.pem"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def key_file(self) -> Path:
        """The keys for encrypted fields and phone codes; made once, as without them the fields are lost."""
        file = self.keys / "keys.json"
        if not file.exists():
            # The mark keeps them out of production: see production.py.
            keys = {"made_for": "sandbox", "field_keys": {"k1": _key()}, "current_field_key": "k1", "code_key": _key()}
            write_private(file, json.dumps(keys, indent=2))
        return file

    def audit_signing_key(self) -> Path:
        """The Ed25519 key that signs the head of the audit chain; made once."""
        file = self.keys / "audit-signing-key.pem"
        if not file.exists():
            key = Ed25519PrivateKey.generate()
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            private = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            # The public half first: a key without it would be one whose lines nobody can check.
            write_private(self.audit_public_key, public.decode())
            write_private(file, private.decode())
        return file

    @property
    def audit_public_key(self) -> Path:
        """What checks the signatures."""
        return self.keys / "audit-public-key.pem"

    @property
    def audit_anchor(self) -> Path:
        """Grows by a signed line whenever the audit chain does."""
        return self.root / "audit" / "anchors.jsonl"

    def payload_key_file(self) -> Path:
        """The keys for what travels through Temporal; made once, as without them no run can go on."""
        file = self.keys / "payload-keys.json"
        if not file.exists():
            # Runs in clear would be refused. The rows are the record: the sweep starts every unfinished one again.
            for old in self.temporal_database.parent.glob(f"{self.temporal_database.name}*"):
                old.rename(old.with_name(f"unencrypted-{old.name}"))
            keys = {"payload_keys": {"k1": _key()}, "current_payload_key": "k1"}
            write_private(file, json.dumps(keys, indent=2))
        return file

    def webhook_secret(self) -> str:
        """What the bank signs its notifications with, as Standard Webhooks writes secrets."""
        file = self.keys / "webhook-secret"
        if not file.exists():
            # The mark at its front keeps it out of production: see production.py.
            secret = base64.b64encode(b"sandbox:" + secrets.token_bytes(32)).decode()
            write_private(file, f"whsec_{secret}")
        return file.read_text("ascii")


def write_private(file: Path, text: str) -> None:
    """Writes the whole file or nothing, readable by its owner only."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with _open_private(draft) as descriptor:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    draft.rename(file)


@contextlib.contextmanager
def _open_private(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def main() -> None:
    """Makes the keys of the state that is named, where they are missing: `python -m stack.state folder`."""
    with State.locked(Path(sys.argv[1])) as state:
        state.key_file()
        state.audit_signing_key()
        state.payload_key_file()


if __name__ == "__main__":
    main()
