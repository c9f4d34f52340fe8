"""``make release-check REV=v1.2``: what the release before this one has to survive while both are running.

An upgrade is no moment: for some minutes the old code works on the new schema, and for three weeks the new code goes on
with runs that the old one started. So the old code's ledger tests run on today's migrations, and the old recordings
are replayed by today's workflows (decisions 41 and 42).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.workflow import NondeterminismError

from tests.workflows.test_replay import replayer

ROOT = Path(__file__).parent.parent

OLD_TESTS = ("tests/ledger", "--ignore=tests/ledger/test_schema.py")
"""The schema's own test compares tables with migrations, and has to be of one release."""


def main() -> int:
    """0 if the old release holds on."""
    parser = argparse.ArgumentParser(prog="python -m tests.previous_release", description=__doc__)
    parser.add_argument("revision", help="tag or commit of the release that is running")
    parser.add_argument("--only", choices=("schema", "histories"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="previous-release-") as folder:
        old = Path(folder)
        check_out(options.revision, old)
        failed = []
        if options.only != "schema":
            failed += asyncio.run(histories_that_do_not_replay(old))
        if options.only != "histories":
            failed += old_code_on_the_new_schema(old)
    for what in failed:
        sys.stdout.write(f"FAILED {what}\n")
    sys.stdout.write(f"{options.revision} {'does not survive' if failed else 'survives'} this release\n")
    return 1 if failed else 0


def check_out(revision: str, folder: Path) -> None:
    """The tree of a revision, without touching this one."""
    packed = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(packed)) as tree:
        tree.extractall(folder, filter="data")


def old_code_on_the_new_schema(old: Path) -> list[str]:
    """Runs the old ledger tests on a database that today's migrations made."""
    shutil.rmtree(old / "migrations")
    shutil.copytree(ROOT / "migrations", old / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OLD_TESTS]
    done = subprocess.run(command, cwd=old, check=False)
    return ["the old code's ledger tests on the new schema"] if done.returncode else []


async def histories_that_do_not_replay(old: Path) -> list[str]:
    """The old recordings that today's workflows would not have written."""
    failed = []
    for recording in sorted((old / "tests" / "workflows" / "histories").glob("*.json")):
        try:
            await replayer().replay_workflow(WorkflowHistory.from_json(recording.stem, recording.read_text()))
        except NondeterminismError:
            failed.append(f"the old recording {recording.name}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
