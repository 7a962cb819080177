"""Whether a warehouse is what a pipeline file says: every table, column and partition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from difflib import get_close_matches
from itertools import chain

from planner.errors import BadPipeline
from planner.evidence.audits import check_audit
from planner.pipeline.calendar import Calendar
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.text import nearest
from sql import AccessDenied, TableNotFound, Unsupported, WarehouseError
from sql.counting import undated
from sql.days import DAY_KINDS
from sql.warehouse import Partitioning, Warehouse

CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
"""The variable that gives a process other credentials than ours."""

NO_DAY = date(9000, 1, 1)
"""A date without rows: what has a version on it has one version for all dates."""

_MADE_BY_HAND = (
    "make it, a Delta Lake table in the folder of its name, partitioned by its date "
    '(docs/operations.md, "A local table of one\'s own", has ten lines of Python)'
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check, and what it found."""

    what: str
    ok: bool
    detail: str = ""
    """What was found."""
    advice: str = ""
    """What to do about it, when it is not as it should be."""
    warning: str = ""
    """What is as it should be, and had better be mended all the same."""


def check_tables(warehouse: Warehouse, pipeline: Pipeline, *, today: date) -> Iterator[Check]:
    """One check per table, in the order of the file."""
    for phase in pipeline.phases:
        for spec in phase.tables:
            yield _table(warehouse, pipeline, phase, spec, today=today)


def _table(
    warehouse: Warehouse, pipeline: Pipeline, phase: Phase, spec: TableSpec, *, today: date
) -> Check:
    what = f"{phase.name}: {spec.name}"
    try:
        columns = warehouse.columns(spec.name)
        wrong = _columns(spec, columns)
        if wrong:
            return Check(what=what, ok=False, detail=wrong[0], advice=wrong[1])
        warehouse.coverage(spec.table, today, today)  # raises when it may not be read
        missing = warehouse.missing_rights(spec.name) if _is_written_here(phase) else ()
        if missing:
            return Check(
                what=what,
                ok=False,
                detail=f"it may not be written: {', '.join(missing)} is missing",
                advice=f"grant it to who runs the scripts, on {spec.name} or on its dataset "
                "(roles/bigquery.dataEditor has it)",
            )
        found = warehouse.partitioning(spec.name)
        odd = _undated(warehouse, spec, today=today)
        if phase.after and spec.written_at is None:
            odd = "; ".join(filter(None, (odd, _unproved(warehouse, spec))))
    except TableNotFound:
        return Check(
            what=what,
            ok=False,
            detail=f"{warehouse.name} has no such table",
            advice=_nearest_table(warehouse, spec.name),
        )
    except WarehouseError as error:
        return Check(what=what, ok=False, detail=str(error), advice="see what it says")
    check = _partitions(what, pipeline, spec, found, columns, today=today)
    return replace(check, detail=f"{check.detail}; {odd}") if odd else check


def _undated(warehouse: Warehouse, spec: TableSpec, *, today: date) -> str:
    """Rows that belong to no date, or why that is not known; empty where there are none."""
    try:
        return undated(warehouse.partitions([spec.table], today, today)[spec.name])
    except AccessDenied as error:
        return (
            f"its partitions may not be looked into, so rows without a date are not found: {error}"
        )


def _unproved(warehouse: Warehouse, spec: TableSpec) -> str:
    """That versions do not tell which dates were recomputed; empty where they do."""
    try:
        is_of_all = bool(warehouse.versions(spec.table, NO_DAY, NO_DAY))
    except Unsupported:
        return (
            "nothing versions its rows, so a recomputation is not proved (`written_at` would "
            "prove it)"
        )
    if is_of_all:
        return (
            "one version covers all its dates, so a write of one makes every date look recomputed "
            "(`written_at` would prove it)"
        )
    return ""


def check_audits(warehouse: Warehouse, pipeline: Pipeline) -> Iterator[Check]:
    """One check per audit: a query whose first column is a DATE."""
    specs = [spec for phase in pipeline.phases for spec in phase.tables]
    for audit in pipeline.audits:
        what = f"audit: {audit}"
        try:
            check_audit(warehouse, pipeline, audit)
        except (BadPipeline, WarehouseError) as error:
            yield Check(what=what, ok=False, detail=str(error), advice="correct it")
        else:
            names = dict.fromkeys(spec.name for spec in specs if audit in spec.audits)
            yield Check(what=what, ok=True, detail=f"of {', '.join(names)}")


def _is_written_here(phase: Phase) -> bool:
    """Whether what workers run writes a phase's rows with the credentials of this environment.

    A service has its own, and so has a script that is given some by its runner's `env`.
    """
    return any(runner.writes_as_worker(CREDENTIALS) for runner in phase.runners)


def _columns(spec: TableSpec, columns: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with the columns that are read, and what to do; None when nothing is."""
    known = {name.lower(): name for name in columns}  # BigQuery's names have no case
    judged = chain.from_iterable(spec.judged_columns.values())
    for name in (spec.date, *spec.table.entity_columns, *spec.where, *judged):
        if name.lower() not in known:
            hint = nearest(name, sorted(known.values()))
            return f"it has no column {name!r}", f"correct the pipeline file: {hint}"
    return None


def _nearest_table(warehouse: Warehouse, name: str) -> str:
    try:
        there = warehouse.tables(name)
    except WarehouseError:
        there = ()  # nothing is named that could not be listed
    near = get_close_matches(name, there, n=1)
    hint = f": did you mean {near[0]!r}?" if near else ""
    how = _MADE_BY_HAND if warehouse.name.startswith("local:") else "create it"
    return f"{how}, or correct its name in the pipeline file{hint}"


def _partitions(
    what: str,
    pipeline: Pipeline,
    spec: TableSpec,
    found: Partitioning,
    columns: Mapping[str, str],
    *,
    today: date,
) -> Check:
    oldest = Calendar(pipeline=pipeline).first
    if found.expires_days is not None and (today - oldest).days > found.expires_days:
        return Check(
            what=what,
            ok=False,
            detail=f"its partitions expire after {found.expires_days:g} days, so it cannot keep "
            f"dates back to {oldest}",
            advice="take the expiration off before filling it (partition_expiration_days = NULL)",
        )
    kinds = {name.lower(): kind for name, kind in columns.items()}
    is_other = found.column is not None and found.column.lower() != spec.date.lower()
    if is_other and found.needs_filter:
        return Check(
            what=what,
            ok=False,
            detail=f"it asks for a filter on {found.column!r}, and is counted by {spec.date!r}",
            advice=f"name {found.column!r} as its date in the pipeline file"
            if kinds.get(str(found.column).lower()) in DAY_KINDS
            else "no day is told by that: take the demand off (require_partition_filter = FALSE)",
        )
    if found.column is None:
        return Check(what=what, ok=True, detail=f"not partitioned; counted by {spec.date}")
    if is_other:
        return Check(what=what, ok=True, detail=f"by {spec.date}; partitioned by {found.column}")
    return Check(
        what=what,
        ok=True,
        detail=f"by {spec.date}" + (", filter required" if found.needs_filter else ""),
    )
