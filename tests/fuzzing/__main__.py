"""`make fuzz`: schemathesis against a stack of its own, for as long as it is told."""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import httpx

from stack.local import LocalStack, running_stack
from stack.ports import Ports
from stack.state import State
from tests.databases import ROOT
from tests.fuzzing.hooks import ACCOUNT, NAME, PHONE

HERE = Path(__file__).parent
SCOPES = "withdrawals finance operations billing"


def fuzz(
    stack: LocalStack, *, seed: int, examples: int, seconds: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs every check and every phase against the stack, by one seed; exit code 0 if nothing was found.

    With ``seconds`` it goes on until they are over, and stops then; without, each phase is gone through once.
    """
    token = _with_an_account(stack)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "--no-color"),
        *("run", f"{stack.api_url}/openapi.json", "--header", f"Authorization: Bearer {token}", "--checks", "all"),
        *("--seed", str(seed), "--max-examples", str(examples), "--continue-on-failure"),
        *(() if seconds is None else ("--max-time", str(seconds))),
        *("--request-timeout", "20", "--warnings", "off"),
    ]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "FUZZING_SEED": str(seed),
        "FUZZING_SANDBOX": stack.sandbox_url,
        "FUZZING_SECRET": stack.state.webhook_secret(),
        "NO_PROXY": "127.0.0.1",
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        # It leaves reports where it runs.
        return subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)


def answers(stack: LocalStack) -> dict[tuple[str, str], set[int]]:
    """Which statuses each route has answered with so far, as the API itself counts."""
    counted: dict[tuple[str, str], set[int]] = defaultdict(set)
    text = httpx.get(f"{stack.api_url}/metrics", trust_env=False).text
    pattern = r'http_requests_total\{method="(\w+)",route="([^"]+)",status="(\d+)"\}'
    for method, route, status in re.findall(pattern, text):
        counted[method, route].add(int(status))
    return dict(counted)


def _with_an_account(stack: LocalStack) -> str:
    """A token for everything, of the customer of an account with money on it."""
    registration = {
        "subject_type": "company",
        "subject_name": NAME,
        "verified": True,
        "phone": PHONE,
        "suspended": False,
        "pay_as_you_use": False,
    }
    with httpx.Client(trust_env=False, timeout=20) as http:
        claims = {"sub": "everybody", "scope": SCOPES, "account_id": ACCOUNT}
        token: str = http.post(f"{stack.sandbox_url}/_sandbox/token", json=claims).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        account = f"{stack.api_url}/v1/accounts/{ACCOUNT}"
        http.put(account, json=registration).raise_for_status()
        http.post(f"{account}/top-ups", json={"reference": "fuzz", "amount": "90000000.00"}).raise_for_status()
    return token


def main() -> int:
    """0 if nothing was found; says which seed finds it again."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="withdrawals-fuzz-") as folder:
        # PostgreSQL's unprivileged user passes through it.
        Path(folder).chmod(0o711)
        with State.locked(Path(folder) / "state") as state, running_stack(state, Ports.free(), durable=False) as stack:
            found = fuzz(stack, seed=options.seed, examples=options.examples, seconds=options.seconds)
            reached = answers(stack)
    sys.stdout.write(found.stdout + found.stderr)
    for (method, route), statuses in sorted(reached.items(), key=lambda entry: entry[0][::-1]):
        sys.stdout.write(f"{method:<7} {route:<52} {' '.join(map(str, sorted(statuses)))}\n")
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
