"""The one JSON that every page's script draws, before, during and after a run (docs/json.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from planner.gaps.gaps import GapReason
from planner.gaps.snapshot import PLANNED, Snapshot
from planner.pipeline.windows import DAY
from planner.report.html.heatmap import Map, Pictures, maps
from planner.report.html.markup import Markup, join
from planner.report.html.states import STATES
from planner.report.report import StepRow

REASON_CHARS = 600  # of a failure, in a cell's details; the table of failures has more

CODES = {state: n for n, state in enumerate(STATES)}


def data_script(shown: Pictures) -> Markup:
    """Everything the script draws, as a block of JSON that cannot end the script element."""
    return script_json("data", moment_json(shown))


def script_json(name: str, content: dict[str, Any]) -> Markup:
    """Some JSON in a page, under an id."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    # ASCII alone leaves no U+2028; these three can be read as markup.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    start = Markup(f'<script type="application/json" id="{name}">')
    return join([start, Markup(text), Markup("</script>")])


def moment_json(shown: Pictures) -> dict[str, Any]:
    """How every phase stands on every day, before and after, with details of single dates."""
    return {
        "moment": shown.moment,
        "run_id": shown.run_id or None,
        "entity": shown.entity,
        "states": [[str(state), *words] for state, words in STATES.items()],
        "short": [CODES[reason] for reason in GapReason if reason in CODES],
        "planned": CODES[PLANNED],
        "phases": shown.phases,
        "shapes": [each.as_json() for each in shown.shapes],
        "maps": [_map(each) for each in maps(shown)],
        "before": _encoded(shown.before, shown.phases),
        "after": _encoded(shown.after, shown.phases),
        "failures": [
            [
                failure.phase,
                failure.state,
                failure.reason[:REASON_CHARS],
                list(map(str, failure.dates)),
            ]
            for failure in shown.failures
        ],
        "details": [
            [each.phase, str(each.date), each.text[:REASON_CHARS], [*each.ids], each.unnamed]
            for each in shown.details
        ],
        "steps": [step_row(each) for each in shown.steps],
        "live": shown.live,
    }


def step_row(step: StepRow, log: str = "") -> list[Any]:
    """A step: id, phase, first and last date of each stretch, state, attempts, worker, error, and
    the path of its log where that is known."""
    return [
        step.id,
        step.phase,
        [[str(first), str(last)] for first, last in _runs(step.dates)],
        step.state,
        step.attempt,
        step.worker,
        step.error[:REASON_CHARS],
        log,
    ]


def _runs(days: Iterable[date]) -> list[tuple[date, date]]:
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day - found[-1][1] == DAY:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _map(each: Map) -> dict[str, Any]:
    return {
        "name": each.name,
        "start": str(each.window.start),
        "days": (each.window.end - each.window.start).days + 1,
        "parts": [
            [name.replace("_", "-"), str(part.start), (part.end - part.start).days + 1]
            for name, part in each.parts.items()
        ],
    }


def _encoded(snapshot: Snapshot, phases: list[str]) -> dict[str, Any]:
    start = snapshot.window.start
    return {
        "start": str(start),
        "phases": [
            [
                [(s.start - start).days, s.days, CODES[s.state], s.expected, s.found]
                for s in snapshot.phases.get(phase, ())
            ]
            for phase in phases
        ],
    }
