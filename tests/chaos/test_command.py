"""`make chaos` says clearly what it does not take, before it starts anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.databases import ROOT


@pytest.mark.parametrize("wrong", ["--withdrawals=0", "--kills=-1", "--minutes=0", "--seed=many"])
def test_an_order_that_makes_no_sense_is_refused(wrong: str) -> None:
    """With exit code 2 and the option's name."""
    command = [sys.executable, "-m", "chaos", wrong]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert wrong.split("=", maxsplit=1)[0].strip("-") in done.stderr
