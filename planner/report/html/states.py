"""What a cell of a calendar can be, and what that is called: one vocabulary for every page."""

from __future__ import annotations

from enum import StrEnum

from planner.gaps.gaps import GapReason, SkipReason
from planner.gaps.snapshot import COMPLETE, PLANNED, State


class Live(StrEnum):
    """Where a run is with a date. A date that is still to do is `planned`."""

    RUNNING = "running"
    WAITING = "waiting"
    RETRYING = "retrying"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


Shown = State | Live

STATES: dict[Shown, tuple[str, str]] = {
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
    Live.RUNNING: ("running", "a worker is at it"),
    Live.WAITING: ("waiting", "it waits for what it rests on, or for a turn"),
    Live.RETRYING: ("tried again", "an attempt failed, and another one follows"),
    Live.FAILED: ("failed", "its step ended, and its rows are not there"),
    Live.BLOCKED: ("blocked", "something that it rests on failed"),
    Live.CANCELLED: ("cancelled", "the run was stopped before it"),
}
"""State → what it is called, and what it means."""

CODES = {state: n for n, state in enumerate(STATES)}
