from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack.processes import Process, ProcessFailed
from tests.databases import ROOT
from tests.stack.living import lives, wait_until_dead


def test_a_process_that_ends_too_early_is_told_with_its_log(tmp_path: Path) -> None:
    """Waiting for it fails at once, and the message says who it was, how it ended and what it wrote last."""
    process = Process.start("the worker", ["sh", "-c", "echo no such key >&2; exit 3"], log=tmp_path / "log")
    with pytest.raises(ProcessFailed, match=r"the worker ended with exit code 3(.|\n)*no such key"):
        process.wait_until(lambda: False, seconds=30)


def test_a_process_that_is_not_ready_in_time_is_told(tmp_path: Path) -> None:
    """Waiting is bounded."""
    process = Process.start("the API", ["sleep", "60"], log=tmp_path / "log")
    try:
        with pytest.raises(ProcessFailed, match=r"the API was not ready(.|\n)*log is empty"):
            process.wait_until(lambda: False, seconds=0.1)
    finally:
        process.stop()
    assert process.exit_code == -signal.SIGTERM


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """A migration that hangs is no reason to hang with it."""
    command = Process.start("the migrations", ["sleep", "60"], log=tmp_path / "log")
    with pytest.raises(ProcessFailed, match="the migrations did not end within"):
        command.finish(seconds=0.1)
    assert not lives(command.pid)


def test_a_process_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    """SIGTERM comes first, SIGKILL after its time, so that stopping always ends."""
    script = "trap 'echo asked' TERM; echo ready; while true; do sleep 0.05; done"
    process = Process.start("deaf", ["sh", "-c", script], log=tmp_path / "log")
    process.wait_until(lambda: "ready" in process.log.read_text(), seconds=10)
    process.stop((signal.SIGTERM, 0.3))
    assert process.exit_code == -signal.SIGKILL
    assert "asked" in process.log.read_text()


def test_a_process_dies_with_the_one_that_started_it(tmp_path: Path) -> None:
    """SIGKILL of the parent leaves no child behind, although the parent can do nothing any more."""
    script = (
        "import pathlib, sys, time; from stack.processes import Process\n"
        "print(Process.start('child', ['sleep', '60'], log=pathlib.Path(sys.argv[1])).pid, flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.1)
        assert lives(child)
        parent.kill()
        parent.wait()
    assert not wait_until_dead({child})


def test_ctrl_c_at_the_terminal_does_not_reach_a_process(tmp_path: Path) -> None:
    """It is the leader of its own session: only the one that started it decides when it ends."""
    process = Process.start("child", ["sleep", "60"], log=tmp_path / "log")
    try:
        process.wait_until(lambda: os.getsid(process.pid) == process.pid, seconds=5)
    finally:
        process.stop()
