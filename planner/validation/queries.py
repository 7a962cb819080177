"""The queries of the validation suite as GoogleSQL, one statement each, for any pipeline.

Every query is a file in `sql/queries/`. What it shares with others, the pipeline file's phases, the
calendar, the counts and their judgement, is put in from `sql/queries/shared/`.
`planner.validation.results` computes the same from counts that are already there; a test holds both
equal. The statements compare counts of entities, not the entities themselves.
"""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal

from planner.errors import UsageError
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from planner.pipeline.criteria import (
    CompleteCriterion,
    Criterion,
    DatesCriterion,
    EntitiesCriterion,
)
from planner.pipeline.exclude import Excluded
from planner.pipeline.model import exact
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window
from planner.text import nearest
from planner.validation.counts import criterion_seasons, early_days, known_seasons, sources_of
from planner.validation.results import QUERIES
from sql.coverage import coverage_query
from sql.days import dated
from sql.parameters import scalar_type
from sql.statements import load, quote_text, without_comments
from sql.warehouse import Parameters, Scalar, Table

_PARAMETER = re.compile(r"@([a-z_0-9]+)")
_ROWS = "*"  # as an entity: the rows themselves


def query_of(
    pipeline: Pipeline, name: str, scope: Window, *, closing: Closing | None = None
) -> tuple[str, Parameters]:
    """The statement of the query `name` over `scope`, and its bound parameters.

    What `closing` calls open is due in no phase; without it, every day has long been over.
    Raises `UsageError` when there is no such query, or no table that it is about.
    """
    check_name(name)
    if name == "grades" and not any(_graded(pipeline)):
        raise UsageError(f"No table of pipeline {pipeline.name!r} has `grades`.")
    values: dict[str, Scalar | Sequence[Scalar]] = {
        **_calendar(pipeline, scope, closing),
        **_criterion_seasons(pipeline, scope),
    }
    parts = {
        "pipeline": _pipeline(pipeline),
        "calendar": load("queries/shared/calendar").rstrip(),
        "judged": load("queries/shared/judged").rstrip(),
        "counts": _counts(pipeline, scope, values),
        "criteria": _lines(_criterion_rows(pipeline), 4),
        "verdicts": _union(_verdicts(pipeline), 2),
        "grades": _union(_grades(pipeline, scope, values), 2),
        "graded_tables": ", ".join(quote_text(spec.name) for spec in _graded(pipeline)),
    }
    statement = load(f"queries/{name}").format(**parts)
    used = set(_PARAMETER.findall(statement))
    return statement, {key: value for key, value in values.items() if key in used}


def check_name(name: str) -> None:
    """Raises `UsageError` when there is no query called `name`."""
    if name not in QUERIES:
        hint = nearest(name, QUERIES).replace("known keys", "there are")
        raise UsageError(f"There is no query {name!r}; {hint}")


def printed(statement: str, parameters: Parameters, told: Iterable[str] = ()) -> str:
    """A statement for a person to run, under the `bq` options that bind its parameters, and under
    what there is to know of it."""
    options = [
        shlex.quote(f"--parameter={name}:{_type(value)}:{_written(value)}")
        for name, value in parameters.items()
    ]
    head = ["-- Save this as query.sql, and run it in BigQuery:"]
    head.append("--   bq query --use_legacy_sql=false \\")
    # In a comment nothing may begin a line.
    head += [f"--     {' '.join(option.split())} \\" for option in options]
    head.append("--     < query.sql")
    head.append(
        "-- Date columns are taken for DATEs here. Of a TIMESTAMP, write DATE(it, 'a time zone')."
    )
    head += [f"-- {' '.join(line.split())}" for line in told]
    return "\n".join([*head, statement.rstrip()]) + "\n"


# -- the pipeline file --------------------------------------------------------------------------


def _pipeline(pipeline: Pipeline) -> str:
    phases: list[str] = []
    upstreams: list[str] = []
    tables: list[str] = []
    counted: list[str] = []
    measured = [
        _row(phase, table, entity, *other)
        for ((phase, table), entity), others in pipeline.measures.items()
        for other in others
    ]
    for phase in pipeline.phases:
        sources = sources_of(pipeline, phase.name)
        phases.append(
            _row(
                phase.name,
                len(phases),
                phase.is_source,
                len(sources),
                early_days(pipeline, phase.name),
                any(pipeline.entity in spec.entities for spec in phase.tables),
            )
        )
        for upstream in sorted({*pipeline.ancestors[phase.name], *sources}):
            upstreams.append(
                _row(phase.name, upstream, upstream in phase.after, upstream in sources)
            )
        for spec in phase.tables:
            band = spec.rows_per_entity
            place = len(tables)
            tables.append(
                _row(
                    phase.name,
                    spec.name,
                    place,
                    pipeline.entity in spec.entities,
                    band.low if band else None,
                    band.high if band else None,
                )
            )
            early = phase.early_days(spec, pipeline.bootstrap_days)
            # Rows come last: they are what a table is short of only when no entity is.
            for n, entity in enumerate([*spec.entities, _ROWS]):
                share = exact(spec.share(entity))
                counted.append(_row(phase.name, spec.name, place, entity, n, share, early))
    return (
        load("queries/shared/pipeline")
        .format(
            phases=_lines(phases, 4),
            upstreams=_lines(upstreams, 4),
            tables=_lines(tables, 4),
            counted=_lines(counted, 4),
            measured=_lines(measured, 4),
        )
        .rstrip()
    )


def _calendar(pipeline: Pipeline, scope: Window, closing: Closing | None) -> Parameters:
    """The calendar as parameters, the same for every query; no list of them is empty."""
    spans: list[tuple[str, str, int, Window]] = []
    seasons = known_seasons(pipeline, scope)
    for season in seasons:
        spans.append((season.name, "", season.year, season))
        spans += [(season.name, part, season.year, w) for part, w in season.windows.items()]
    spans += [
        ("", phase, 0, part.window)
        for part in pipeline.exclude
        if part.from_ is None and not part.tables
        for phase in _without(pipeline, part)
    ]
    spans += [("", phase, 0, window) for phase, window in _open(pipeline, scope, closing)]
    first = Calendar(pipeline=pipeline).first
    numbered = pipeline.seasons or (Window(start=first, end=max(first, scope.end)),)
    years = sorted({season.year for season in seasons if season.common(scope)})
    return {
        "start_date": scope.start,
        "end_date": scope.end,
        "season_years": years or [season.year for season in seasons],
        "span_seasons": [season for season, _, _, _ in spans],
        "span_parts": [part for _, part, _, _ in spans],
        "span_years": [year for _, _, year, _ in spans],
        "span_starts": [window.start for _, _, _, window in spans],
        "span_ends": [window.end for _, _, _, window in spans],
        "numbered_starts": [window.start for window in numbered],
        "numbered_ends": [window.end for window in numbered],
        "entity": pipeline.entity,
    }


def _without(pipeline: Pipeline, part: Excluded) -> Iterator[str]:
    """The phases that an exclusion is about, and all that are computed from them; `""`: all."""
    if not part.phases:
        yield ""
    for name, above in pipeline.ancestors.items() if part.phases else ():
        if not {name, *above}.isdisjoint(part.phases):
            yield name


def _open(
    pipeline: Pipeline, scope: Window, closing: Closing | None
) -> Iterator[tuple[str, Window]]:
    """The phases and days that are not closed."""
    for phase in pipeline.phases if closing is not None else ():
        for day in scope.days():
            if closing is not None and closing.is_open(phase, day):
                yield phase.name, Window(start=day, end=day)


def left_out(pipeline: Pipeline) -> list[str]:
    """What the statements do not know of the pipeline file: a line of what they show as gaps though
    it may be none, and one of what they do not see."""
    specs = [(phase, spec) for phase in pipeline.phases for spec in phase.tables]
    wrongly = {
        "phases that are due by week or month": any(not p.grain.is_daily for p in pipeline.phases),
        "accepted losses": bool(pipeline.accept),
        "exclusions of single tables": any(part.tables for part in pipeline.exclude),
        "exclusions that a table lists": any(part.from_ is not None for part in pipeline.exclude),
    }
    unseen = {
        "which ids are there (it compares numbers)": True,
        "what sources are expected to hold": any(phase.expected(spec) for phase, spec in specs),
        "`key`, `filled` and audits": any(s.key or s.filled or s.audits for _, s in specs),
        "dates whose source's rows are gone": True,
        "rows after the calendar's end": Calendar(pipeline=pipeline).last is not None,
    }
    lines = [f"It does not judge {_named(unseen)}: that it shows no gap is no all-clear."]
    if any(wrongly.values()):
        lines.append(f"It does not know of {_named(wrongly)}: it may show them as gaps.")
    return [*lines, "`planner validate` and `planner gaps` judge all of this."]


def _named(things: Mapping[str, bool]) -> str:
    return ", ".join(thing for thing, is_there in things.items() if is_there)


# -- the counts ---------------------------------------------------------------------------------


def _counts(pipeline: Pipeline, scope: Window, values: dict[str, Scalar | Sequence[Scalar]]) -> str:
    tables = [(phase, spec) for phase in pipeline.phases for spec in phase.tables]
    statements = [
        _bare("queries/shared/table_counts").format(
            phase=quote_text(phase.name),
            table_name=quote_text(spec.name),
            coverage=_coverage(spec.table, n, scope, values),
            counts=",\n  ".join(
                f"STRUCT({quote_text(entity)} AS entity, {column} AS found)"
                for entity, column in _columns(spec.table)
            ),
        )
        for n, (phase, spec) in enumerate(tables)
    ]
    return f"counts AS (\n  {_union(statements, 2)}\n)"


def _grades(
    pipeline: Pipeline, scope: Window, values: dict[str, Scalar | Sequence[Scalar]]
) -> Iterator[str]:
    for n, spec in enumerate(_graded(pipeline)):
        columns = dict(_columns(spec.table))
        yield _bare("queries/shared/grade").format(
            table_name=quote_text(spec.name),
            coverage=_coverage(spec.table_with_grades, f"graded_{n}", scope, values),
            entities=columns.get(pipeline.entity, "CAST(NULL AS INT64)"),
        )


def _graded(pipeline: Pipeline) -> Iterator[TableSpec]:
    return (spec for phase in pipeline.phases for spec in phase.tables if spec.grades)


def _coverage(
    table: Table, n: int | str, scope: Window, values: dict[str, Scalar | Sequence[Scalar]]
) -> str:
    # A statement that is printed is made without asking the warehouse what its dates are.
    known = dated(table, lambda _: {})
    statement, parameters = coverage_query(
        known, scope.start, scope.end, filters=f"table_{n}_filter_", counts_only=True
    )
    values.update(parameters)
    return textwrap.indent(without_comments(statement), "  ").lstrip()


def _columns(table: Table) -> Iterator[tuple[str, str]]:
    yield _ROWS, "held.row_count"
    for n, entity in enumerate(table.entities):
        yield entity, f"held.entity_{n}"


# -- the criteria -------------------------------------------------------------------------------


def _criterion_rows(pipeline: Pipeline) -> list[str]:
    return [
        _row(
            criterion.name,
            place,
            criterion.part,
            exact(getattr(criterion, "tolerance", 0)),
            getattr(criterion, "minimum", None),
        )
        for place, criterion in enumerate(pipeline.success_criteria)
    ]


def _criterion_seasons(pipeline: Pipeline, scope: Window) -> Parameters:
    named = [
        (criterion.name, season.name)
        for criterion in pipeline.success_criteria
        for season in criterion_seasons(pipeline, criterion, scope)
    ]
    return {
        "criterion_names": [name for name, _ in named],
        "criterion_seasons": [season for _, season in named],
    }


def _verdicts(pipeline: Pipeline) -> Iterator[str]:
    for criterion in pipeline.success_criteria:
        yield load(f"queries/criteria/{criterion.kind}").format(
            criterion=quote_text(criterion.name),
            **{name: quote_text(value) for name, value in _about(pipeline, criterion)},
            phases=", ".join(quote_text(name) for name in _phases(pipeline, criterion)),
        )


def _about(pipeline: Pipeline, criterion: Criterion) -> Iterator[tuple[str, str]]:
    if isinstance(criterion, EntitiesCriterion):
        yield "entity", criterion.entity or pipeline.entity
    if isinstance(criterion, (EntitiesCriterion, DatesCriterion)):
        yield "against", criterion.against
    if not isinstance(criterion, CompleteCriterion):
        yield "phase", criterion.phase


def _phases(pipeline: Pipeline, criterion: Criterion) -> Iterable[str]:
    return criterion.about or pipeline.by_name


# -- text ---------------------------------------------------------------------------------------


def _row(*values: str | float | bool | Decimal | None) -> str:
    return f"({', '.join(map(_literal, values))})"


def _literal(value: str | float | bool | Decimal | None) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case str():
            return quote_text(value)
        case Decimal():
            return f"NUMERIC '{value:f}'"
    return repr(value)


def _lines(rows: Iterable[str], indent: int) -> str:
    return f",\n{' ' * indent}".join(rows)


def _union(statements: Iterable[str], indent: int) -> str:
    text = "\nUNION ALL\n".join(statement.rstrip() for statement in statements)
    return textwrap.indent(text, " " * indent).lstrip()


def _bare(name: str) -> str:
    """A part that stands there once per table, so its comment is left out."""
    return without_comments(load(name))


def _type(value: Scalar | Sequence[Scalar]) -> str:
    if isinstance(value, (str, int, float, date)):
        return scalar_type(value)
    return f"ARRAY<{scalar_type(value[0])}>"


def _written(value: Scalar | Sequence[Scalar]) -> str:
    if isinstance(value, (str, int, float, date)):
        return str(value)
    return json.dumps(value, default=str)
