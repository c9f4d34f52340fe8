"""The key file: rotation while processes run, and what happens when it is damaged or lacks a key."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from payloads.keys import FRESH_S, PAUSE_S, KeyMissing, PayloadKeys, rotate


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one key."""
    file = tmp_path / "keys.json"
    rotate(file)
    return file


def test_a_rotated_key_is_current_and_the_old_one_stays_readable(file: Path) -> None:
    """Nobody but the owner may read the file, before and after."""
    (old, _), name = PayloadKeys(file).current(), rotate(file)
    keys = PayloadKeys(file)
    assert name == "k2"
    assert keys.current()[0].startswith("k2.")
    keys.cipher(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_that_another_process_uses_already_is_found_without_a_restart(file: Path, clock: Clock) -> None:
    """An unknown id is a reason to look at the file again, once a second at the most."""
    keys = PayloadKeys(file, clock)
    rotate(file)
    new, _ = PayloadKeys(file).current()
    with pytest.raises(KeyMissing):
        keys.cipher(new)
    clock.now += PAUSE_S
    keys.cipher(new)
    assert keys.current()[0] == new


def test_a_new_current_key_is_taken_up_within_a_minute(file: Path, clock: Clock) -> None:
    """Where nothing tells that there is a new one."""
    keys = PayloadKeys(file, clock)
    rotate(file)
    assert keys.current()[0].startswith("k1.")
    clock.now += FRESH_S + 1
    assert keys.current()[0].startswith("k2.")


def test_a_known_key_costs_no_look_at_the_file(file: Path, clock: Clock) -> None:
    """Even a file that is gone is not missed meanwhile."""
    keys = PayloadKeys(file, clock)
    file.unlink()
    clock.now += FRESH_S
    for _ in range(3):
        keys.cipher(keys.current()[0])


@pytest.mark.parametrize(
    "damage", ["", "{}", '{"payload_keys": {"k1": "c2hvcnQ="}, "current_payload_key": "k1"}', "[]"]
)
def test_a_damaged_file_stops_a_start_but_no_running_process(file: Path, clock: Clock, damage: str) -> None:
    """What was read before stays good."""
    keys = PayloadKeys(file, clock)
    current, _ = keys.current()
    file.write_text(damage)
    clock.now += FRESH_S + 1
    assert keys.current()[0] == current
    with pytest.raises(ValueError, match=r"key|JSON|Expecting"):
        PayloadKeys(file)


def test_another_key_under_an_old_name_is_a_missing_key(file: Path) -> None:
    """A wrong file pauses what it cannot open: taken for the right one, it would make every payload look forged."""
    old, _ = PayloadKeys(file).current()
    file.unlink()
    rotate(file)
    assert json.loads(file.read_text())["current_payload_key"] == "k1"
    with pytest.raises(KeyMissing):
        PayloadKeys(file).cipher(old)
