"""A row of docs/performance.md: what was measured here, its limit or peer, and its mark."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.settings import Settings

BEGAN = time.monotonic()


@dataclass(frozen=True, kw_only=True)
class World:
    """What a benchmark is given: a Redis of its own, and a folder that is empty."""

    settings: Settings
    place: Path

    def folder(self, name: str) -> Path:
        """A new one."""
        path = self.place / name
        path.mkdir(parents=True)
        return path


@dataclass(frozen=True)
class Figures:
    """What each round showed."""

    values: Sequence[float]
    unit: str = "ms"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        low, high = short(min(self.values)), short(max(self.values))
        spread = f" ({low} to {high})" if low != high else ""
        return f"{short(self.median)} {self.unit}".rstrip() + spread

    def over(self, peer: Figures) -> float:
        """How many times the peer's median."""
        return self.median / peer.median


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table."""

    question: str
    here: str
    beside: str = ""
    """Its limit or peer, measured in the same run."""
    mark: str = ""
    met: str = ""
    """Whether the mark is met, or by how much it is missed."""

    @property
    def cells(self) -> list[str]:
        return [self.question, self.here, self.beside, self.mark, self.met]


def beside(
    question: str, here: Figures, peer: Figures, *, of: str, most: float | None = None
) -> Row:
    """Both sides of a question; `most`: how many times the peer it may be."""
    times = here.over(peer)
    return Row(
        question=question,
        here=str(here),
        beside=f"{of} {peer}: {short(times)} ×",
        mark="" if most is None else f"≤ {most:g} ×",
        met="" if most is None else at_most(times, most),
    )


def limited(question: str, here: Figures, *, most: float, beside: str = "") -> Row:
    """A figure that has a limit in its own unit."""
    mark = f"≤ {most:,g} {here.unit}".rstrip()
    return Row(
        question=question, here=str(here), beside=beside, mark=mark, met=at_most(here.median, most)
    )


def at_most(value: float, mark: float) -> str:
    """The verdict on what is to be small."""
    return "met" if value <= mark else f"missed: {short(value / mark)} times the mark"


def at_least(value: float, mark: float) -> str:
    """The verdict on what is to be large."""
    return "met" if value >= mark else f"missed: {short(value / mark)} of the mark"


def short(value: float) -> str:
    """Three digits of a number are as many as a busy machine can tell."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def say(text: str) -> None:
    """Progress, with the seconds since the beginning."""
    print(f"{time.monotonic() - BEGAN:6.0f} s  {text}", flush=True)
