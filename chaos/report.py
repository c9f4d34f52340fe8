"""The report of a run, in Markdown: what was done, what was found, and what was not tried."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from pathlib import Path

from chaos.healing import PROCESSES, percentile
from chaos.programme import Result

PLANTED = Path(__file__).parent.parent / "docs" / "planted.md"

_METHOD = """\
The real stack (PostgreSQL with fsync, Temporal, worker, API, sandbox bank) under load, and under fire. The
moment-invariants were read in one snapshot each second. When faults had stopped, everything had to come to rest, the
bank's own book had to agree with ours, each account had to hold what was paid in less what was used and paid out, and
every answer the API gave had to be true."""

_NOT_TRIED = """\
- Power failure of the machine: SIGKILL loses nothing that was written but not synced, and PostgreSQL ran with fsync on.
- Disks that lie, fill up or corrupt; clocks that jump; a network that delays for minutes or reorders.
- More than one API and one worker at once, and a Temporal cluster: the development server is a single process.
- A bank that answers wrong (another amount, a success it takes back): a test of its own, since both books then differ.
- The weeks themselves: the end of the window and of a code are moved in the database, and the run is asked to look.
  Reminders to finance (days) are left to the tests with skipped time.
"""


def written(result: Result) -> str:
    """The whole report."""
    return "\n".join(
        [
            "# Reliability: the fault programme's report",
            "",
            _origin(result),
            "",
            _METHOD,
            "",
            f"**{result.verdict}**",
            "",
            *_table(("what was done", "count"), _done(result)),
            "",
            *_table(("time to heal, seconds", "p50", "p95", "max", "measured"), _healing(result)),
            "",
            "A process is healed when something that needs it succeeds again.",
            f"After the last fault everything was at rest in {result.rest.seconds:.0f} s.",
            "",
            "## How withdrawals ended",
            "",
            *_table(
                ("status", "count"), _counted(Counter(one["status"] for one in result.rest.ours.withdrawals.values()))
            ),
            "",
            "## Operations by outcome",
            "",
            *_table(("operation", "count"), _counted(result.operations)),
            "",
            "## Failpoints",
            "",
            "A process died at each of these points between two durable writes:",
            "",
            *_table(("point", "deaths"), _counted(result.failpoints)),
            "",
            "## The checker is checked",
            "",
            "`make planted` plants one bug at a time; the first test that fails is named.",
            "",
            _planted(),
            "## What runs of this programme found",
            "",
            "Bugs of this system, before they were mended: [found-under-fire.md](found-under-fire.md).",
            "",
            "## Not tried",
            "",
            _NOT_TRIED,
            *(["## Violations", "", *(f"- {one}" for one in result.violations[:50]), ""] if result.violations else []),
        ]
    )


def _origin(result: Result) -> str:
    orders = result.orders
    command = f"make chaos SEED={orders.seed} WITHDRAWALS={orders.withdrawals} KILLS={orders.kills}"
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"`{command} MINUTES={orders.seconds / 60:g}`, commit `{_commit()}`, {machine}."


def _planted() -> str:
    return PLANTED.read_text("utf-8") if PLANTED.exists() else "It has not been run yet.\n"


def _done(result: Result) -> list[tuple[str, ...]]:
    kills = result.kills.by_process() + result.at_failpoints.by_process()
    by_process = ", ".join(f"{name} {kills[name]}" for name in PROCESSES)
    statuses = ", ".join(f"{status} {count}" for status, count in result.terminated.items())
    hit = sum(1 for count in result.failpoints.values() if count)
    return [
        ("withdrawals", f"{result.made}"),
        ("seconds, load to rest", f"{result.seconds:.0f}"),
        ("SIGKILL", f"{kills.total()} ({by_process}), {len(result.at_failpoints.at)} of them at failpoints"),
        ("failpoints hit", f"{hit} of {len(result.failpoints)}"),
        ("connections cut at COMMIT", f"{sum(result.cut.values())} ({_words(result.cut)} PostgreSQL heard of it)"),
        ("runs terminated", f"{result.terminated.total()} ({statuses})"),
        ("bank faults", f"{result.bank_faults.total()} ({_words(result.bank_faults)})"),
        ("forged notifications", f"{result.forged.total()} ({_words(result.forged)})"),
        ("returns", f"{sum(one['status'] == 'returned' for one in result.rest.ours.withdrawals.values())}"),
        (
            "snapshots of the invariants",
            f"{result.snapshots}, and {result.snapshots_skipped} while PostgreSQL was away",
        ),
    ]


def _healing(result: Result) -> list[tuple[str, ...]]:
    everything = [seconds for times in result.healed.values() for seconds in times]
    rows = [(name, result.healed[name]) for name in PROCESSES] + [("all", everything)]
    return [
        (name, *(f"{percentile(times, share):.1f}" for share in (0.5, 0.95, 1.0)), f"{len(times)}")
        for name, times in rows
    ]


def _counted(counted: Counter[str]) -> list[tuple[str, ...]]:
    return [(name, f"{count}") for name, count in sorted(counted.items())]


def _words(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counted.items()))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - git is found where it is found
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
