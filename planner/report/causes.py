"""Failures by their cause: dates that failed for the same reason, and what waited for them.

The reason of a date names the date, what was counted and ids; two of them have one cause when they
are the same without those.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from planner.data import Data
from planner.report.advice import retry_command
from planner.report.report import CONSEQUENCES, Failure, Report
from planner.text import counted, date_runs

ROWS_SHOWN = 6  # of dates, on a terminal; JSON and report have all

_CODE = re.compile(r"\b(code|status|http|signal|errno)[ :=]+(\d+)\b", re.IGNORECASE)
"""A number that says what went wrong, and not to what."""
_VALUE = re.compile(r"[\w.+-]*\d[\w.+:-]*", re.ASCII)
"""A date, a number, an id: any word with a digit in it."""
_LIST = re.compile(r"#(?:\s*,\s*#)+")
_AFTER = re.compile(r"after (\S+): (?:\d{4}-\d\d-\d\d: )?(.*)", re.DOTALL | re.ASCII)
"""The reason of what comes later in a chunk: the phase before it, and that one's reason."""
_UPSTREAM = re.compile(r"(\S+) (\d{4}-\d\d-\d\d) [a-z]+", re.ASCII)
"""The gate's reason: an upstream phase, a date of it and its state."""

Pair = tuple[str, date]
Key = tuple[str, str, str]
"""Phase (empty for what is no failure of a phase), state, and reason without what differs."""


class Cause(Data):
    """Phase-dates that are not repaired for one reason, and what was not tried for want of them."""

    state: str
    reason: str
    """That of the first date."""
    phases: dict[str, tuple[date, ...]]
    """Phase → its dates. One phase, unless they failed by what is no phase's, such as a cancel."""
    waiting: dict[str, tuple[date, ...]]
    """Phase → dates of it that were not tried because of these."""
    retry: str
    """The command that tries all of it again."""

    @property
    def phase_dates(self) -> int:
        """How many phases and dates are not repaired because of it."""
        return _count(self.phases) + _count(self.waiting)


def causes(run_id: str, failures: Sequence[Failure]) -> list[Cause]:
    """The causes of failures: what failed first, most phase-dates first."""
    roots = _Roots(failures)
    groups: dict[Key, list[tuple[Failure, date]]] = {}
    for failure in sorted(failures, key=lambda each: each.state in CONSEQUENCES):
        for day in failure.dates:
            groups.setdefault(roots.key(failure, day), []).append((failure, day))
    whole = len(groups) == 1
    found = [_cause(run_id, key, members, whole=whole) for key, members in groups.items()]
    return sorted(found, key=lambda cause: (cause.state in CONSEQUENCES, -cause.phase_dates))


class _Roots:
    """What a failure began with: its own reason, or that of what it waited for."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self._by_date = {(each.phase, day): each for each in failures for day in each.dates}
        self._by_text = {
            (each.phase, signature(each.reason)): each
            for each in failures
            if each.state not in CONSEQUENCES
        }

    def key(self, failure: Failure, day: date) -> Key:
        """What a failure's date shares with all others of its cause."""
        seen: set[Pair] = {(failure.phase, day)}
        while failure.state in CONSEQUENCES:
            later = _AFTER.fullmatch(failure.reason)
            text = later[2] if later else failure.reason
            upstream = _UPSTREAM.fullmatch(text)
            pair = (upstream[1], date.fromisoformat(upstream[2])) if upstream else None
            if pair in self._by_date and pair not in seen:
                seen.add(pair)
                failure = self._by_date[pair]
            elif later and (later[1], signature(text)) in self._by_text:
                failure = self._by_text[later[1], signature(text)]
            else:
                return "", failure.state, signature(text)
        return failure.phase, failure.state, signature(failure.reason)


def signature(reason: str) -> str:
    """A reason without dates, numbers and ids. Codes, which say why, stay."""
    codes = _CODE.sub(lambda found: f"{found[1]} {_spelt(found[2])}", reason)
    return _LIST.sub("#", " ".join(_VALUE.sub("#", codes).split()))


def _spelt(digits: str) -> str:
    """Digits as letters, so that they are not taken for a value."""
    return "".join(chr(ord("a") + int(digit)) for digit in digits)


def _cause(run_id: str, key: Key, members: Sequence[tuple[Failure, date]], *, whole: bool) -> Cause:
    """One cause; `whole` when there is no other, so that the command need not name its dates."""
    origin, state, _ = key
    phases: dict[str, tuple[date, ...]] = {}
    waiting: dict[str, tuple[date, ...]] = {}
    for failure, day in members:
        of = phases if origin in ("", failure.phase) else waiting
        of[failure.phase] = tuple(sorted({*of.get(failure.phase, ()), day}))
    reason = next(each.reason for each, _ in members if each.phase in phases)
    dates = tuple(sorted({day for days in phases.values() for day in days}))
    phase = next(iter(phases)) if len(phases) == 1 else ""
    retry = retry_command(run_id, phase, dates, reason, whole=whole)
    return Cause(state=state, reason=reason, phases=phases, waiting=waiting, retry=retry)


def _count(dates: Mapping[str, Collection[date]]) -> int:
    return sum(map(len, dates.values()))


def dates_text(cause: Cause, *, shown: int | None = None) -> str:
    """`2 dates: 2022-01-03, 2022-01-05`."""
    days = {day for dates in cause.phases.values() for day in dates}
    noun = "date" if len(cause.phases) == 1 else "phase-date"
    return f"{counted(_count(cause.phases), noun)}: {date_runs(days, shown=shown)}"


def waiting_text(cause: Cause) -> str:
    """What was not tried for want of its dates; empty without any."""
    more = _count(cause.waiting)
    told = f"not tried for it: {counted(more, 'phase-date')} of {', '.join(cause.waiting)}"
    return told if more else ""


def cause_lines(cause: Cause) -> list[str]:
    """For a terminal: dates, reason, what waits for it, and the command."""
    phases = ", ".join(cause.phases)
    lines = [f"{phases} {cause.state}, {dates_text(cause, shown=ROWS_SHOWN)}: {cause.reason}"]
    if cause.waiting:
        lines.append(f"  {waiting_text(cause)}")
    return [*lines, f"  try again: {cause.retry}"]


def causes_json(found: Iterable[Cause]) -> list[dict[str, Any]]:
    """The documented shape of causes, in `status` and `report.json` alike."""
    return [cause.as_json() for cause in found]


def report_json(report: Report) -> dict[str, Any]:
    """The report under its documented keys, with its failures by cause."""
    found = causes(report.run_id, report.failures)
    return {**report.as_json(), "causes": causes_json(found)}
