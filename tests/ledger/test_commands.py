"""The ledger's commands are told what they need by variables or by mounted files, and name what is missing."""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import audit_verification, rotation
from stack.ports import free_ports
from tests import databases

KEY = base64.b64encode(bytes(32)).decode()
RING = json.dumps({"field_keys": {"k1": KEY}, "current_field_key": "k1", "code_key": KEY})


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a container has its secrets; no variable of ours is set but the one that says so."""
    for name in [name for name in os.environ if name.startswith("WITHDRAWALS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WITHDRAWALS_SECRETS_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["command"])
    return tmp_path


@pytest.fixture
def signing_key() -> Ed25519PrivateKey:
    """Whoever verifies has its public half alone."""
    return Ed25519PrivateKey.generate()


@pytest.fixture
def told(
    mounted: Path, database: databases.Database, signing_key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Everything that an auditor is told: the database's URL in a file, the others by name."""
    public = signing_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (mounted / "withdrawals_database_url").write_text(database.app_url)
    (mounted / "public.pem").write_bytes(public)
    monkeypatch.setenv("WITHDRAWALS_AUDIT_ANCHOR_FILE", str(mounted / "anchors.jsonl"))
    monkeypatch.setenv("WITHDRAWALS_AUDIT_PUBLIC_KEY_FILE", str(mounted / "public.pem"))
    return mounted


def test_the_chain_is_verified_by_the_database_url_of_a_mounted_file(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither keys of fields nor the one that signs is needed."""
    assert audit_verification.main() == 0, capsys.readouterr().err
    assert "is whole: 0 rows" in capsys.readouterr().out


def test_an_auditor_without_settings_reads_the_name_of_each(mounted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a traceback, and another exit code than that of a broken chain."""
    assert audit_verification.main() == 2
    said = capsys.readouterr().err
    for name in ("DATABASE_URL", "AUDIT_ANCHOR_FILE", "AUDIT_PUBLIC_KEY_FILE"):
        assert f"WITHDRAWALS_{name}): is missing" in said


def test_a_key_file_that_is_not_there_or_the_wrong_one_is_named(
    told: Path, signing_key: Ed25519PrivateKey, capsys: pytest.CaptureFixture[str]
) -> None:
    """The private half by mistake would otherwise read as a chain that was forged."""
    pem = signing_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (told / "public.pem").write_bytes(pem)
    assert audit_verification.main() == 2
    assert "public.pem holds no Ed25519 public key" in capsys.readouterr().err
    (told / "public.pem").unlink()
    assert audit_verification.main() == 2
    assert "public.pem: No such file or directory" in capsys.readouterr().err


def test_a_database_that_is_away_is_no_broken_chain(told: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It could not be looked at, and the command says so."""
    [nobody] = free_ports(1)
    (told / "withdrawals_database_url").write_text(f"postgresql+psycopg://app:app@127.0.0.1:{nobody}/withdrawals")
    assert audit_verification.main() == 2
    assert "PostgreSQL is away" in capsys.readouterr().err


def test_a_rotation_without_settings_or_without_a_file_begins_nothing(
    mounted: Path, database: databases.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says which is missing, and what to do where the ring is a variable."""
    assert rotation.main() == 2
    assert "WITHDRAWALS_DATABASE_URL): is missing" in capsys.readouterr().err
    (mounted / "withdrawals_database_url").write_text(database.app_url)
    assert rotation.main() == 2
    assert "change WITHDRAWALS_KEYS" in capsys.readouterr().err
    monkeypatch.setenv("WITHDRAWALS_KEY_FILE", str(mounted / "keys.json"))
    assert rotation.main() == 2
    assert "keys.json is not there" in capsys.readouterr().err


def test_a_rotation_is_told_by_mounted_files(
    mounted: Path, database: databases.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new key is current, and the old one has left the ring."""
    ring = mounted / "keys.json"
    ring.write_text(RING)
    (mounted / "withdrawals_database_url").write_text(database.app_url)
    monkeypatch.setenv("WITHDRAWALS_KEY_FILE", str(ring))
    assert rotation.main() == 0, capsys.readouterr().err
    assert "k1 is retired" in capsys.readouterr().out


def test_a_rotation_whose_key_was_brought_by_hand_is_finished(
    mounted: Path, database: databases.Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where key files are mounted: no key is added, and the old one is kept beside the file."""
    ring = mounted / "keys.json"
    old, new = json.loads(RING), base64.b64encode(bytes(31) + b"n").decode()
    ring.write_text(json.dumps({**old, "field_keys": {"k1": KEY, "by-hand": new}, "current_field_key": "by-hand"}))
    (mounted / "withdrawals_database_url").write_text(database.app_url)
    monkeypatch.setenv("WITHDRAWALS_KEY_FILE", str(ring))
    monkeypatch.setattr(sys, "argv", ["command", "--finish"])
    assert rotation.main() == 0, capsys.readouterr().err
    assert json.loads(ring.read_text())["field_keys"] == {"by-hand": new}
    assert json.loads((mounted / "keys.retired.json").read_text()) == {"k1": KEY}


def test_a_rotation_while_the_database_is_away_makes_no_key(
    mounted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ring stays as it was."""
    ring = mounted / "keys.json"
    ring.write_text(RING)
    [nobody] = free_ports(1)
    (mounted / "withdrawals_database_url").write_text(f"postgresql+psycopg://app:app@127.0.0.1:{nobody}/withdrawals")
    monkeypatch.setenv("WITHDRAWALS_KEY_FILE", str(ring))
    assert rotation.main() == 1
    assert "PostgreSQL is away" in capsys.readouterr().err
    assert ring.read_text() == RING
