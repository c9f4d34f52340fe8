"""A failpoint ends the process that reaches it, once, and is nothing to those that do not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from failpoints import HIT, POINTS, Failpoints
from tests.databases import ROOT

_CALLS = """
import asyncio, sys
from pathlib import Path
from failpoints import Failpoints

class Part:
    name = "part"
    def now(self): print("now", flush=True); return 1
    async def later(self): print("later", flush=True); return 2

guarded = Failpoints(Path(sys.argv[1])).guard(Part(), "part", ("now", "later"))
assert guarded.name == "part"
print(guarded.now() + asyncio.run(guarded.later()), flush=True)
"""


def _calls(folder: Path) -> tuple[int, list[str]]:
    """Two guarded calls in a process of their own: its exit code, and what it came to say."""
    command = [sys.executable, "-c", _CALLS, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("part.now.before", []),
        ("part.now.after", ["now"]),
        ("part.later.before", ["now"]),
        ("part.later.after", ["now", "later"]),
    ],
)
def test_an_armed_point_ends_the_process_there_and_only_once(tmp_path: Path, point: str, said: list[str]) -> None:
    """By SIGKILL; the file says that it was taken, and the next process goes through."""
    (tmp_path / point).touch()
    assert _calls(tmp_path) == (-signal.SIGKILL, said)
    assert [file.name.partition(HIT)[0] for file in tmp_path.iterdir()] == [point]
    assert _calls(tmp_path) == (0, ["now", "later", "3"])


def test_a_point_that_is_not_armed_is_nothing(tmp_path: Path) -> None:
    """Other files in the folder arm nothing."""
    (tmp_path / "part.now").touch()
    Failpoints(tmp_path).reach("part.now.before")


def test_every_point_has_a_name_of_its_own() -> None:
    """Two points under one name would be counted as one."""
    assert len(POINTS) == len(set(POINTS))
