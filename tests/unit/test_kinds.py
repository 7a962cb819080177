"""Dates of a kind are judged once: whatever a world holds, as each would be judged by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.evidence.evidence import Evidence
from planner.evidence.expectations import listings
from planner.evidence.tables import tables_to_judge
from planner.gaps import assess as assess_module
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.gaps.kinds import Kinds
from planner.pipeline.closing import Closing
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window
from sql.warehouse import Cell
from tests.unit import examples as eg
from tests.unit.worlds import bounded

DAYS = 24
SCOPE = eg.window(0, DAYS - 1)
BOTH = {"order": "order_id", "item": "item_id"}
USUAL = replace(eg.cell(3), rows=4, filled={"price": 4})
HOW = ("gone", "rows", "duplicates", "filled", "order", "item")
EXPECTS: list[dict[str, Any] | None] = [
    {"days": ["wed"]},
    {"days": {"table": "shop.plan", "date": "day"}},
    {"days": "daily", "late_after": "12h"},
    {"entities": {"order": 3}},
]

numbers = st.integers(0, DAYS - 1)
World = tuple[Pipeline, Evidence, list[str], Closing | None]
"""What a warehouse showed of a pipeline, the phases that are judged by it, and the clock."""


@st.composite
def tables(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A table with what a pipeline file may ask of its rows."""
    return eg.table(
        name,
        key=draw(st.sampled_from([[], ["order_id"]])),
        filled=draw(st.sampled_from([{}, {"price": 0.9}])),
        audits=draw(st.sampled_from([[], [], ["odd.sql"]])),
        allow_surplus=draw(st.booleans()),
        entities=draw(st.sampled_from([BOTH, BOTH, {"order": "order_id"}, {}])),
    )


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """One or two sources and up to three phases, with everything that speaks of dates."""
    is_weekly = draw(st.sampled_from([False] * 5 + [True]))
    expects: dict[str, Any] | None = draw(st.sampled_from([None] * 12 + EXPECTS))
    phases = [eg.phase("raw", expects=expects)]
    if draw(st.booleans()):
        phases.append(eg.phase("prices"))
    for n in range(draw(st.integers(1, 3))):
        before = [each["name"] for each in phases]
        after = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        held = [draw(tables(f"p{n}"))]
        if draw(st.booleans()):
            held.append(draw(tables(f"p{n}_more")))
        early: dict[str, Any] = draw(
            st.sampled_from([{}, {}, {"bootstrap_days": 3}, {"skips_bootstrap": True}])
        )
        every = draw(st.sampled_from(["day", "week"])) if is_weekly else "day"
        phases.append(eg.phase(f"p{n}", *after, tables=held, every=every, **early))
    names = [each["name"] for each in phases]
    by_count = draw(st.booleans()) and not is_weekly
    return eg.pipeline(
        *phases,
        compare=dict.fromkeys(BOTH, "count") if by_count else {},
        bootstrap_days=draw(st.sampled_from([0, 0, 2])),
        exclude=[
            {"start": eg.day(n), "end": eg.day(n), "reason": "stocktaking"}
            for n in draw(st.lists(numbers, max_size=2))
        ],
        accept=[
            {"phase": name, "dates": [str(eg.day(n))], "reason": "lost"}
            for name, n in draw(st.lists(st.tuples(st.sampled_from(names), numbers), max_size=2))
        ],
    )


def changed(cell: Cell | None, how: str) -> Cell | None:
    """What a table holds, with one thing changed."""
    if cell is None or how == "gone":
        return None
    match how:
        case "rows":
            return replace(cell, rows=cell.rows + 1)
        case "duplicates":
            return replace(cell, duplicates=cell.duplicates + 1)
        case "filled":
            return replace(cell, filled={"price": cell.filled["price"] - 1})
    return replace(cell, entities={**cell.entities, how: cell.entities[how] - 1})


@st.composite
def shown(draw: st.DrawFn) -> World:
    """What a warehouse showed of such a pipeline: days that look alike, and some that differ in
    one thing or another."""
    of = draw(pipelines())
    specs = {spec.name: spec for phase in of.phases for spec in phase.tables}
    sources = [spec.name for phase in of.phases if phase.is_source for spec in phase.tables]
    cover: dict[str, dict[date, Cell | None]] = {
        name: dict.fromkeys(SCOPE.days(), draw(st.sampled_from([USUAL] * 9 + [None])))
        for name in specs
    }
    off = draw(st.lists(numbers, max_size=8))
    changes = [(name, n, "gone") for name in sources for n in off]
    computed = st.sampled_from([name for name in specs if name not in sources])
    changes += [(draw(computed), draw(numbers), how) for how in HOW * 2]
    changes += [(draw(computed), n, "rows") for n in off[:4]]
    for name, n, how in changes:
        cover[name][eg.day(n)] = changed(cover[name][eg.day(n)], how)
    asked = {
        name: {day: as_asked(spec, cell) for day, cell in cover[name].items() if cell is not None}
        for name, spec in specs.items()
    }
    wrong = draw(st.lists(numbers, max_size=2))
    whole = eg.shown(of, asked, SCOPE)
    judged = draw(st.sampled_from([[*of.by_name], [of.phases[-1].name]]))
    counted = {spec.name for spec in tables_to_judge(of, judged)}
    listed = {key: dict.fromkeys(map(eg.day, off), USUAL) for key in listings(of, whole.coverage)}
    evidence = replace(
        whole,
        coverage={name: cells for name, cells in whole.coverage.items() if name in counted},
        audited={
            name: {audit: frozenset(map(eg.day, wrong)) for audit in spec.audits}
            for name, spec in specs.items()
        },
        bare=frozenset(draw(st.sampled_from([(), (), ("raw",)]))),
        listed=listed,
    )
    now = draw(st.sampled_from([None, 10, DAYS - 3, DAYS + 5]))
    return of, evidence, judged, None if now is None else eg.closing(of, eg.day(now))


def as_asked(spec: TableSpec, cell: Cell) -> Cell:
    """A cell with what is counted of a table, and nothing else."""
    return replace(
        cell,
        entities={each: cell.entities[each] for each in spec.entities},
        filled=cell.filled if spec.filled else {},
        duplicates=cell.duplicates if spec.key else 0,
    )


@bounded
@given(shown())
def test_dates_of_a_kind_stand_as_each_would_by_itself(world: World) -> None:
    of, evidence, phases, closing = world

    found = assess(of, evidence, SCOPE, phases=phases, closing=closing)

    with patch.object(Kinds, "of", lambda kinds, day: None):
        assert found == assess(of, evidence, SCOPE, phases=phases, closing=closing)


def judged(of: Pipeline, evidence: Evidence, window: Window) -> tuple[Assessment, int]:
    """An assessment, and how many phases and dates were judged for it."""
    asked: list[date] = []
    stock: Callable[..., Any] = assess_module._Judge.verdict

    def count(judge: Any, phase: Any, day: date) -> Any:
        asked.append(day)
        return stock(judge, phase, day)

    with patch.object(assess_module._Judge, "verdict", count):
        return assess(of, evidence, window), len(asked)


@pytest.mark.parametrize("days", [50, 350])
def test_a_long_calendar_of_few_kinds_takes_few_judgements(days: int) -> None:
    of, window = eg.pipeline(), eg.window(0, days - 1)
    cover = eg.covered(of, window.days())
    for n in range(0, days, 5):
        eg.empty(cover, "clean", eg.day(n))
    for n in range(0, days, 7):
        for table in ("raw", "clean", "report"):
            cover[f"shop.{table}"].pop(eg.day(n), None)

    found, count = judged(of, eg.shown(of, cover, window), window)

    assert found.gaps["clean"].keys() == {eg.day(n) for n in range(days) if n % 5 == 0 and n % 7}
    assert all(day == gap.date for day, gap in found.gaps["clean"].items())
    assert all(left.reason is SkipReason.OFF_DAY for left in found.empty["raw"].values())
    assert {gap.reason for gap in found.gaps["clean"].values()} == {GapReason.MISSING}
    assert count == 3 * 3, "three phases, on a whole day, one without `clean`, and one off"


def test_a_source_that_is_not_counted_keeps_no_phase_from_being_judged() -> None:
    """A worker counts what its step reads alone."""
    of = eg.pipeline(
        eg.phase("raw"), eg.phase("prices"), eg.phase("clean", "raw"), eg.phase("offer", "prices")
    )
    counted = {spec.name for spec in tables_to_judge(of, ["clean"])}
    cover = eg.covered(of, SCOPE.days())
    eg.empty(cover, "clean", eg.day(3))
    whole = eg.shown(of, cover, SCOPE)
    evidence = replace(whole, coverage={name: whole.coverage[name] for name in counted})

    found = assess(of, evidence, SCOPE, phases=["clean"])

    assert found.gaps["clean"].keys() == {eg.day(3)}
    assert len(found.complete["clean"]) == DAYS - 1
