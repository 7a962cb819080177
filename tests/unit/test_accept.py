"""Accepted losses, and what is not due in single phases and tables."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from planner.console.accepted import (
    accept_blocks,
    accepted_json,
    accepted_lines,
    needless_lines,
)
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.gaps.matrix import matrix
from planner.gaps.snapshot import snapshot
from planner.gaps.stale import with_stale
from planner.pipeline.accept import active
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Picked
from planner.plan.choose import Repair, choose
from planner.report.history import open_gaps
from tests.unit import examples as eg
from tests.unit.examples import day, days, window

SCOPE = window(0, 6)
WHY = "the archive is gone"


def loss(phase: str, dates: Any, **options: Any) -> dict[str, Any]:
    return {"phase": phase, "dates": dates, "reason": WHY, **options}


def accepting(*accept: dict[str, Any], **options: Any) -> Pipeline:
    """raw → clean → report, where a report looks two days back."""
    return eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw"),
        eg.phase("report", "clean", lookback_days=2),
        accept=list(accept),
        **options,
    )


def planned(of: Pipeline, assessment: Assessment) -> Repair:
    return choose(of, assessment, scope=SCOPE, phases=["clean", "report"])


def why(assessment: Assessment, phase: str) -> dict[date, SkipReason]:
    held = assessment.empty[phase].items()
    return {on: left.reason for on, left in held if left.reason is not SkipReason.OFF_DAY}


# -- accepted losses -------------------------------------------------------------------------


def test_what_stands_behind_an_accepted_loss_goes_on() -> None:
    """One date that cannot be repaired held up every report that looks back on it."""
    found = {}
    for name, of in (("open", accepting()), ("accepted", accepting(loss("clean", "2024-01-03")))):
        cover = eg.covered(of, days(0, 6))
        cover["shop.clean"][day(2)] = eg.cell(2)
        eg.empty(cover, "report", day(3), day(4))
        found[name] = choose(of, eg.judge(of, cover, SCOPE), scope=SCOPE, phases=["report"]).todo

    assert found == {"open": {}, "accepted": {"report": found["accepted"]["report"]}}
    assert set(found["accepted"]["report"]) == {day(3), day(4)}


def test_an_accepted_loss_is_complete_with_a_mark() -> None:
    of = accepting(loss("clean", "2024-01-03", until=date(2030, 1, 1)))
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = eg.cell(1)
    cover["shop.report"][day(2)] = eg.cell(1)

    assessment = eg.judge(of, cover, SCOPE)

    assert not any(assessment.gaps.values())
    assert day(2) in assessment.complete["clean"]
    (marked,) = assessment.accepted["clean"].values()
    assert (marked.gap.reason, marked.gap.expected, marked.gap.found) == ("partial", 4, 1)
    assert list(accepted_lines(assessment, SCOPE)) == [
        f"accepted: clean: 1 2024-01-03: {WHY}, until 2030-01-01"
    ]
    (shown,) = accepted_json(assessment, SCOPE)
    assert (shown["phase"], shown["date"], shown["why"]) == ("clean", day(2), WHY)
    count = matrix(of, assessment, SCOPE)["2024"]["clean"]
    assert (count.expected, count.complete, count.accepted) == (7, 7, 1)
    taken = snapshot(of, assessment, SCOPE, {})
    assert list(taken.days("clean", SkipReason.ACCEPTED)) == [day(2)]
    assert taken.accepted() == 1
    (row,) = open_gaps(assessment, {}, SCOPE)
    assert (row.phase, row.date, row.status) == ("clean", day(2), "accepted")


def test_below_an_accepted_loss_only_what_can_be_there_is_due() -> None:
    of = accepting(loss("clean", "2024-01-03"))
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = eg.cell(1)
    eg.empty(cover, "report", day(2))

    gap = eg.judge(of, cover, SCOPE).gaps["report"][day(2)]

    assert (gap.reason, gap.expected, gap.found) == (GapReason.MISSING, 1, 0)
    assert gap.findings[0].ids == ("order-0",)


def test_below_a_date_that_is_lost_as_a_whole_nothing_is_due() -> None:
    of = accepting(loss("clean", "2024-01-03"))
    cover = eg.covered(of, days(0, 6))
    eg.empty(cover, "clean", day(2))
    eg.empty(cover, "report", day(2), day(3))

    assessment = eg.judge(of, cover, SCOPE)

    assert why(assessment, "report") == {day(2): SkipReason.ACCEPTED}
    assert {name: set(todo) for name, todo in planned(of, assessment).todo.items()} == {
        "report": {day(3)}
    }


def test_ids_accept_no_others() -> None:
    of = accepting(loss("clean", "2024-01-03", ids=["order-3", "item-3", "order-9"]))
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = eg.cell(3)
    cover["shop.report"][day(2)] = eg.cell(3)
    assert not any(eg.judge(of, cover, SCOPE).gaps.values())

    cover["shop.clean"][day(2)] = eg.cell(2)
    assessment = eg.judge(of, cover, SCOPE)

    assert not assessment.accepted
    finding = assessment.gaps["clean"][day(2)].findings[0]
    assert (finding.ids, finding.expected, finding.found) == (("order-2",), 3, 2)


def test_ids_accept_a_date_without_rows_only_where_they_are_all_of_it() -> None:
    every = [f"{entity}-{n}" for entity in ("order", "item") for n in range(4)]
    for ids, expected in ((every, set()), (every[:3], {day(2)})):
        of = accepting(loss("clean", "2024-01-03", ids=ids))
        cover = eg.covered(of, days(0, 6))
        eg.empty(cover, "clean", day(2))

        assert set(eg.judge(of, cover, SCOPE).gaps["clean"]) == expected


def test_a_source_may_have_lost_rows_for_good_too() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("prices", tables=[eg.table("prices", against=[])]),
        eg.phase("report", "raw", "prices"),
        accept=[loss("report", "2024-01-03")],
    )
    cover = eg.covered(of, days(0, 6))
    eg.empty(cover, "report", day(2), day(3))

    assessment = eg.judge(of, cover, SCOPE)

    assert set(assessment.gaps["report"]) == {day(3)}


@pytest.mark.parametrize(
    ("held", "reason"), [(None, GapReason.MISSING), (2, GapReason.PARTIAL)], ids=str
)
def test_what_a_source_lost_of_what_is_expected_keeps_nothing_waiting(
    held: int | None, reason: GapReason
) -> None:
    # Given a source that lost rows of a date that nothing can load again
    found = {}
    for name, accept in (("open", []), ("accepted", [loss("raw", "2024-01-03")])):
        of = eg.pipeline(
            eg.phase("raw", expects={"days": "daily", "entities": {"order": 4}}),
            eg.phase("clean", "raw"),
            eg.phase("report", "clean", lookback_days=2),
            accept=accept,
        )
        cover = eg.covered(of, days(-2, 8))
        for table in ("shop.raw", "shop.clean", "shop.report"):
            del cover[table][day(2)]
            if held:
                cover[table][day(2)] = eg.cell(held)
        eg.empty(cover, "report", day(3))
        found[name] = eg.judge(of, cover, SCOPE)
        taken = planned(of, found[name]).todo

    # Then it is a gap, and what looks back on it waits; accepted it is none, and that goes on
    assert found["open"].gaps["raw"][day(2)].reason is reason
    assert not found["accepted"].gaps["raw"]
    assert found["accepted"].accepted["raw"][day(2)].gap.reason is reason
    assert {name: set(dates) for name, dates in taken.items()} == {"report": {day(3)}}


def test_dates_written_anew_are_none_that_the_file_accepts() -> None:
    of = accepting(loss("clean", "2024-01-03"))
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = eg.cell(2)
    cover["shop.report"][day(2)] = eg.cell(2)

    found = choose(
        of,
        eg.judge(of, cover, SCOPE),
        scope=SCOPE,
        phases=["clean", "report"],
        redo=["clean"],
        cascade=False,
    )

    assert set(found.todo["clean"]) == {*days(0, 6)} - {day(2)}


def test_a_flaw_is_no_loss() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw", tables=[eg.table("clean", key=["order_id"])]),
        accept=[loss("clean", "2024-01-03")],
    )
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = replace(eg.cell(2), rows=5, duplicates=1)

    assessment = eg.judge(of, cover, SCOPE)

    assert assessment.gaps["clean"][day(2)].reason is GapReason.DUPLICATE
    assert day(2) in assessment.accepted["clean"]
    assert day(2) not in assessment.complete["clean"]


def test_an_accepted_date_is_not_run_by_a_cascade_or_a_debt() -> None:
    of = accepting(loss("report", "2024-01-04"))
    cover = eg.covered(of, days(0, 6))
    eg.empty(cover, "clean", day(2))
    cover["shop.report"][day(3)] = eg.cell(1)

    found = choose(
        of,
        eg.judge(of, cover, SCOPE),
        scope=SCOPE,
        phases=["clean", "report"],
        owed={"report": {day(3)}},
    )

    assert set(found.todo["report"]) == {day(2), day(4)}
    assert not found.owed


def test_an_accepted_date_is_not_stale() -> None:
    of = accepting(loss("clean", "2024-01-03"))
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = eg.cell(1)
    written = datetime(2024, 2, 1, tzinfo=UTC)
    modified = {
        "shop.raw": {day(2): written + timedelta(hours=1), day(4): written + timedelta(hours=1)},
        "shop.clean": dict.fromkeys(days(0, 6), written),
    }

    found = with_stale(of, eg.judge(of, cover, SCOPE), modified)

    assert found.stale["clean"] == {day(4)}


def test_a_block_that_accepts_what_is_there_is_named() -> None:
    of = accepting(loss("report", "2024-01-05"), loss("clean", "2023-12-20..2024-01-04"))
    cover = eg.covered(of, days(0, 6))
    cover["shop.clean"][day(2)] = eg.cell(1)
    eg.empty(cover, "report", day(4))

    judged = eg.judge(of, cover, SCOPE)
    lines = list(needless_lines(of, judged, SCOPE))
    listed = list(needless_lines(of, judged, Picked.of([day(0), day(3)])))

    assert lines == [
        "accept[2]: clean lacks nothing on 2024-01-01..2024-01-02, 2024-01-04: take them out"
    ]
    assert listed == ["accept[2]: clean lacks nothing on 2024-01-01, 2024-01-04: take them out"], (
        "of a list of dates, those alone"
    )


def test_until_ends_it() -> None:
    accepts = accepting(
        loss("clean", "2024-01-03", until=date(2024, 6, 30)), loss("clean", "2024-01-04")
    ).accept

    assert len(active(accepts, date(2024, 6, 30))) == 2
    assert [each.until for each in active(accepts, date(2024, 7, 1))] == [None]


@pytest.mark.parametrize("lost", [2, 0], ids=["partial", "missing"])
def test_the_printed_block_accepts_what_is_there_and_what_follows_from_it(lost: int) -> None:
    store = {"name": "shop.clean", "date": "day", "entities": {"order": "order_id"}}
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw", tables=[store]),
        eg.phase("report", "clean", tables=[{**store, "name": "shop.report"}]),
    )
    cover = eg.covered(of, days(0, 6))
    for on in days(2, 4):
        for table in ("shop.clean", "shop.report"):
            cover[table][on] = eg.cell(lost)
            if not lost:
                del cover[table][on]
    assessment = eg.judge(of, cover, SCOPE)
    gaps = [gap for found in assessment.gaps.values() for gap in found.values()]
    assert len(gaps) == 6

    block = accept_blocks(of, gaps)

    assert block.count("[[accept]]") == 1
    assert 'dates = "2024-01-03..2024-01-05"' in block
    assert ("ids = [" in block) == bool(lost)
    accepted = Pipeline.model_validate(
        {**of.model_dump(exclude={"accept"}, mode="python"), **tomllib.loads(block)}
    )
    assert not any(eg.judge(accepted, cover, SCOPE).gaps.values())


@pytest.mark.parametrize(
    ("accept", "says"),
    [
        (loss("cleen", "2024-01-03"), "did you mean 'clean'"),
        (loss("clean", "2024-01-xx"), "'2024-01-xx' is no date"),
        (loss("clean", "2024-01-05..2024-01-03"), "is reversed"),
        (loss("clean", []), "at least 1"),
        (loss("raw", "2024-01-03", ids=["order-1"]), "no table of 'raw' is compared by ids"),
    ],
)
def test_a_block_that_means_nothing_is_refused(accept: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        accepting(accept)


# -- not due in a phase, or in a table --------------------------------------------------------


def test_a_phase_is_excluded_with_what_is_computed_from_it() -> None:
    part = {"start": day(2), "end": day(3), "phases": ["clean"], "reason": "halted"}
    of = accepting(exclude=[part])
    cover = eg.covered(of, days(0, 6))
    for table in ("clean", "report"):
        eg.empty(cover, table, *days(2, 3))
    eg.empty(cover, "report", day(4))

    assessment = eg.judge(of, cover, SCOPE)

    assert why(assessment, "raw") == {}
    for name in ("clean", "report"):
        assert why(assessment, name) == dict.fromkeys(days(2, 3), SkipReason.EXCLUDED)
    assert set(planned(of, assessment).todo["report"]) == {day(4)}


def test_the_other_tables_of_an_excluded_one_are_due() -> None:
    part = {"start": day(2), "end": day(2), "tables": ["shop.extra"], "reason": "halted"}
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw", tables=[eg.table("clean"), eg.table("extra")]),
        exclude=[part],
    )
    cover = eg.covered(of, days(0, 6))
    eg.empty(cover, "extra", day(2), day(3))
    assert set(eg.judge(of, cover, SCOPE).gaps["clean"]) == {day(3)}

    eg.empty(cover, "clean", day(2))
    gap = eg.judge(of, cover, SCOPE).gaps["clean"][day(2)]
    assert (gap.reason, gap.tables) == (GapReason.MISSING, ("shop.clean",))


def test_days_that_a_table_lists_are_excluded_and_unread_ones_are_an_error() -> None:
    part = {"from": {"table": "shop.holidays", "date": "day"}, "end": day(4), "reason": "closed"}
    of = accepting(exclude=[part])
    cover = eg.covered(of, days(0, 6))
    evidence = eg.shown(of, cover, SCOPE)

    listed = replace(evidence, excluded={0: frozenset({day(1), day(5)})})

    assert why(assess(of, listed, SCOPE), "clean") == {day(1): SkipReason.EXCLUDED}
    with pytest.raises(KeyError):
        assess(of, evidence, SCOPE)


def test_the_first_days_are_empty_per_phase_and_per_table() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("usual", "raw", skips_bootstrap=True),
        eg.phase("own", "raw", bootstrap_days=4),
        eg.phase("mixed", "raw", tables=[eg.table("mixed"), eg.table("rolling", bootstrap_days=3)]),
        eg.phase("none", "raw", skips_bootstrap=True, bootstrap_days=0),
        bootstrap_days=2,
    )
    cover = {"shop.raw": dict.fromkeys(days(0, 6), eg.cell(4))}
    cover |= {spec.name: {} for spec in of.tables if spec.name != "shop.raw"}

    assessment = eg.judge(of, cover, SCOPE)

    empty = {name: len(why(assessment, name)) for name in of.by_name}
    assert empty == {"raw": 0, "usual": 2, "own": 4, "mixed": 0, "none": 0}
    tables = [assessment.gaps["mixed"][day(n)].tables for n in (2, 3)]
    assert tables == [("shop.mixed",), ("shop.mixed", "shop.rolling")]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"reason": "x"}, "say which days"),
        ({"start": day(0), "end": day(1), "phases": ["cleen"], "reason": "x"}, "'clean'"),
        ({"start": day(0), "end": day(1), "tables": ["shop.cleen"], "reason": "x"}, "shop.clean"),
        ({"start": day(1), "end": day(0), "reason": "x"}, "before it starts"),
    ],
)
def test_an_exclusion_that_means_nothing_is_refused(part: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        accepting(exclude=[part])


def test_a_source_has_no_first_days() -> None:
    with pytest.raises(ValidationError, match="source"):
        eg.pipeline(eg.phase("raw", bootstrap_days=3), eg.phase("clean", "raw"))
