"""The pages that `planner serve` keeps up to date: the list of runs, and a run that goes on.

What changes is written by the page's own script, from the JSON that it hears.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planner.gaps.snapshot import Snapshot
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.shape import shapes
from planner.pipeline.windows import Window
from planner.plan.plan import Plan
from planner.report.html.heatmap import Detail, Pictures
from planner.report.html.markup import Markup, el, join
from planner.report.html.render import NOTHING, over, page, section
from planner.text import moment


def render_run(plan: Plan, shown: Pictures) -> str:
    """The page of a run that goes on."""
    run_id = shown.run_id
    return page(
        shown,
        who="The run",
        title=f"Backfill {run_id}",
        header=_run_header(plan, run_id),
        figures=NOTHING,
        alerts=_filled("causes", "Not repaired so far"),
        sections=[
            _filled("working", "Who does what"),
            _filled("waiting", "What waits, and for what"),
            _filled("planned", "Planned, and so far"),
            _filled("commands", "To steer it"),
        ],
    )


def live_pictures(
    plan: Plan,
    pipeline: Pipeline,
    *,
    run_id: str,
    live: dict[str, Any],
    details: Iterable[Detail] = (),
) -> Pictures:
    """What the page of a run that goes on shows. `live` is what its script begins with, `details`
    what was counted last."""
    return Pictures(
        entity=pipeline.entity,
        seasons=Calendar(pipeline=pipeline).seasons(plan.reach),
        before=plan.days_before,
        after=plan.days_before,
        moment="during",
        shapes=shapes(pipeline) if pipeline.checksum == plan.pipeline_checksum else (),
        run_id=run_id,
        live=live,
        details=tuple(details) if pipeline.name == plan.pipeline else (),
    )


def render_index(pipeline: Pipeline, *, warehouse: str, live: dict[str, Any]) -> str:
    """The list of runs, and of the gaps that were counted last."""
    first = Calendar(pipeline=pipeline).first
    nothing = Snapshot(window=Window(start=first, end=first), phases={})
    shown = Pictures(entity=pipeline.entity, seasons=(), before=nothing, after=nothing, live=live)
    facts = [("pipeline", pipeline.name), ("warehouse", warehouse)]
    return page(
        shown,
        who="",
        title=f"Backfill: {pipeline.name}",
        header=join(
            [
                el("p", "Backfill Fleet", class_="over"),
                el("h1", el("span", pipeline.name)),
                el("p", class_="trouble", id="trouble", role="status"),
                _facts(facts),
            ]
        ),
        figures=NOTHING,
        sections=[_filled("runs", "Runs"), _filled("gaps", "Open gaps")],
    )


def _run_header(plan: Plan, run_id: str) -> Markup:
    facts = [
        ("pipeline", plan.pipeline),
        ("scope", f"{plan.scope.start} to {plan.scope.end}"),
        ("warehouse", plan.warehouse),
        ("plan", f"{plan.plan_id}, made {moment(plan.created.timestamp())}"),
    ]
    if plan.reason:
        facts.insert(0, ("reason", plan.reason))
    if plan.asked:
        facts.insert(0, ("asked by", plan.asked.line))
    return join(
        [
            over("Backfill run", is_served=True),
            el("h1", el("span", run_id), el("span", "…", class_="badge", id="state")),
            el("p", class_="trouble", id="trouble", role="status"),
            el("p", class_="verdict", id="verdict"),
            _facts(facts),
        ]
    )


def _facts(facts: list[tuple[str, str]]) -> Markup:
    return el("dl", *(el("div", el("dt", key), el("dd", value)) for key, value in facts))


def _filled(name: str, title: str) -> Markup:
    """A section that the page's script fills."""
    return section(f"{name}-title", title, el("div", id=name))
