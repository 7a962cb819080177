"""What the heat-maps show: one per season, as numbers that the page's script draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, NamedTuple

from planner.gaps.gaps import Assessment, Gap, GapReason, SkipReason
from planner.gaps.snapshot import Snapshot
from planner.pipeline.shape import PhaseShape
from planner.pipeline.windows import DAY, Season, Window
from planner.report.html.markup import Markup, el
from planner.report.html.states import STATES, Live, Shown
from planner.report.report import Failure, Report, StepRow

PART_DAYS_MAX = 400  # a row longer than a year cannot be read: it is cut at New Year

Moment = Literal["before", "during", "after"]


@dataclass(frozen=True, kw_only=True)
class Detail:
    """What is wrong with a phase and date, in words, and the ids that it lacks."""

    phase: str
    date: date
    text: str
    ids: tuple[str, ...] = ()
    """Those that are named."""
    unnamed: int = 0
    """How many more it lacks."""


def details_of(assessment: Assessment) -> list[Detail]:
    """What a count found wrong with single dates, and why others are left as they are."""
    found = [*assessment.gaps.values(), *assessment.orphans.values()]
    details = [_detail(gap) for gaps in found for gap in gaps.values()]
    details += [
        Detail(phase=phase, date=day, text=f"{each.gap.detail}; accepted, since {each.reason}")
        for phase, days in assessment.accepted.items()
        for day, each in days.items()
    ]
    return details + [
        Detail(phase=phase, date=day, text=left.detail)
        for phase, days in assessment.empty.items()
        for day, left in days.items()
        if left.detail and day not in assessment.accepted.get(phase, ())
    ]


def _detail(gap: Gap) -> Detail:
    return Detail(
        phase=gap.phase,
        date=gap.date,
        text=gap.detail,
        ids=gap.lacks,
        unnamed=gap.unnamed,
    )


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How every phase stands on every day, twice: the page shows one or the other."""

    entity: str
    seasons: tuple[Season, ...]
    before: Snapshot
    after: Snapshot
    moment: Moment = "after"
    """Of a run. Before it, `before` is now and `after` what a plan does about it; during it,
    `after` is as planned, and `live` what became of that so far."""
    shapes: tuple[PhaseShape, ...] = ()
    """What the phases are computed from; none where it is not known."""
    run_id: str = ""
    failures: tuple[Failure, ...] = ()
    details: tuple[Detail, ...] = ()
    steps: tuple[StepRow, ...] = ()
    live: dict[str, Any] | None = None
    """During a run: how it stands, and where the page hears how it goes on."""

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
        shapes=report.shapes,
        run_id=report.run_id,
        steps=report.steps,
        details=tuple(
            Detail(
                phase=each.phase,
                date=each.date,
                text=each.detail,
                ids=each.lacks,
                unnamed=each.unnamed,
            )
            for each in (*report.validation.short, *report.losses, *report.orphans)
            if each.detail
        ),
    )


class Map(NamedTuple):
    """One heat-map."""

    name: str
    window: Window
    parts: dict[str, Window]
    """Named windows in it."""


def maps(shown: Pictures) -> list[Map]:
    """One heat-map per season, and one for days outside of them on which there is something; the
    newest first."""
    reach = shown.after.window
    found = [piece for season in shown.seasons for piece in _pieces(season, reach)]
    found += [
        piece
        for window in _between(shown.seasons, reach)
        if _is_busy(shown, window)
        for piece in _pieces(Season(name="x", year=window.start.year, **dict(window)), reach, "")
    ]
    return sorted(found, key=lambda each: each.window.start, reverse=True)


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


def states_shown(shown: Pictures) -> list[Shown]:
    """The states that occur, or may soon, in the order of the legend."""
    seen: set[Shown] = {
        stretch.state
        for snapshot in shown.both
        for stretches in snapshot.phases.values()
        for stretch in stretches
    }
    if shown.moment == "during":
        seen |= {*Live}
    return [state for state in STATES if state in seen]


def legend(pictures: Pictures) -> Markup:
    """What the cells look like, and mean: a button each, which shows its cells alone."""
    shown = states_shown(pictures)
    entries = [
        (str(state), f"cell s-{state}", label, meaning)
        for state, (label, meaning) in STATES.items()
        if state in shown
    ]
    if pictures.moment != "before" and any(state in shown for state in GapReason):
        meaning = "was short, and is complete now"
        entries.insert(1, ("fixed", "cell s-complete fixed", "repaired", meaning))
    if pictures.moment == "during":
        entries.append(("due", "cell due", "to do", "this run is still to come to it"))
    return el("ul", *(_entry(*each) for each in entries), class_="legend", aria_label="Legend")


def _entry(state: str, look: str, label: str, meaning: str) -> Markup:
    parts = el("span", class_=look, aria_hidden="true"), el("span", label)
    button = el(
        "button",
        *parts,
        type="button",
        title=meaning,
        data_show=state,
        aria_pressed="false",
    )
    return el("li", button)
