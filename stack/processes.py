"""One process of the stack: started, waited for, stopped, and never outliving who started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

_POLL_SECONDS = 0.05


class ProcessFailed(Exception):
    """A process ended, or did not become ready in time; the message carries the end of its log."""

    def __init__(self, name: str, what: str, log: Path) -> None:
        super().__init__(f"{name} {what}; the end of {log}:\n{tail(log)}")
        self.name = name
        self.log = log


class Process:
    """A running process with its output in a log file.

    It gets `signal_on_parent_death` from the kernel when the thread that started it ends, however that
    happens: start processes from a thread that lives as long as they should. Its own session keeps the
    terminal's Ctrl-C away from it, so that the stack can be stopped in order.
    """

    def __init__(self, name: str, spawn: Callable[[], subprocess.Popen[bytes]], log: Path) -> None:
        self.name = name
        self.log = log
        self._spawn = spawn
        self._popen = spawn()

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        privileges: Sequence[str] = (),
        signal_on_parent_death: signal.Signals = signal.SIGKILL,
    ) -> Self:
        """Starts the command; `privileges` are options of setpriv(1), applied before it runs."""
        death = signal_on_parent_death.name.removeprefix("SIG")
        # setpriv and not preexec_fn: the kernel forgets the parent-death signal when the user changes, so
        # whoever changes the user has to ask for it afterwards.
        full = ["setpriv", f"--pdeathsig={death}", *privileges, "--", *(str(part) for part in command)]

        def spawn() -> subprocess.Popen[bytes]:
            with _appending(log) as output:
                return subprocess.Popen(
                    full,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=directory,
                    env=dict(environment) if environment is not None else None,
                    start_new_session=True,
                )

        return cls(name, spawn, log)

    def kill(self) -> None:
        """SIGKILL, which leaves it no time to finish anything; returns once it has ended."""
        self.stop((signal.SIGKILL, 10.0))

    def start_again(self) -> None:
        """Runs the same command anew, killing what still runs of the one before."""
        self.kill()
        self._popen = self._spawn()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; the negative signal number if a signal ended it."""
        return self._popen.poll()

    def require_running(self) -> None:
        """Raises ProcessFailed if it has ended."""
        if (code := self.exit_code) is not None:
            raise ProcessFailed(self.name, f"ended with exit code {code}", self.log)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Returns once `ready` says so; ProcessFailed if the process ends before, or time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.require_running()
            if time.monotonic() > deadline:
                raise ProcessFailed(self.name, f"was not ready after {seconds:.0f} s", self.log)
            time.sleep(_POLL_SECONDS)

    def finish(self, *, seconds: float) -> None:
        """Waits for a command to end by itself; raises ProcessFailed unless it does, in time, with code 0."""
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailed(self.name, f"did not end within {seconds:.0f} s", self.log) from None
        if code != 0:
            raise ProcessFailed(self.name, f"ended with exit code {code}", self.log)

    def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """Sends each signal and waits its seconds until the process has ended; SIGKILL is always the last."""
        for number, seconds in (*(steps or ((signal.SIGTERM, 10.0),)), (signal.SIGKILL, 10.0)):
            if self.exit_code is not None:
                return
            self._popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(seconds)


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, indented; says so if there are none."""
    with contextlib.suppress(FileNotFoundError):
        if last := log.read_text("utf-8", errors="replace").splitlines()[-lines:]:
            return "\n".join(f"    {line}" for line in last)
    return "    (the log is empty)"


def _appending(log: Path) -> IO[bytes]:
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
