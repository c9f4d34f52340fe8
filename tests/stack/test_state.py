from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest

from stack.state import State, StateInUse


def test_keys_are_made_once(tmp_path: Path) -> None:
    """A second start finds the keys of the first: other keys could not read what is encrypted."""
    with State.locked(tmp_path / "a state") as state:
        first = state.key_file().read_text(), state.webhook_secret()
    with State.locked(tmp_path / "a state") as state:
        assert (state.key_file().read_text(), state.webhook_secret()) == first
    keys = json.loads(first[0])
    assert set(keys) == {"made_for", "field_keys", "current_field_key", "code_key"}
    assert keys["field_keys"][keys["current_field_key"]] != keys["code_key"]
    assert first[1].startswith("whsec_")
    # What tells production that they are not for it.
    assert keys["made_for"] == "sandbox"
    assert base64.b64decode(first[1].removeprefix("whsec_")).startswith(b"sandbox:")


def test_what_is_secret_is_the_owner_s_alone(tmp_path: Path) -> None:
    """Key files have mode 0600 in folders of mode 0700, whatever the umask."""
    with State.locked(tmp_path / "state") as state:
        state.webhook_secret()
        for file in (state.key_file(), state.keys / "webhook-secret"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for folder in (state.keys, state.logs, state.temporal_database.parent, state.sandbox_book.parent):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_stack_at_a_time_holds_a_state(tmp_path: Path) -> None:
    """A second one is refused with the folder's name, until the first has ended."""
    with State.locked(tmp_path), pytest.raises(StateInUse, match=str(tmp_path)), State.locked(tmp_path):
        pass
    with State.locked(tmp_path):
        pass


def test_the_permissions_of_a_folder_that_was_there_stay(tmp_path: Path) -> None:
    """Who closed a folder to others had a reason."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    with State.locked(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
