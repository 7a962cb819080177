"""What the heat-maps show: one per season, as numbers that the page's script draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from planner.gaps.gaps import GapReason, SkipReason
from planner.gaps.snapshot import COMPLETE, PLANNED, Snapshot, State
from planner.pipeline.windows import DAY, Season, Window
from planner.report.html.markup import Markup, el, join

if TYPE_CHECKING:
    from planner.report.report import Failure, Report

PART_DAYS_MAX = 400  # a row longer than a year cannot be read: it is cut at New Year
REASON_CHARS = 600  # of a failure, in a cell's details; the table of failures has more

STATES: dict[State, tuple[str, str]] = {
    COMPLETE: ("complete", "holds what its upstream phases hold"),
    PLANNED: ("to do", "this plan writes it"),
    GapReason.MISSING: ("missing", "no rows"),
    GapReason.LATE: ("late", "the source should hold rows, and has held none since"),
    GapReason.PARTIAL: ("partial", "short of entities, or of whole tables; the fill is the share"),
    GapReason.DUPLICATE: ("duplicate", "rows share a key that is unique"),
    GapReason.AUDIT: ("audit", "an audit of the pipeline file finds it wrong"),
    GapReason.UNFILLED: ("unfilled", "a column holds too few values"),
    GapReason.SURPLUS: ("surplus", "holds ids that nothing upstream holds"),
    GapReason.ORPHAN: ("orphan", "holds rows, and nothing upstream does"),
    GapReason.CASCADE: (
        "to recompute",
        "rows are there, computed before their upstream was repaired",
    ),
    GapReason.STALE: ("stale", "rows are there, and their upstream was written after them"),
    SkipReason.OFF_DAY: ("off-day", "nothing happened"),
    SkipReason.BOOTSTRAP: (
        "bootstrap",
        "in the warm-up: too early in the season or period for this phase",
    ),
    SkipReason.BETWEEN: ("between", "no date of a phase that is due by week or month"),
    SkipReason.EXCLUDED: ("excluded", "the pipeline file expects nothing"),
    SkipReason.ACCEPTED: ("accepted", "the pipeline file accepts that rows are lost"),
    SkipReason.UPSTREAM_MISSING: ("no upstream", "what it is computed from is not there"),
    SkipReason.OPEN: ("open", "the day is not closed: rows may still come"),
    SkipReason.UNJUDGED: ("unjudged", "nothing tells what it should hold: its source holds none"),
    SkipReason.WATCHED: (
        "watched",
        "short, and nothing here writes it",
    ),
    SkipReason.LEFT_OUT: ("left out", "short, and this plan was told to leave it"),
    SkipReason.BEYOND: ("beyond", "holds rows, and is later than the calendar's end"),
    SkipReason.IN_FLIGHT: ("in flight", "another run is repairing it"),
}
"""State → what it is called, and what it means."""

CODES = {state: n for n, state in enumerate(STATES)}


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How every phase stands on every day, twice: the page shows one or the other."""

    entity: str
    seasons: tuple[Season, ...]
    before: Snapshot
    after: Snapshot
    is_plan: bool = False
    """Whether `before` is now, and `after` is what a plan does about it."""
    failures: tuple[Failure, ...] = ()

    @property
    def phases(self) -> list[str]:
        """Names of the phases, in order."""
        return list(self.after.phases)

    @property
    def both(self) -> tuple[Snapshot, Snapshot]:
        """Before and after."""
        return self.before, self.after


def pictures_of(report: Report) -> Pictures:
    """What a run's report shows."""
    return Pictures(
        entity=report.entity,
        seasons=report.seasons,
        before=report.days_before,
        after=report.days_after,
        failures=report.failures,
    )


class Map(NamedTuple):
    """One heat-map."""

    name: str
    window: Window
    parts: dict[str, Window]
    """Named windows in it."""


def maps(shown: Pictures) -> list[Map]:
    """One heat-map per season, and one for days outside of them on which there is something."""
    reach = shown.after.window
    found = [piece for season in shown.seasons for piece in _pieces(season, reach)]
    found += [
        piece
        for window in _between(shown.seasons, reach)
        if _is_busy(shown, window)
        for piece in _pieces(Season(name="x", year=window.start.year, **dict(window)), reach, "")
    ]
    return sorted(found, key=lambda each: each.window.start)


def _pieces(season: Season, reach: Window, name: str | None = None) -> Iterator[Map]:
    start, end = max(season.start, reach.start), min(season.end, reach.end)
    cut = (end - start).days >= PART_DAYS_MAX
    label = season.name if name is None else "outside the seasons"
    while start <= end:
        last = min(end, date(start.year, 12, 31)) if cut else end
        yield Map(
            name=f"{label}, {start.year}" if cut else label,
            window=Window(start=start, end=last),
            parts={
                part: Window(start=max(window.start, start), end=min(window.end, last))
                for part, window in season.windows.items()
                if window.start <= last and start <= window.end
            },
        )
        start = last + DAY


def _between(seasons: tuple[Season, ...], reach: Window) -> Iterator[Window]:
    start = reach.start
    for season in sorted(seasons, key=lambda each: each.start):
        if start < season.start:
            yield Window(start=start, end=min(season.start - DAY, reach.end))
        start = max(start, season.end + DAY)
    if start <= reach.end:
        yield Window(start=start, end=reach.end)


def _is_busy(shown: Pictures, window: Window) -> bool:
    return any(
        not isinstance(state, SkipReason)
        for snapshot in shown.both
        for phase in snapshot.phases
        for state in snapshot.count(phase, window)
    )


def states_shown(shown: Pictures) -> list[State]:
    """The states that occur, in the order of the legend."""
    seen = {
        stretch.state
        for snapshot in shown.both
        for stretches in snapshot.phases.values()
        for stretch in stretches
    }
    return [state for state in STATES if state in seen]


def legend(pictures: Pictures) -> Markup:
    """What the cells look like, and mean."""
    shown = states_shown(pictures)
    entries = [
        (f"cell s-{state}", label, meaning)
        for state, (label, meaning) in STATES.items()
        if state in shown
    ]
    if not pictures.is_plan and any(state in shown for state in GapReason):
        entries.insert(1, ("cell s-complete fixed", "repaired", "was short, and is complete now"))
    return el(
        "ul",
        *(
            el("li", el("span", class_=look, aria_hidden="true"), el("span", label), title=meaning)
            for look, label, meaning in entries
        ),
        class_="legend",
        aria_label="Legend",
    )


def data_script(shown: Pictures) -> Markup:
    """Everything the script draws, as a block of JSON that cannot end the script element."""
    content = {
        "isPlan": shown.is_plan,
        "entity": shown.entity,
        "states": [[str(state), *words] for state, words in STATES.items()],
        "short": [CODES[reason] for reason in GapReason if reason in CODES],
        "planned": CODES[PLANNED],
        "phases": shown.phases,
        "maps": [
            {
                "name": each.name,
                "start": str(each.window.start),
                "days": (each.window.end - each.window.start).days + 1,
                "parts": [
                    [name.replace("_", "-"), str(part.start), (part.end - part.start).days + 1]
                    for name, part in each.parts.items()
                ],
            }
            for each in maps(shown)
        ],
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
    }
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    # ASCII alone leaves no U+2028; these three can be read as markup.
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return join(
        [Markup('<script type="application/json" id="data">'), Markup(text), Markup("</script>")]
    )


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
