"""When each worker did what: one block of lanes per worker, a lane per phase, drawn as SVG.

Positions are percentages in attributes: the drawing is as wide as the page without a script,
and without the inline styles that the page's policy forbids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from planner.plan.states import StepState
from planner.report.html.markup import Markup, el
from planner.report.report import Report, StepRow, billed_text
from planner.text import counted, date_runs, duration, moment

LANE_PIXELS = 12
BAR_PIXELS = 9
NARROWEST_PERCENT = 0.15  # a step of an instant can still be seen, and pointed at
TICKS_MAX = 8
COLOURS = 12  # that can be told apart
ERROR_CHARS = 300
NICE_SECONDS = [
    *(1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12, 24, 48, 96, 240, 480)),
]


class Bar(NamedTuple):
    """A step that ran."""

    row: StepRow
    start: float
    end: float


def timeline(report: Report) -> Markup:
    """The steps that ran, per worker; those that never started are counted below."""
    bars = [
        Bar(row=row, start=row.started, end=max(row.started, row.ended))
        for row in report.steps
        if row.started is not None and row.ended is not None
    ]
    if not bars:
        return el("p", "No step ran.", class_="quiet")
    first = min(bar.start for bar in bars)
    span = max(max(bar.end for bar in bars) - first, 1.0)
    step = next((n for n in NICE_SECONDS if span / n <= TICKS_MAX), NICE_SECONDS[-1])
    ticks = [n * step for n in range(int(span // step) + 1)][: 10 * TICKS_MAX]
    workers = sorted({bar.row.worker for bar in bars})
    rows = [_axis(ticks, span)]
    for worker in workers:
        mine = [bar for bar in bars if bar.row.worker == worker]
        rows.append(_worker(worker, mine, report.phases, first, span, ticks))
    return el("div", *rows, *_below(report), class_="timeline", id="timeline")


def _axis(ticks: Sequence[int], span: float) -> Markup:
    labels = [
        el("text", _tick(tick), x=_percent(tick / span), y=12)
        for tick in ticks
        if tick / span < 0.96  # the last label would be cut off
    ]
    return el(
        "div",
        el("span", "since the start", class_="who quiet"),
        el("svg", *labels, width="100%", height=16, class_="axis", aria_hidden="true"),
        class_="worker",
    )


def _worker(
    worker: str,
    bars: list[Bar],
    phases: list[str],
    first: float,
    span: float,
    ticks: Sequence[int],
) -> Markup:
    lanes: list[tuple[str, float]] = []  # phase, and when the lane is free again
    placed: list[tuple[int, Bar]] = []
    for bar in sorted(bars, key=lambda bar: (_order(bar.row.phase, phases), bar.start)):
        free = (
            n for n, (name, end) in enumerate(lanes) if name == bar.row.phase and end <= bar.start
        )
        lane = next(free, len(lanes))
        lanes[lane : lane + 1] = [(bar.row.phase, bar.end)]
        placed.append((lane, bar))
    height = LANE_PIXELS * len(lanes)
    grid = [
        el("line", x1=_percent(t / span), x2=_percent(t / span), y1=0, y2=height, class_="tick")
        for t in ticks
    ]
    drawn = [
        part
        for lane, bar in sorted(placed, key=lambda each: each[1].start)
        for part in _bar(bar, lane, _order(bar.row.phase, phases), first, span)
    ]
    busy = sum(bar.end - bar.start for bar in bars)
    return el(
        "div",
        el(
            "span",
            worker or "unknown worker",
            el("small", f"{counted(len(bars), 'step')}, {duration(busy)}"),
            class_="who",
        ),
        el(
            "svg",
            *grid,
            *drawn,
            width="100%",
            height=height,
            role="list",
            aria_label=f"Steps of {worker or 'an unknown worker'}",
        ),
        class_="worker",
    )


def _bar(bar: Bar, lane: int, phase: int, first: float, span: float) -> list[Markup]:
    row, y = bar.row, lane * LANE_PIXELS
    x, width = (bar.start - first) / span, (bar.end - bar.start) / span
    details = [
        f"{row.phase}: {row.state}",
        date_runs(row.dates),
        f"{moment(bar.start)}, for {duration(bar.end - bar.start)}"
        + (f", attempt {row.attempt}" if row.attempt > 1 else ""),
        row.worker,
        billed_text("billed", row.billed, row.labelled) if row.billed else "",
        row.error[:ERROR_CHARS],
    ]
    good = row.state == StepState.SUCCEEDED
    parts = [
        el(
            "rect",
            x=_percent(x),
            y=y + 1,
            width=f"{max(width * 100, NARROWEST_PERCENT):.3f}%",
            height=BAR_PIXELS,
            rx=1.5,
            class_=f"bar p{phase % COLOURS}" + ("" if good else " bad"),
            tabindex=-1,
            role="listitem",
            aria_label=". ".join(filter(None, details)),
            data_card="\n".join(filter(None, details)),
        )
    ]
    if not good:
        parts.append(
            el("text", "✕", x=_percent(x), y=y + BAR_PIXELS, class_="mark", aria_hidden="true")
        )
    return parts


def _below(report: Report) -> list[Markup]:
    """The phases' colours, and what never started."""
    keys = [
        el("li", el("span", class_=f"key p{n % COLOURS}", aria_hidden="true"), el("span", phase))
        for n, phase in enumerate(report.phases)
        if any(row.phase == phase and row.started is not None for row in report.steps)
    ]
    hint = "Point at a step, or tab to one and move with the arrow keys; N and P find failures."
    parts = [
        el("ul", *keys, _bad_key(), class_="legend", aria_label="Phases, from top to bottom"),
        el("p", hint, class_="quiet hint"),
    ]
    idle = [row for row in report.steps if row.started is None]
    if idle:
        states = [row.state for row in idle]
        counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
        parts.append(el("p", f"Never started: {counts}.", class_="quiet"))
    return parts


def _bad_key() -> Markup:
    return el(
        "li",
        el("span", "✕", class_="key bad", aria_hidden="true"),
        el("span", "failed, blocked or cancelled"),
    )


def _order(phase: str, phases: list[str]) -> int:
    return phases.index(phase) if phase in phases else len(phases)


def _tick(seconds: int) -> str:
    """`10 min`, not `10 min 00 s`."""
    return duration(seconds).removesuffix(" 00 s").removesuffix(" 00 min")


def _percent(share: float) -> str:
    return f"{share * 100:.3f}%"
