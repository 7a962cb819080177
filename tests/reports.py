"""A realistic report for the tests of what is made from it: seasons of games, holes, a fleet."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

from planner.gaps.gaps import GapReason
from planner.gaps.matrix import Matrix, matrix
from planner.gaps.snapshot import Snapshot, snapshot
from planner.pipeline.load import load_pipeline
from planner.pipeline.lookback import with_lookback
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import DAY, Window
from planner.plan.choose import choose
from planner.plan.chunks import chunk
from planner.plan.plan import Plan, make_plan, step_id
from planner.report.advice import retry_command
from planner.report.report import Failure, Report, Short, StepRow, Validation
from planner.validation.criterion_row import CriterionRow
from planner.validation.judge import judge
from sql.warehouse import Cell, Coverage
from tests.unit import examples as eg

STARTED = datetime(2026, 11, 23, 9, 30, tzinfo=UTC).timestamp()
SECONDS_PER_DATE = {"analytics": 20, "precompute": 45, "predictions": 25, "grading": 13}
FAILED = date(2022, 12, 11)
"""The analytics step of this date fails in `make_report(fails=True)`."""
PARTIAL = date(2024, 1, 17)
"""The recount of its predictions finds some, and not all."""

LOOKBACK = 30 * DAY
PIPELINE = load_pipeline("nba")

Tables = dict[str, dict[date, Cell]]


def make_report(
    *,
    seasons: int = 4,
    workers: int = 3,
    fails: bool = True,
    bare: int = 0,
    run_id: str = "run-20261123-k7xq3w",
    reason: str = "playoffs and grading before the season opens",
    error: str = "exit code 1: 413 Request Entity Too Large, with one date in the range",
) -> Report:
    """A run over `seasons` seasons whose playoffs stopped at raw, the last never graded.

    `bare` seasons follow in which no source holds anything.
    """
    plan = _planned(seasons, bare).plan
    bad = _bad_steps(plan) if fails else {}
    repaired = _repaired(seasons, bare, fails)
    rows = _rows(plan, bad, workers, error)
    return Report(
        run_id=run_id,
        plan_id=plan.plan_id,
        pipeline=PIPELINE.name,
        warehouse=plan.warehouse,
        entity=PIPELINE.entity,
        state="failed" if bad else "complete",
        reason=reason,
        scope=plan.scope,
        created=STARTED - 2,
        started=STARTED,
        ended=max(row.ended or 0.0 for row in rows) + 3,
        steps=rows,
        validation=Validation(
            passed=not repaired.short,
            checked=sum(len(step.dates) for _, step in plan.steps()),
            short=repaired.short,
            remaining=0,
        ),
        criteria=repaired.criteria,
        failures=_failures(plan, bad, run_id, error),
        left_alone=len(plan.skipped),
        before=plan.before,
        after=repaired.matrix,
        seasons=PIPELINE.seasons[: seasons + bare],
        days_before=plan.days_before,
        days_after=repaired.days,
    )


def make_plan_of(*, seasons: int) -> Plan:
    """The plan of such a run."""
    return _planned(seasons, 0).plan


# What takes seconds of counting is done once for all reports that differ in a text alone.


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The warehouse as it should be and as it is, and the plan for that."""

    whole: Tables
    broken: Tables
    window: Window
    plan: Plan


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """How the warehouse stands after a run of the plan."""

    short: tuple[Short, ...]
    criteria: tuple[CriterionRow, ...]
    matrix: Matrix
    days: Snapshot


@cache
def _planned(seasons: int, bare: int) -> Planned:
    pipeline = PIPELINE
    filled = Window(start=pipeline.seasons[0].start, end=pipeline.seasons[seasons - 1].end)
    scope = Window(start=filled.start, end=pipeline.seasons[seasons + bare - 1].end)
    whole = _whole(pipeline, filled)
    broken = _broken(pipeline, whole, seasons)
    health = eg.assessed(pipeline, broken, with_lookback(pipeline, scope))
    runnable = [phase.name for phase in pipeline.phases if not phase.is_source]
    repair = choose(pipeline, health, scope=scope, phases=runnable)
    busy = {day for phase in pipeline.phases for day in health.complete[phase.name]}
    chunks = chunk(pipeline, repair.todo, busy, size=pipeline.chunk_dates)
    plan = make_plan(pipeline, health, repair, chunks, warehouse="local:/srv/nba", scope=scope)
    return Planned(whole=whole, broken=broken, window=health.window, plan=plan)


@cache
def _repaired(seasons: int, bare: int, fails: bool) -> Repaired:
    pipeline, planned = PIPELINE, _planned(seasons, bare)
    plan = planned.plan
    bad = _bad_steps(plan) if fails else {}
    done = {
        (step.phase, day) for name, step in plan.steps() for day in step.dates if name not in bad
    }
    tables = _filled(pipeline, planned.broken, planned.whole, done)
    after = eg.assessed(pipeline, tables, planned.window)
    stale = {
        phase: {day: why for day, why in days.items() if (phase, day) not in done}
        for phase, days in plan.recompute.items()
    }
    short = [
        Short(phase=p, date=day, reason=gap.reason, expected=gap.expected, found=gap.found)
        for p, gaps in after.gaps.items()
        for day, gap in gaps.items()
    ]
    short += [
        Short(phase=p, date=day, reason=GapReason.CASCADE, expected=1, found=1)
        for p, days in stale.items()
        for day in sorted(days)
        if day not in after.gaps[p]
    ]
    return Repaired(
        short=tuple(short),
        criteria=tuple(judge(eg.counts(pipeline, tables, plan.reach))),
        matrix=matrix(pipeline, after, plan.reach),
        days=snapshot(pipeline, after, plan.reach, stale),
    )


def _cell(pipeline: Pipeline, table: str, games: int) -> Cell:
    counts = {"game": games, "team": 2 * games, "player": 21 * games, "system": 5}
    spec = next(s for phase in pipeline.phases for s in phase.tables if s.name == table)
    return Cell(rows=21 * games, entities={name: counts[name] for name in spec.entities})


def _whole(pipeline: Pipeline, scope: Window) -> Tables:
    """Every table, full of games on most days of the seasons."""
    chance = random.Random(5)
    tables: Tables = {spec.name: {} for phase in pipeline.phases for spec in phase.tables}
    for season in pipeline.seasons:
        rest = Window(start=date(season.year + 1, 2, 14), end=date(season.year + 1, 2, 19))
        for day in season.days():
            late = "playoffs" in season.windows and day >= season.windows["playoffs"].start
            if day not in scope or day in rest or chance.random() < (0.2 if late else 0.05):
                continue
            games = chance.randint(1, 4) if late else chance.randint(2, 13)
            for phase in pipeline.phases:
                early = (day - season.start).days < pipeline.bootstrap_days
                if not (phase.skips_bootstrap and early):
                    for spec in phase.tables:
                        tables[spec.name][day] = _cell(pipeline, spec.name, games)
    return tables


def _broken(pipeline: Pipeline, whole: Tables, seasons: int) -> Tables:
    """Playoffs that stopped at raw, a last season never graded, and dates kept in part."""
    broken = {name: dict(cells) for name, cells in whole.items()}
    chance = random.Random(9)
    for n, season in enumerate(pipeline.seasons[:seasons]):
        for phase in pipeline.phases[1:]:
            for spec in phase.tables:
                cells = broken[spec.name]
                for day in list(cells):
                    playoffs = day in season.windows["playoffs"] and n < seasons - 1
                    if playoffs or (n == seasons - 1 and phase.name == "grading" and day in season):
                        del cells[day]
    for phase in pipeline.phases[1:]:
        for spec in phase.tables:
            for day in sorted(broken[spec.name]):
                if day in (FAILED, FAILED + DAY, PARTIAL) or chance.random() < 0.004:
                    broken[spec.name][day] = _cell(pipeline, spec.name, 1)
    return broken


def _filled(
    pipeline: Pipeline, broken: Tables, whole: Tables, done: set[tuple[str, date]]
) -> Mapping[str, Coverage]:
    tables = {name: dict(cells) for name, cells in broken.items()}
    for phase, day in done:
        for spec in pipeline.by_name[phase].tables:
            tables[spec.name][day] = whole[spec.name][day]
    return tables


def _bad_steps(plan: Plan) -> dict[str, str]:
    """Step → how it ended, for those that did not succeed."""
    bad: dict[str, str] = {}
    for each in plan.chunks:
        upstream_failed = False
        for step in each.steps:
            hit = (step.phase == "analytics" and FAILED in step.dates) or (
                step.phase == "predictions" and PARTIAL in step.dates
            )
            # Their lookback window holds the date that failed.
            waits = step.phase != "analytics" and any(
                FAILED < day <= FAILED + LOOKBACK for day in step.dates
            )
            if hit or waits or upstream_failed:
                bad[step_id(each.id, step.phase)] = "failed" if hit else "blocked"
                upstream_failed = True
    return bad


def _rows(plan: Plan, bad: Mapping[str, str], workers: int, error: str) -> tuple[StepRow, ...]:
    """A fleet at work: whoever is free first takes the next step."""
    chance = random.Random(3)
    free = [STARTED + n * 0.4 for n in range(workers)]
    rows = []
    for each in plan.chunks:
        ready = STARTED
        for step in each.steps:
            name, state = step_id(each.id, step.phase), "succeeded"
            state = bad.get(name, state)
            if state == "blocked":
                rows.append(_row(name, step, state, "", None, ready, "after analytics: " + error))
                continue
            worker = min(range(workers), key=lambda n: free[n])
            start = max(free[worker], ready) + chance.uniform(0.2, 2)
            seconds = SECONDS_PER_DATE[step.phase] * len(step.dates) * chance.uniform(0.7, 1.3)
            ready = free[worker] = start + seconds / 4
            text = error if state == "failed" else ""
            rows.append(_row(name, step, state, f"worker-{worker + 1}@fleet", start, ready, text))
    return tuple(rows)


def _row(name, step, state, worker, start, end, error) -> StepRow:
    return StepRow(
        id=name,
        phase=step.phase,
        dates=step.dates,
        state=state,
        worker=worker,
        attempt=4 if state == "failed" else 1,
        started=start,
        ended=end,
        error=error,
    )


def _failures(plan: Plan, bad: Mapping[str, str], run_id: str, error: str) -> tuple[Failure, ...]:
    steps = dict(plan.steps())
    return tuple(
        Failure(
            phase=steps[name].phase,
            dates=steps[name].dates,
            state=state,
            reason=error if state == "failed" else f"after analytics: {error}",
            retry=retry_command(run_id, steps[name].phase, steps[name].dates),
        )
        for name, state in bad.items()
    )


if __name__ == "__main__":  # python -m tests.reports FILE: look at a page
    import sys
    from pathlib import Path

    from planner.report.html.render import render_page

    Path(sys.argv[1]).write_text(render_page(make_report()), encoding="utf-8")
