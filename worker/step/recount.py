"""The recount: a step succeeds when the tables show its rows. Its runner's word is no evidence.

A date is judged by what upstream holds now, not by what the plan expected. A date whose rows were
there before has to be written anew, which counts cannot show: its rows are compared with those of
before the step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from planner.gaps.gaps import OUTDATED, RECOMPUTE, SHORT, Assessment, Finding, GapReason, count_due
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.plan import Task
from planner.report.advice import APPENDS, ENQUEUE
from planner.text import counted
from sql.warehouse import Warehouse
from worker.step.before import Before, flaw_key, flaws_of, versions_of
from worker.step.judge import judge

OWN_WORD = "unchanged, by its own word"
"""The remark on a date of which its runner said that nothing had to change."""


@dataclass(frozen=True, kw_only=True)
class Recount:
    """What the tables show of a step's dates."""

    short: Mapping[date, str]
    """Date → what is wrong with it."""
    unchanged: frozenset[date]
    """Those of them whose only fault is that their rows were not written anew, as far as the
    warehouse tells: its records may lag."""
    doubled: frozenset[date] = frozenset()
    """Those of them with duplicates that the step made: a script that appends would add more."""
    remarks: Mapping[date, str] = field(default_factory=dict)
    """Date that is complete → what to know of it all the same."""
    counts: Mapping[date, tuple[int, int]] = field(default_factory=dict)
    """Date → entities that are due, and that are there, of the table that is shortest."""


def recount(
    warehouse: Warehouse,
    pipeline: Pipeline,
    phase: Phase,
    tasks: Sequence[Task],
    before: Before,
    *,
    own_word: Collection[date] = (),
) -> Recount:
    """Judge a step's dates by one statement per table, and one more per table that differs.

    `own_word` are dates of which the runner said that nothing had to change. Raises
    `sql.WarehouseError`.
    """
    window = Window(start=tasks[0].date, end=tasks[-1].date)
    evidence, now = judge(warehouse, pipeline, [phase.name], window)
    flaws = flaws_of(phase, evidence.coverage, evidence.audited)
    after = versions_of(warehouse, phase, {t.date for t in tasks if t.reason in RECOMPUTE})
    short: dict[date, str] = {}
    unchanged: set[date] = set()
    doubled: set[date] = set()
    remarks: dict[date, list[str]] = {}
    for task in tasks:
        day = task.date
        made = _new_flaw(phase, task, now, before, flaws)
        told = _shortfall(phase, task, now) or _flaw(phase, task, now, made)
        if made is not None and made.reason is GapReason.DUPLICATE:
            doubled.add(day)
            told = f"{told}. {APPENDS}"
        if told is not None:
            short[day] = told
            continue
        remarks[day] = list(_moved(task, now, phase))
        if task.reason not in RECOMPUTE:
            continue
        proof = before.compare(phase, day, after, evidence.coverage)
        remarks[day] += proof.remarks
        if proof.complaint is not None and day in own_word:
            remarks[day].append(OWN_WORD)
        elif proof.complaint is not None:
            short[day] = proof.complaint
            unchanged.add(day)
    return Recount(
        short=short,
        unchanged=frozenset(unchanged),
        doubled=frozenset(doubled),
        remarks={
            day: "; ".join(told) for day, told in remarks.items() if told and day not in short
        },
        counts={task.date: _counts(phase, task.date, now) for task in tasks},
    )


def _shortfall(phase: Phase, task: Task, now: Assessment) -> str | None:
    """What rows a date lacks, in words."""
    day = task.date
    if day in now.empty[phase.name]:
        return (
            f"rows missing: the source holds none of {day} any more, so nothing is due. {ENQUEUE} "
            "plans what is due now"
        )
    gap = now.gaps[phase.name].get(day)
    if gap is None or gap.reason not in SHORT:
        return None
    finding = next(finding for finding in gap.findings if finding.reason in SHORT)
    kind = "rows lost" if task.reason in OUTDATED else "rows missing"
    told = f"{kind}: {finding.table} holds {finding.found} of {finding.expected} on {day}"
    if finding.ids:
        told += f", and lacks {finding.named}"
    due = now.expected[phase.name][day].get(finding.entity)
    then = task.expected.get(finding.entity)
    if due is not None and then is not None and due > then:
        told += f" (upstream holds {due} now, and held {then} when the plan was made)"
    if task.reason in OUTDATED:
        told += "; they were there when the plan was made"
    return told


def _new_flaw(
    phase: Phase,
    task: Task,
    now: Assessment,
    before: Before,
    flaws: Mapping[str, Mapping[str, int]],
) -> Finding | None:
    """The worst flaw that the step made, or made worse."""
    gap = now.gaps[phase.name].get(task.date)
    day = task.date.isoformat()
    for finding in gap.findings if gap else ():
        key = flaw_key(finding.table, finding.reason, finding.about)
        if flaws.get(day, {}).get(key, 0) > before.flaws.get(day, {}).get(key, 0):
            return finding
    return None


def _flaw(phase: Phase, task: Task, now: Assessment, made: Finding | None) -> str | None:
    """A flaw that the step was to repair, or that it made, in words."""
    gap = now.gaps[phase.name].get(task.date)
    for finding in gap.findings if gap else ():
        if finding.reason in task.flaws:
            return f"still {finding.reason} on {task.date}: {finding}"
    return f"new {made.reason} on {task.date}: {made}" if made is not None else None


def _moved(task: Task, now: Assessment, phase: Phase) -> Iterator[str]:
    """Upstream that holds less than when the plan was made."""
    for entity, then in task.expected.items():
        due = now.expected[phase.name][task.date].get(entity, then)
        if due < then:
            yield f"upstream holds {counted(due, entity)} now, and {then} when the plan was made"


def _counts(phase: Phase, day: date, now: Assessment) -> tuple[int, int]:
    gap = now.gaps[phase.name].get(day)
    if gap is not None:
        return gap.expected, gap.found
    count = count_due(phase, now.expected[phase.name].get(day, {}))
    return count, count
