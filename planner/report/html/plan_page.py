"""A plan as one HTML page: how every date stands, and what would be done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from planner.gaps.gaps import GapReason
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.shape import shapes
from planner.plan.estimate import Estimate
from planner.plan.plan import Plan
from planner.plan.planned_days import planned_days, short_now
from planner.report.html.heatmap import Detail, Pictures
from planner.report.html.markup import Markup, el, join
from planner.report.html.render import NOTHING, over, page, section
from planner.report.html.tables import row_of, scroll
from planner.report.report import Failure
from planner.text import counted, date_runs, duration, moment

UNKNOWN = "unknown"
DETAIL_CHARS = 2000


def render_plan(
    plan: Plan,
    pipeline: Pipeline,
    *,
    command: str,
    details: Iterable[Detail] = (),
    is_served: bool = False,
) -> str:
    """The whole page. `command` is what does the plan, to be copied; `details` say what is wrong
    with single dates. Where it is served, it leads back to the list of runs."""
    shown = Pictures(
        entity=pipeline.entity,
        seasons=Calendar(pipeline=pipeline).seasons(plan.reach),
        before=plan.days_before,
        after=planned_days(plan),
        moment="before",
        shapes=shapes(pipeline),
        details=tuple(details),
        failures=tuple(_left(plan)),
    )
    return page(
        shown,
        who="The plan",
        title=f"Plan of {plan.pipeline}: {counted(short_now(plan), 'phase-date')} short",
        header=_header(plan, is_served=is_served),
        figures=_figures(plan),
        sections=[
            section("do", "What the plan does", _steps(plan)),
            _skipped(plan),
            section("next", "To do it", _next(plan, command)),
        ],
    )


def _left(plan: Plan) -> Iterator[Failure]:
    """What is skipped, each with its reason, as the calendars tell it beside a cell."""
    for left in plan.skipped:
        why = f"held by {left.run_id}" if left.run_id else left.detail
        yield Failure(
            phase=left.phase, dates=(left.date,), state=str(left.reason), reason=why, retry=""
        )


def _header(plan: Plan, *, is_served: bool) -> Markup:
    facts = [
        ("pipeline", plan.pipeline),
        ("scope", f"{plan.scope.start} to {plan.scope.end}"),
        ("warehouse", plan.warehouse),
        ("plan", plan.plan_id),
        ("made", moment(plan.created.timestamp())),
        ("checksum", plan.checksum[:16]),
    ]
    if plan.reason:
        facts.insert(0, ("reason", plan.reason))
    short = short_now(plan)
    if short:
        badge, look = f"✕ {counted(short, 'phase-date')} short", "bad"
    elif plan.leaves_gaps or not plan.is_empty:
        badge, look = "✕ not in order", "bad"
    else:
        badge, look = "✓ nothing short", "good"
    return join(
        [
            over("Backfill plan: nothing is done yet", is_served=is_served),
            el("h1", el("span", plan.pipeline), el("span", badge, class_=f"badge {look}")),
            el("p", _verdict(plan), class_="verdict"),
            el("dl", *(el("div", el("dt", key), el("dd", value)) for key, value in facts)),
        ]
    )


def _verdict(plan: Plan) -> str:
    if plan.is_empty:
        return (
            "Nothing can be done now; what is skipped stands below."
            if plan.leaves_gaps
            else "Nothing is short among the dates that can be judged."
        )
    dates = sum(len(step.dates) for _, step in plan.steps())
    cascade = sum(
        task.reason is GapReason.CASCADE for _, step in plan.steps() for task in step.tasks
    )
    return (
        f"{counted(len(plan.chunks), 'chunk')} of {counted(plan.steps_total, 'step')} would write "
        f"{counted(dates, 'phase-date')}"
        + (f", {cascade:,} of them since what they rest on is repaired." if cascade else ".")
    )


def _figures(plan: Plan) -> Markup:
    estimate, cost = plan.estimate, plan.cost
    figures = [
        (f"{len(plan.chunks):,}", "chunks"),
        (f"{plan.steps_total:,}", "steps"),
        (_time(estimate), _slots(estimate)),
        (_worst(estimate), "if every step is slow"),
    ]
    if cost:
        figures += [
            (str(cost.counting), "is what counting is billed"),
            (str(cost.recounts), "is what the run's recounts are billed"),
        ]
        if cost.statements:
            figures.append((str(cost.statements), "is what its statements are billed"))
        if cost.scripts:
            figures.append((str(cost.scripts), "is what its scripts are billed"))
        if cost.keeping:
            figures.append((str(cost.keeping), "is what keeping and comparing rows is billed"))
        if cost.unknown:
            what = f"is what {', '.join(cost.unknown)} is billed, beside its counts"
            figures.append((UNKNOWN, what))
    return join(el("li", el("b", value), el("span", label)) for value, label in figures)


def _time(estimate: Estimate | None) -> str:
    if estimate is None or estimate.seconds is None:
        return UNKNOWN
    return duration(estimate.seconds)


def _worst(estimate: Estimate | None) -> str:
    if estimate is None or estimate.worst_seconds is None:
        return UNKNOWN
    return duration(estimate.worst_seconds)


def _slots(estimate: Estimate | None) -> str:
    if estimate is None:
        return "from start to end"
    assumed = ", assumed" if estimate.slots_are_assumed else ""
    return f"from start to end ({counted(estimate.slots, 'slot')}{assumed})"


def _steps(plan: Plan) -> Markup:
    if plan.is_empty:
        return el("p", "Nothing.", class_="quiet")
    dates: dict[str, Counter[GapReason]] = {}
    steps: Counter[str] = Counter()
    for _, step in plan.steps():
        steps[step.phase] += 1
        dates.setdefault(step.phase, Counter()).update(task.reason for task in step.tasks)
    reasons = [reason for reason in GapReason if any(tally[reason] for tally in dates.values())]
    phases = [name for name in plan.days_before.phases if name in dates]
    rows = [
        el(
            "tr",
            el("th", phase, scope="row"),
            el("td", f"{steps[phase]:,}", class_="n"),
            *(el("td", f"{dates[phase][each]:,}", class_="n") for each in reasons),
            el("td", _work(plan.estimate, phase), class_="n"),
        )
        for phase in phases
    ]
    head = el("thead", row_of("th", "phase", "steps", *map(str, reasons), "work"))
    return scroll(el("table", head, el("tbody", *rows), class_="plain"))


def _work(estimate: Estimate | None, phase: str) -> str:
    found = estimate.phases.get(phase) if estimate else None
    return duration(found.seconds) if found else UNKNOWN


def _skipped(plan: Plan) -> Markup:
    groups: dict[tuple[str, str, str], list[date]] = {}
    for each in _left(plan):
        why = each.reason[:DETAIL_CHARS]
        groups.setdefault((each.phase, each.state, why), []).extend(each.dates)
    if not groups:
        return NOTHING
    rows = [
        el(
            "tr",
            el("th", phase, scope="row"),
            el("td", state),
            el("td", date_runs(days), class_="dates"),
            el("td", why, class_="reason"),
        )
        for (phase, state, why), days in groups.items()
    ]
    head = el("thead", row_of("th", "phase", "reason", "dates", "why"))
    table = scroll(el("table", head, el("tbody", *rows), class_="failures"))
    return el("section", el("h2", "Left alone"), table, aria_label="Left alone")


def _next(plan: Plan, command: str) -> Markup:
    if plan.is_empty:
        return el("p", "There is nothing to do.", class_="quiet")
    told = "Counts again first: what was repaired meanwhile is not done twice."
    if "--plan" in command:
        told = f"Does this plan, of checksum {plan.checksum[:16]}, and no other."
    return el("p", el("code", command), el("br"), told)
