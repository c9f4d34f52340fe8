from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

import httpx
from rich.console import Console

from stack.ports import HOST, Ports, is_free
from stack.story import Story
from tests.databases import ROOT
from tests.stack.living import descendants, wait_until_dead


def test_a_stack_lives_and_ends_as_a_whole(tmp_path: Path) -> None:
    """A second one is refused; a dead room ends it all; the next run has the data, and ends when asked to."""
    # One test for all of it, and for the demo's story: each start takes seconds.
    state, offset = tmp_path / "a state", _free_offset()
    ports = Ports.with_offset(offset)
    with _client(ports.api) as api, _client(ports.sandbox) as sandbox:
        with _standing(state, offset) as up:
            assert api.get("/readyz").status_code == 200
            _register_account(api, sandbox)
            assert re.search("another stack runs on .*a state", _refusal(state, offset))
            assert re.search(f"port {ports.api} .* the API needs it", _refusal(tmp_path / "other", offset))
            assert api.get("/readyz").status_code == 200
            everything = descendants(up.pid)
            os.kill(_worker_of(up.pid), signal.SIGKILL)
            last_words, _ = up.communicate(timeout=60)
            assert up.returncode == 1
            assert "the worker ended with exit code -9" in last_words
            assert not wait_until_dead(everything, seconds=0)
        with _standing(state, offset) as up:
            assert api.get("/v1/accounts/acct_kept", headers=_bearer(sandbox)).status_code == 200
            assert "/workflows/withdrawal-" in _tell_the_story(api, sandbox)
            everything = descendants(up.pid)
            up.send_signal(signal.SIGTERM)
            assert up.wait(timeout=60) == 0
            assert not wait_until_dead(everything, seconds=0)


def _tell_the_story(api: httpx.Client, sandbox: httpx.Client) -> str:
    told = io.StringIO()
    Story(Console(file=told), api, sandbox, "http://temporal-ui", bank_takes_seconds=1.5).tell()
    return told.getvalue()


def _free_offset() -> int:
    """Moves every port of a stack to one that is free now."""
    for offset in range(4_000 + os.getpid() % 1_000, 18_000, 37):
        if all(is_free(port) for port in astuple(Ports.with_offset(offset))):
            return offset
    raise AssertionError("no offset leads to free ports only")


def _up(state: Path, offset: int) -> list[str]:
    return [sys.executable, "-m", "stack", "--state", str(state), "--port-offset", str(offset)]


@contextlib.contextmanager
def _standing(state: Path, offset: int) -> Iterator[subprocess.Popen[str]]:
    """The process of `make up`, from the moment it says that everything works."""
    with subprocess.Popen(
        _up(state, offset), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as up:
        try:
            assert up.stdout is not None
            said: list[str] = []
            while not any("Everything works" in line for line in said):
                said.append(up.stdout.readline())
                assert said[-1], "".join(said)
            yield up
        finally:
            up.terminate()


def _refusal(state: Path, offset: int) -> str:
    """What a stack says that cannot start."""
    refused = subprocess.run(_up(state, offset), cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    return refused.stderr


def _worker_of(pid: int) -> int:
    (worker,) = (child for child in descendants(pid) if b"worker.py" in Path(f"/proc/{child}/cmdline").read_bytes())
    return worker


def _client(port: int) -> httpx.Client:
    return httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, timeout=20)


def _bearer(sandbox: httpx.Client) -> dict[str, str]:
    claims = {"sub": "somebody", "scope": "billing withdrawals", "account_id": "acct_kept"}
    token = sandbox.post("/_sandbox/token", json=claims).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def _register_account(api: httpx.Client, sandbox: httpx.Client) -> None:
    account = {
        "subject_type": "person",
        "subject_name": "李四",
        "verified": True,
        "phone": "13700000000",
        "suspended": False,
        "pay_as_you_use": False,
    }
    answer = api.put("/v1/accounts/acct_kept", json=account, headers=_bearer(sandbox))
    assert answer.status_code == 200, answer.text
