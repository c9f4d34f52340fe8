"""What is measured, in turn and interleaved, and what it is held against."""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROUNDS, ROUNDS_SHORT = 5, 3


@dataclass(frozen=True)
class Target:
    """A bound on a ratio or a figure; without one it is told and held against nothing."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Whether the value keeps within the bound."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"target ≥ {self.at_least:g}"
        return "no target" if self.at_most is None else f"target ≤ {self.at_most:g}"


@dataclass(frozen=True)
class Ratio:
    """One contestant by another, of the same round each."""

    name: str
    of: str
    by: str
    target: Target


@dataclass(frozen=True)
class Race:
    """Contestants that take turns, A B A B, so that whatever else the machine does concerns them all alike.

    Each is called once a round and answers with its figure in ``unit``.
    """

    name: str
    unit: str
    contestants: Mapping[str, Callable[[], float]]
    ratios: Sequence[Ratio] = ()


@dataclass(frozen=True)
class Figure:
    """One figure of one round."""

    race: str
    contestant: str
    round: int
    value: float
    unit: str


@dataclass(frozen=True)
class Spread:
    """The median of some figures, with the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.least)} to {_short(self.greatest)})"


@dataclass(frozen=True)
class Finding:
    """What the report says in one line: a ratio with its spread, or a figure that stands alone."""

    chapter: str
    name: str
    spread: Spread
    target: Target
    unit: str = ""

    @property
    def line(self) -> str:
        """``name: value (target …)``; the least and the greatest follow where there are several."""
        unit = f" {self.unit}" if self.unit else ""
        met = "" if self.target == Target() else ", met" if self.target.met(self.spread.median) else ", NOT met"
        return f"{self.name}: {_short(self.spread.median)}{unit} ({self.target}{met})"


@dataclass
class Notebook:
    """Everything one run has measured; ``tell`` hears of it as it comes."""

    rounds: int
    tell: Callable[[str], None]
    chapter: str = ""
    figures: list[Figure] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Chapters that could not be measured to the end."""

    def race(self, race: Race) -> None:
        """Runs every round of it, and keeps the figures and the ratios."""
        values: dict[str, list[float]] = {name: [] for name in race.contestants}
        for number in range(1, self.rounds + 1):
            for name, measure in race.contestants.items():
                began = time.monotonic()
                value = measure()
                values[name].append(value)
                self.figures.append(Figure(race.name, name, number, value, race.unit))
                took = time.monotonic() - began
                self.tell(f"{race.name}, round {number}: {name} {_short(value)} {race.unit} ({took:.0f} s)")
        for ratio in race.ratios:
            ratios = [of / by for of, by in zip(values[ratio.of], values[ratio.by], strict=True)]
            self._found(Finding(self.chapter, ratio.name, Spread.of(ratios), ratio.target))

    def fact(self, name: str, values: Sequence[float], unit: str, target: Target | None = None) -> None:
        """Keeps a figure that has no contestant: a count, bytes, seconds."""
        for number, value in enumerate(values, start=1):
            self.figures.append(Figure(name, "ours", number, value, unit))
        self._found(Finding(self.chapter, name, Spread.of(values), target or Target(), unit))

    def write_csv(self, file: Path) -> None:
        """Every figure of every round."""
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("race", "contestant", "round", "value", "unit"))
            writer.writerows((one.race, one.contestant, one.round, one.value, one.unit) for one in self.figures)

    def _found(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.tell(finding.line)


def _short(value: float) -> str:
    """Three digits that mean something, and no more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
