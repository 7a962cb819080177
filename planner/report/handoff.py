"""The hand-off note: a few lines for the next person on duty, appended to a file of theirs."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from planner.errors import UsageError
from planner.report.advice import next_steps
from planner.report.markdown import code, failure_line, plain
from planner.report.report import CONSEQUENCES, Report, ordered_failures, phase_times, verdict
from planner.text import duration, moment

FAILURES_SHOWN = 8  # the report has them all
REASON_CHARS = 160


def handoff_note(report: Report) -> str:
    """What was filled, what remains, and how to continue, in Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    took = duration(report.ended - report.created)
    yield f"## {moment(report.ended)}: backfill {plain(report.run_id)} {plain(report.state)}"
    yield ""
    asked = f", because: {plain(report.reason)}" if report.reason else ""
    yield (
        f"Scope {report.scope.start} to {report.scope.end} of {plain(report.pipeline)} in "
        f"{code(report.warehouse)}, in {took}{asked}. {verdict(report)}"
    )
    yield ""
    yield f"- filled: {_filled(report)}"
    failures = ordered_failures(report)
    if not failures and not report.validation.short and not report.validation.remaining:
        yield "- remains: nothing"
    causes = [failure for failure in failures if failure.state not in CONSEQUENCES]
    for failure in causes[:FAILURES_SHOWN]:
        reason = plain(failure.reason[:REASON_CHARS])
        yield f"- remains: {failure_line(failure)}: {reason}"
    if len(causes) > FAILURES_SHOWN:
        yield f"- remains: {len(causes) - FAILURES_SHOWN} more causes, in the report"
    waiting = sum(len(failure.dates) for failure in failures if failure not in causes)
    if waiting:
        yield f"- remains: {waiting:,} phase-dates that were not tried because of others"
    if report.validation.remaining:
        yield f"- remains: {report.validation.remaining:,} gaps that were not part of this run"
    for step in next_steps(report):
        yield f"- continue: {step.text} {code(step.command)}"
    yield f"- report: {code(f'planner report {report.run_id}')}"


def _filled(report: Report) -> str:
    undone = {(f.phase, day) for f in report.failures for day in f.dates}
    undone |= {(short.phase, short.date) for short in report.validation.short}
    counts = []
    for time in phase_times(report):
        days = {day for row in report.steps if row.phase == time.phase for day in row.dates}
        done = sum((time.phase, day) not in undone for day in days)
        if done:
            counts.append(f"{plain(time.phase)} {done:,} {'date' if done == 1 else 'dates'}")
    return ", ".join(counts) or "nothing"


def append_note(path: Path, note: str) -> None:
    """Append a note to a file, made when it is not there; what it holds stays as it is.

    Raises `UsageError` when it is not a file, or cannot be written.
    """
    path = path.expanduser()
    try:
        # Not blocking: opening a pipe without a reader would wait for ever.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(path, flags, 0o666)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"--handoff {path} is not a file: name one to append to.")
            text = _separator(handle, found.st_size) + note.encode()
            while text:
                text = text[os.write(handle, text) :]
        finally:
            os.close(handle)
    except IsADirectoryError:
        raise UsageError(f"--handoff {path} is a folder: name a file in it.") from None
    except OSError as error:
        raise UsageError(f"--handoff {path} cannot be written: {error.strerror}.") from None


def _separator(handle: int, size: int) -> bytes:
    """What makes one blank line between the file's end and the note."""
    if not size:
        return b""
    end = os.pread(handle, 4, max(0, size - 4)).replace(b"\r\n", b"\n")
    if end.endswith(b"\n\n"):
        return b""
    return b"\n" if end.endswith(b"\n") else b"\n\n"
