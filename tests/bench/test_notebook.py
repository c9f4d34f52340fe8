"""What the benchmark makes of its figures."""

from __future__ import annotations

import ast
import csv
import importlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.__main__ import CHAPTERS, main
from bench.notebook import Notebook, Race, Ratio, Target
from stack.local import ROOT


def takes_turns(name: str, figures: list[float], order: list[str]) -> Callable[[], float]:
    """A contestant whose figures are known beforehand."""
    left = iter(figures)

    def measure() -> float:
        order.append(name)
        return next(left)

    return measure


def test_contestants_take_turns_and_each_ratio_is_of_one_round() -> None:
    """The machine halves its speed in the second round: both figures fall, and the ratio stays."""
    order: list[str] = []
    notebook = Notebook(3, lambda _: None, chapter="whole")
    contestants = {
        "ours": takes_turns("ours", [10, 5, 12], order),
        "theirs": takes_turns("theirs", [20, 10, 16], order),
    }
    notebook.race(Race("race", "a second", contestants, [Ratio("ours by theirs", "ours", "theirs", Target(0.5))]))
    assert order == ["ours", "theirs"] * 3
    (found,) = notebook.findings
    assert (found.spread.least, found.spread.median, found.spread.greatest) == (0.5, 0.5, 0.75)


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (Target(at_least=0.6), "ours: 0.5 (target ≥ 0.6, NOT met)"),
        (Target(at_least=0.5), "ours: 0.5 (target ≥ 0.5, met)"),
        (Target(at_most=0.4), "ours: 0.5 (target ≤ 0.4, NOT met)"),
        (Target(), "ours: 0.5 (no target)"),
    ],
)
def test_a_line_says_whether_its_target_is_met(target: Target, line: str) -> None:
    """``name: value (target …)``: a machine can read it, and nobody has to compare by eye."""
    notebook = Notebook(1, lambda _: None)
    notebook.fact("ours", [0.4, 0.5, 0.9], "", target)
    assert notebook.findings[0].line == line


def test_every_figure_of_every_round_is_written_down(tmp_path: Path) -> None:
    """What a median hides is still to be had."""
    notebook = Notebook(2, lambda _: None)
    notebook.race(Race("race", "ms", {"ours": takes_turns("ours", [1.25, 3], [])}))
    notebook.write_csv(tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["contestant"], row["round"], row["value"], row["unit"]) for row in rows] == [
        ("ours", "1", "1.25", "ms"),
        ("ours", "2", "3", "ms"),
    ]


def test_a_chapter_that_fails_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half an hour of figures is kept, what failed is named, and the command has failed."""

    def measure(notebook: Notebook, *, short: bool) -> None:
        if notebook.chapter == "moves":
            raise ConnectionError
        notebook.fact(f"found by {notebook.chapter}", [1.0], "s")

    monkeypatch.setattr(importlib, "import_module", lambda _: SimpleNamespace(measure=measure))
    assert main(["growth", "moves", "whole"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-2:] == ["found by whole: 1 s (no target)", "found by growth: 1 s (no target)"]
    assert "moves: FAILED" in said.err


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_can_be_measured(chapter: str) -> None:
    """Read, not imported: what the benchmark is held against is installed for it alone."""
    written = ast.parse((ROOT / "bench" / f"{chapter}.py").read_text("utf-8"))
    (measure,) = [part for part in written.body if isinstance(part, ast.FunctionDef) and part.name == "measure"]
    assert [argument.arg for argument in measure.args.args] == ["notebook"]
    assert [argument.arg for argument in measure.args.kwonlyargs] == ["short"]
