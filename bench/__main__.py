"""The command ``python -m bench``: measures every chapter on this machine and writes down what it saw.

make bench               everything, five rounds each; writes docs/performance.md, its pictures and the raw figures
make bench SHORT=1       smaller and within five minutes; the ratios are its last lines
make bench ARGS=moves    some chapters only
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.notebook import ROUNDS, ROUNDS_SHORT, Notebook
from stack.signals import Stopped, stopped_by_signals

CHAPTERS: Final = ("whole", "latency", "moves", "waiting", "growth")
"""The modules of this room that measure something: each has ``measure(notebook, short=…)``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 once everything was measured, whether the targets are met or not; 1 if something could not be measured."""
    asked = _parser().parse_args(arguments)
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:7.0f} s  {line}", flush=True)

    notebook = Notebook(asked.rounds or (ROUNDS_SHORT if asked.short else ROUNDS), tell)
    try:
        with stopped_by_signals():
            for chapter in asked.chapters or CHAPTERS:
                notebook.chapter = chapter
                try:
                    importlib.import_module(f"bench.{chapter}").measure(notebook, short=asked.short)
                except Exception:  # noqa: BLE001 - half an hour of other chapters is not thrown away for it
                    traceback.print_exc()
                    notebook.failed.append(chapter)
    except Stopped:
        return 1
    notebook.findings.sort(key=lambda finding: CHAPTERS.index(finding.chapter))
    if asked.report is not None:
        from bench.report import write_report  # noqa: PLC0415 - pictures are drawn only where they are wanted

        write_report(notebook, asked.report, seconds=time.monotonic() - began, short=asked.short)
    for finding in notebook.findings:
        print(finding.line)
    for chapter in notebook.failed:
        print(f"{chapter}: FAILED, and is not in the report", file=sys.stderr)
    return 1 if notebook.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("chapters", nargs="*", choices=[[], *CHAPTERS], metavar="chapter", help=", ".join(CHAPTERS))
    parser.add_argument("--short", action="store_true", help="smaller, three rounds")
    parser.add_argument("--rounds", type=int, help="how often everything is measured")
    parser.add_argument("--report", type=Path, help="a folder for performance.md, its pictures and the raw figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
