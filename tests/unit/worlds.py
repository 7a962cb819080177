"""Made-up pipelines with a history, for properties, and a model of the values in their rows.

A phase's value on a date is a number made from its upstream values over the lookback window,
so a row that is computed too early, or not computed again, shows as a wrong number.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from planner.gaps.gaps import Assessment
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.choose import Repair
from sql.warehouse import Cell
from tests.unit import examples as eg

DAYS = 18
SCOPE = eg.window(0, DAYS - 1)
FEW, MANY = 5, 100  # examples of a costly property: in `make test`, and elsewhere at least

bounded = settings()
"""Of the profile: see `tests/conftest.py`."""
costly = bounded if bounded.max_examples >= MANY else settings(max_examples=FEW)
"""As `bounded`, and fewer in `make test`: to make a world and judge it is what costs."""

Values = dict[tuple[str, date], int]
"""Phase and date → what its rows say; absent where they are not complete."""
Cells = Collection[tuple[str, date]]


@dataclass(frozen=True, kw_only=True)
class World:
    """A pipeline, its complete coverage, and the phases and dates that are due."""

    pipeline: Pipeline
    whole: eg.Cover = field(repr=False)
    sound: Assessment = field(repr=False)
    """How `whole` is judged, with room around it for every lookback window."""

    @property
    def due(self) -> list[tuple[str, date]]:
        """Every phase and date that can be repaired, in phase order."""
        return [
            (phase.name, day)
            for phase in self.pipeline.phases
            if not phase.is_source
            for day in sorted(self.sound.complete[phase.name])
        ]

    def coverage(self) -> eg.Cover:
        """A copy of the complete coverage, to break."""
        return {table: dict(cells) for table, cells in self.whole.items()}

    def judge(self, coverage: eg.Cover) -> Assessment:
        """How this coverage stands on every day that matters."""
        return eg.assessed(self.pipeline, coverage, self.sound.window)

    def complete(self, coverage: eg.Cover, name: str, day: date) -> None:
        """Do what a good runner does."""
        for spec in self.pipeline.by_name[name].tables:
            coverage[spec.name][day] = self.whole[spec.name][day]

    def remove(self, coverage: eg.Cover, name: str, day: date) -> None:
        """Lose a date of a phase."""
        for spec in self.pipeline.by_name[name].tables:
            coverage[spec.name].pop(day, None)

    # -- the values --------------------------------------------------------------------------

    def windows(self, name: str, day: date) -> list[tuple[str, date]]:
        """What a date is computed from. Says again, on purpose, what `planner.plan.choose` says."""
        phase = self.pipeline.by_name[name]
        if phase.every == "month" and not phase.reads and not phase.lookback_days:
            return [(up, on) for up in phase.after for on in month_of(day)]
        week = (0, 6) if phase.dated == "first" else (-6, 0)
        first, last = (phase.reads.from_, phase.reads.to) if phase.reads else (0, 0)
        first = first if phase.reads else -phase.lookback_days
        if phase.every == "week" and not phase.reads and not phase.lookback_days:
            first, last = week
        past = [date.fromordinal(day.toordinal() + n) for n in range(first, last + 1)]
        return [(upstream, each) for upstream in phase.after for each in past]

    def compute(self, values: Values, name: str, day: date) -> int:
        """What a runner writes now, from whatever is there."""
        number = list(self.pipeline.by_name).index(name)
        upstream = (values.get(pair, 0) for pair in self.windows(name, day))
        return hash((number, day.toordinal(), *upstream))

    def rebuilt(self) -> Values:
        """Every value, built in one piece."""
        values: Values = {
            (phase.name, day): hash((phase.name == "raw", day.toordinal()))
            for phase in self.pipeline.phases
            if phase.is_source
            for day in self.sound.complete[phase.name]
        }
        for pair in self.due:
            values[pair] = self.compute(values, *pair)
        return values

    def tainted(self, seeds: Cells) -> set[tuple[str, date]]:
        """Phases and dates that are computed from one of `seeds`, or from one that is."""
        found = set(seeds)
        for pair in self.due:
            if found.intersection(self.windows(*pair)):
                found.add(pair)
        return found

    # -- a run -------------------------------------------------------------------------------

    def execute(
        self, repair: Repair, coverage: eg.Cover, values: Values, chance: random.Random
    ) -> None:
        """Do what a repair takes, in any order that its phases and windows allow.

        Fails when a date is taken whose window is neither complete nor taken.
        """
        todo = {(name, day) for name, taken in repair.todo.items() for day in taken}
        ready_before = self.judge(coverage)
        for name, day in todo:
            for upstream, past in self.windows(name, day):
                short = past in ready_before.gaps[upstream]
                assert not short or (upstream, past) in todo, (name, day, upstream, past)
        while todo:
            ready = [pair for pair in todo if not todo.intersection(self.windows(*pair))]
            assert ready, "dates wait for each other"
            pair = chance.choice(sorted(ready))
            values[pair] = self.compute(values, *pair)
            self.complete(coverage, *pair)
            todo.remove(pair)


def month_of(day: date) -> list[date]:
    """Every day of its month."""
    near = [date.fromordinal(day.toordinal() + n) for n in range(-31, 32)]
    return [on for on in near if (on.year, on.month) == (day.year, day.month)]


grains = st.sampled_from(
    [
        *[{}] * 5,
        {"every": "week"},
        {"every": "week", "dated": "last"},
        {"every": "week", "on": "thursday"},
        {"every": "month"},
    ]
)
"""How often a phase is due, as the file says it."""

windows_read = st.one_of(
    st.just({}),
    st.builds(lambda n: {"lookback_days": n}, st.integers(0, 4)),
    st.builds(
        lambda back, ahead: {"reads": {"from": -back, "to": ahead}},
        st.integers(0, 3),
        st.integers(0, 3),
    ),
)
"""Which days around a date a phase reads, as the file says it."""


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """One or two sources, and up to four phases after any of those before them."""
    phases: list[dict[str, Any]] = [eg.phase("raw")]
    if draw(st.booleans()):
        phases.append(eg.phase("prices"))
    for n in range(draw(st.sampled_from([3, 1, 2, 4]))):
        before = [each["name"] for each in phases]
        after = draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True))
        tables = [eg.table(f"p{n}")]
        if draw(st.booleans()):
            tables.append(eg.table(f"p{n}_items", entities={"item": "item_id"}))
        phases.append(
            eg.phase(
                f"p{n}",
                *after,
                tables=tables,
                **draw(windows_read),
                **draw(grains),
                skips_bootstrap=draw(st.booleans()),
            )
        )
    split = draw(st.integers(1, DAYS - 1))
    seasons = [
        eg.season("one", eg.day(-60), eg.day(split - 1)),
        eg.season("two", eg.day(split), eg.day(DAYS + 60)),
    ]
    exclude = [
        {"start": eg.day(n), "end": eg.day(n), "reason": "stocktaking"}
        for n in draw(st.lists(st.integers(0, DAYS - 1), max_size=2))
    ]
    return eg.pipeline(
        *phases, seasons=seasons, exclude=exclude, bootstrap_days=draw(st.integers(0, 4))
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A pipeline whose tables are complete, whatever the sources hold."""
    pipeline = draw(pipelines())
    coverage: eg.Cover = {spec.name: {} for each in pipeline.phases for spec in each.tables}
    for number, phase in enumerate(pipeline.phases):
        if phase.is_source:
            off = draw(st.lists(st.integers(0, DAYS - 1), max_size=5))
            coverage[phase.tables[0].name] = {
                eg.day(n): eg.cell(2 + n % 3 + number, 4 + n % 5)
                for n in range(DAYS)
                if n not in off
            }
    room = pipeline.lookback_total
    reach = Window(start=SCOPE.start - 2 * room, end=SCOPE.end + 2 * room)
    for phase in pipeline.phases:
        if not phase.is_source:
            for day, due in eg.assessed(pipeline, coverage, reach).expected[phase.name].items():
                eg.repair_cells(coverage, phase, day, due)
    return World(pipeline=pipeline, whole=coverage, sound=eg.assessed(pipeline, coverage, reach))


def some(world: World) -> st.SearchStrategy[list[tuple[str, date]]]:
    """Some phases and dates: days in a row, as when a phase stopped for a while."""
    names, length = phases_of(world.pipeline), st.integers(0, 4)
    stops = st.tuples(st.sampled_from(names), st.integers(0, DAYS - 1), length)
    due = set(world.due)

    def cells(stopped: list[tuple[str, int, int]]) -> list[tuple[str, date]]:
        found = [(name, day) for name, n, more in stopped for day in eg.days(n, n + more)]
        return [pair for pair in dict.fromkeys(found) if pair in due]

    return st.lists(stops, min_size=1, max_size=6).map(cells)


def scopes() -> st.SearchStrategy[Window]:
    """Part of the days, or all of them."""
    ends = st.tuples(st.integers(0, DAYS - 1), st.integers(0, DAYS - 1)).map(sorted)
    return st.one_of(st.just(SCOPE), ends.map(lambda both: eg.window(*both)))


def damage(draw: st.DrawFn, world: World, coverage: eg.Cover) -> list[tuple[str, date]]:
    """Break some dates: all of one, one table of it, or some of its entities."""
    broken = []
    for name, day in draw(some(world)):
        phase = world.pipeline.by_name[name]
        match draw(st.sampled_from(["gone", "one table", "fewer"])):
            case "gone":
                world.remove(coverage, name, day)
            case "one table":
                del coverage[phase.tables[-1].name][day]
            case _:
                was = coverage[phase.tables[0].name][day]
                less = {entity: count - 1 for entity, count in was.entities.items()}
                coverage[phase.tables[0].name][day] = Cell(rows=was.rows, entities=less)
        broken.append((name, day))
    return broken


@st.composite
def broken_worlds(draw: st.DrawFn) -> tuple[World, eg.Cover, list[tuple[str, date]]]:
    """A world, its coverage with some dates short, and which ones."""
    world = draw(worlds())
    coverage = world.coverage()
    return world, coverage, damage(draw, world, coverage)


def phases_of(pipeline: Pipeline) -> list[str]:
    """Those that can be run."""
    return [phase.name for phase in pipeline.phases if not phase.is_source]


def some_phases(pipeline: Pipeline) -> st.SearchStrategy[list[str]]:
    names = phases_of(pipeline)
    return st.one_of(st.just(names), st.lists(st.sampled_from(names), min_size=1, unique=True))


def cells_of(dates: Mapping[str, Collection[date]]) -> set[tuple[str, date]]:
    """Phase → dates as pairs."""
    return {(name, day) for name, held in dates.items() for day in held}
