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

from planner.gaps import assess as assess_module
from planner.gaps.assess import assess
from planner.gaps.counted import tables_to_judge
from planner.gaps.evidence import Evidence
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.gaps.kinds import Kinds
from planner.pipeline.closing import Closing
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql.warehouse import Cell
from tests.unit import examples as eg
from tests.unit.worlds import bounded

DAYS = 24
SCOPE = eg.window(0, DAYS - 1)


@st.composite
def tables(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A table with what a pipeline file may ask of its rows."""
    return eg.table(
        name,
        key=draw(st.sampled_from([[], [], ["order_id"]])),
        filled=draw(st.sampled_from([{}, {}, {"price": 0.5}])),
        audits=draw(st.sampled_from([[], [], ["odd.sql"]])),
        allow_surplus=draw(st.booleans()),
        entities=draw(
            st.sampled_from([{"order": "order_id", "item": "item_id"}, {"order": "order_id"}])
        ),
    )


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """One or two sources and up to three phases of days, with everything that speaks of dates."""
    phases = [eg.phase("raw")]
    if draw(st.booleans()):
        phases.append(eg.phase("prices"))
    for n in range(draw(st.integers(1, 3))):
        before = [each["name"] for each in phases]
        after = draw(st.lists(st.sampled_from(before), min_size=1, max_size=2, unique=True))
        held = [draw(tables(f"p{n}"))]
        if draw(st.booleans()):
            held.append(draw(tables(f"p{n}_more")))
        early = draw(st.sampled_from([{}, {}, {"bootstrap_days": 3}, {"skips_bootstrap": True}]))
        weekly = draw(st.sampled_from([{}] * 4 + [{"every": "week"}]))
        phases.append(eg.phase(f"p{n}", *after, tables=held, **early, **weekly))
    days, names = st.integers(0, DAYS - 1), [each["name"] for each in phases]
    return eg.pipeline(
        *phases,
        bootstrap_days=draw(st.sampled_from([0, 0, 2])),
        exclude=[
            {"start": eg.day(n), "end": eg.day(n), "reason": "stocktaking"}
            for n in draw(st.lists(days, max_size=2))
        ],
        accept=[
            {"phase": name, "dates": [str(eg.day(n))], "reason": "lost"}
            for name, n in draw(st.lists(st.tuples(st.sampled_from(names), days), max_size=2))
        ],
    )


cells = st.one_of(
    st.none(),
    st.builds(
        lambda orders, items, more, duplicates, filled: Cell(
            rows=max(orders, items) + more,
            entities={"order": orders, "item": items},
            duplicates=duplicates,
            filled={"price": filled},
        ),
        st.integers(0, 2),
        st.integers(0, 2),
        st.integers(0, 3),
        st.sampled_from([0, 0, 1, 2]),
        st.integers(0, 2),
    ),
)


@st.composite
def shown(draw: st.DrawFn) -> tuple[Pipeline, Evidence, Closing | None]:
    """What a warehouse showed of such a pipeline: days that look alike, and some that do not."""
    of = draw(pipelines())
    specs = {spec.name: spec for phase in of.phases for spec in phase.tables}
    usual = {name: draw(cells) for name in specs}
    sources = {spec.name for phase in of.phases if phase.is_source for spec in phase.tables}
    off = draw(st.lists(st.integers(0, DAYS - 1), max_size=6))
    cover: eg.Cover = {name: {} for name in specs}
    for name, spec in specs.items():
        held = draw(st.dictionaries(st.integers(0, DAYS - 1), cells, max_size=8))
        held |= dict.fromkeys(off) if name in sources else {}
        begin = draw(st.sampled_from([0, 0, 0, 5]))
        for n in range(begin, DAYS):
            found = held.get(n, usual[name])
            if found is not None:
                entities = {each: found.entities[each] for each in spec.entities}
                is_asked = {"price": found.filled["price"]} if spec.filled else {}
                duplicates = found.duplicates if spec.key else 0
                cover[name][eg.day(n)] = replace(
                    found, entities=entities, filled=is_asked, duplicates=duplicates
                )
    wrong = draw(st.lists(st.integers(0, DAYS - 1), max_size=2))
    evidence = replace(
        eg.shown(of, cover, SCOPE),
        audited={
            name: {audit: frozenset(map(eg.day, wrong)) for audit in spec.audits}
            for name, spec in specs.items()
        },
        bare=frozenset(draw(st.sampled_from([(), (), ("raw",)]))),
    )
    now = draw(st.sampled_from([None, 10, DAYS + 5]))
    return of, evidence, None if now is None else eg.closing(of, eg.day(now))


def each_by_itself(of: Pipeline, evidence: Evidence, closing: Closing | None) -> Assessment:
    with patch.object(Kinds, "of", lambda kinds, day: None):
        return assess(of, evidence, SCOPE, closing=closing)


@bounded
@given(shown())
def test_dates_of_a_kind_stand_as_each_would_by_itself(
    world: tuple[Pipeline, Evidence, Closing | None],
) -> None:
    of, evidence, closing = world

    assert assess(of, evidence, SCOPE, closing=closing) == each_by_itself(of, evidence, closing)


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
