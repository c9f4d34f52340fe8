"""`make planted`: is each bug caught? The tests first pass without one, then one of them has to fail with each."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.bugs import BUGS, Bug

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "planted.md"
_TESTS_SECONDS = 900
_FAILED = 1  # pytest's word for failed tests; any other code but 0 means that it could not test.


class NotPlanted(Exception):
    """The place where the bug goes is not there exactly once: the code has moved on, and the bug has to follow."""


def main() -> int:
    """0 if every bug was caught."""
    parser = argparse.ArgumentParser(prog="python -m chaos.planted", description=__doc__)
    parser.add_argument("--only", default="", help="only bugs whose name has this in it")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if options.only in bug.name]
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder) / "checkout"
        _copy_checkout(copy)
        sound = sorted({test for bug in bugs for test in bug.tests})
        print("without a bug …", flush=True)
        code, said = _run(copy, sound)
        if code:
            print(f"{said}\nthe tests do not pass without a bug", file=sys.stderr)
            return 2
        rows = [_try(copy, bug) for bug in bugs]
    caught = sum(1 for _, catcher, _ in rows if catcher)
    table = ["| bug | caught by | seconds |", "| --- | --- | --- |"]
    table += [f"| {name} | {catcher or '**not caught**'} | {seconds:.0f} |" for name, catcher, seconds in rows]
    if not options.only:
        TABLE.write_text("\n".join([*table, "", f"{caught} of {len(rows)} planted bugs were caught.", ""]), "utf-8")
    print(f"planted: {len(rows)}, caught: {caught}")
    return 0 if caught == len(rows) else 1


def _try(copy: Path, bug: Bug) -> tuple[str, str, float]:
    """The bug's name, the first test that failed, if one did, and how long that took."""
    begun = time.monotonic()
    before = {edit.file: (copy / edit.file).read_text("utf-8") for edit in bug.edits}
    try:
        for edit in bug.edits:
            _plant(copy / edit.file, edit.old, edit.new)
        code, said = _run(copy, bug.tests)
    finally:
        for file, text in before.items():
            (copy / file).write_text(text, "utf-8")
    catcher = ""
    if code == _FAILED:
        failed = [line.split()[1] for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        catcher = f"`{failed[0]}`" if failed else ""
    print(f"{'caught' if catcher else 'NOT CAUGHT':<10} {bug.name} {catcher}", flush=True)
    if not catcher:
        print("\n".join(said.splitlines()[-15:]), flush=True)
    return bug.name, catcher, time.monotonic() - begun


def _plant(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    if text.count(old) != 1:
        raise NotPlanted(f"{file.name} has this {text.count(old)} times:\n{old}")
    file.write_text(text.replace(old, new), "utf-8")


def _run(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code and output; it stops at the first failure. A test that hangs has failed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=_TESTS_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _FAILED, f"ERROR {tests[0]} hung"
    return done.returncode, done.stdout + done.stderr


def _copy_checkout(copy: Path) -> None:
    """What git tracks, as it stands; nothing of it is changed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - git is found where it is found
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


if __name__ == "__main__":
    sys.exit(main())
