"""`planner validate` and `planner compare`: every query at once, before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from planner import clock
from planner.console import options as opt
from planner.console.context import right_file, settings_here
from planner.console.option_groups import Scope, grouped
from planner.console.output import count_table, err, note, out, print_json
from planner.errors import Exit, UsageError
from planner.gaps.beyond import rows_beyond
from planner.gaps.gaps import Assessment
from planner.gaps.notices import notices
from planner.pipeline.closing import Closing
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.settings import load_settings
from planner.text import DATES_SHOWN, date_ranges

if TYPE_CHECKING:
    from pydantic import BaseModel

    from planner.validation.baseline import Baseline, Comparison
    from planner.validation.counts import Counts
    from planner.validation.criterion_row import CriterionRow
    from planner.validation.results import MatrixRow, Results
    from sql.warehouse import Warehouse

FOLDER = "baselines"  # in BACKFILL_HOME

Query = Annotated[
    str | None,
    typer.Option(
        "--query",
        "--question",
        metavar="NAME",
        help="Show this query's result alone, in full.",
    ),
]
Save = Annotated[
    str | None,
    typer.Option("--save", metavar="NAME", help="Keep the results, for `planner compare`."),
]
Print = Annotated[
    str | None,
    typer.Option("--print", metavar="QUERY", help="Print its SQL, and count nothing."),
]
BeforeAfter = Annotated[str, typer.Argument(metavar="NAME", help="A saved baseline, or a file.")]


@grouped
def validate(
    *,
    scope: Scope,
    query: Query = None,
    save: Save = None,
    print_: Print = None,
    json: opt.Json = False,
) -> None:
    """Run every query of the validation suite, reading each table once.

    The queries: counts, matrix, gaps, density, grades, criteria. Exit code 0 when all success
    criteria hold and no date is short, flawed, an orphan or outside its band; 1 when not.
    """
    from planner.validation.baseline import baseline_of, checked_name
    from planner.validation.baseline import save as save_baseline
    from planner.validation.queries import check_name, left_out, printed, query_of
    from sql import open_warehouse

    settings = settings_here()
    pipeline = load_pipeline(settings.pipeline)
    window = scope.window(pipeline)
    if print_ is not None:
        if query or save or json:
            raise UsageError("Give --print alone, or with --season, --start and --end.")
        closing = Closing(pipeline=pipeline, now=clock.now())
        asked = query_of(pipeline, print_, window, closing=closing)
        return typer.echo(printed(*asked, left_out(pipeline)), nl=False)
    if query is not None:
        check_name(query)
    if save is not None:
        checked_name(save)
    warehouse = open_warehouse(
        settings.warehouse, location=settings.location, max_bytes=settings.max_bytes
    ).labelled(phase="validate")
    with right_file(warehouse, pipeline, settings):
        counts, told = _counted(warehouse, pipeline, window, beyond=scope.is_until_today)
    found = baseline_of(counts, warehouse=warehouse.name, now=clock.now(), notices=tuple(told))
    if save is not None:
        note(f"Kept in {save_baseline(settings.folder(FOLDER), save, found)}.")
    if json:
        content = found.as_json()
        if query is not None:
            content["answers"] = {query: content["answers"][query]}
        print_json(content)
    elif query is not None:
        _print_rows(query, getattr(found.results, query))
    else:
        for line in told:
            out.print(line, style="red", soft_wrap=True, markup=False)
        _print_suite(pipeline, found.results, f"{window.start} to {window.end}")
    _conclude(pipeline, found)
    _say_accepted(counts.assessment)
    raise typer.Exit(Exit.DONE if found.holds else Exit.GAPS)


def _counted(
    warehouse: Warehouse, pipeline: Pipeline, window: Window, *, beyond: bool
) -> tuple[Counts, list[str]]:
    """The counts, and what could not be judged; with `beyond`, rows after the calendar's end."""
    from planner.doctor.names import explained
    from planner.validation.counts import count_tables

    closing = Closing(pipeline=pipeline, now=clock.now())
    with err.status("Counting …") as status:
        counts = count_tables(
            warehouse,
            pipeline,
            window,
            closing=closing,
            on_table=lambda table: status.update(f"Counting {table} …"),
            on_error=lambda table, error: explained(warehouse, table, error),
        )
        after = rows_beyond(warehouse, pipeline, closing.today) if beyond else ()
    return counts, notices(pipeline, replace(counts.assessment, beyond=after), window)


def compare(before: BeforeAfter, after: BeforeAfter, json: opt.Json = False) -> None:
    """Show what changed between two validations, per season and phase.

    planner validate --save before; planner enqueue --gaps --wait; planner validate --save after;
    planner compare before after
    """
    from planner.validation.baseline import compare as compare_baselines
    from planner.validation.baseline import read

    folder = load_settings().home_dir / FOLDER
    found = compare_baselines(read(folder, before), read(folder, after))
    if json:
        print_json(found.as_json())
    else:
        _print_comparison(found)


# -- the suite for people -----------------------------------------------------------------------


def _print_suite(pipeline: Pipeline, results: Results, scope: str) -> None:
    whole = [row for row in results.matrix if not row.part]
    there = {row.season for row in whole if row.overall != "no rows"}
    parts = [row for row in results.matrix if row.part and row.season in there]
    out.print(_matrix_table(pipeline, whole, scope))
    if parts:
        out.print(_matrix_table(pipeline, parts, "parts of seasons"))
    _print_grades(results)
    _print_density(pipeline, results)
    _print_gaps(results)
    out.print(_criteria_table(results.criteria))


def _matrix_table(pipeline: Pipeline, rows: Sequence[MatrixRow], title: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("season")
    for phase in pipeline.by_name:
        table.add_column(phase, justify="right")
    table.add_column("all phases")
    groups: dict[tuple[str, str], list[MatrixRow]] = {}
    for row in rows:
        groups.setdefault((row.season, row.part), []).append(row)
    for (season, part), phases in groups.items():
        label = f"{season} {part.replace('_', '-')}".rstrip()
        overall = _coloured(phases[0].overall, good=["complete"], bad=["gaps"])
        table.add_row(escape(label), *(_standing(row) for row in phases), overall)
    table.caption = f"complete dates / expected dates ({pipeline.entity}s)"
    return table


def _standing(row: MatrixRow) -> str:
    if row.status == "nothing due":
        return "[dim]–[/]"
    text = f"{row.complete}/{row.expected}"
    if row.entities is not None:
        text += f" ({row.entities})"
    return f"[green]{text} ✓[/]" if row.status == "complete" else f"[red]{text} ✗[/]"


def _print_grades(results: Results) -> None:
    rows = [
        [row.season, row.system, row.row_count, _number(row.mean_error), _share(row.accuracy)]
        for row in results.grades
        if row.status == "graded"
    ]
    empty = [row.season for row in results.grades if row.status == "no rows"]
    if rows:
        columns = ["season", "system", "rows", "mean error", "right"]
        out.print(count_table("grades (* is every system)", columns, rows))
    if empty:
        note(f"no rows: nothing is graded in {', '.join(dict.fromkeys(empty))}")


def _print_density(pipeline: Pipeline, results: Results) -> None:
    for row in results.density:
        if row.status in ("low", "high"):
            note(
                f"{row.status}: {row.table_name} has {_number(row.per_entity)} rows per "
                f"{pipeline.entity} in {row.season}; normal are {row.low:g} to {row.high:g}"
            )


def _print_gaps(results: Results) -> None:
    groups: dict[tuple[str, str], list[Any]] = {}
    for row in results.gaps:
        groups.setdefault((row.phase, row.status), []).append(row.date)
    if not groups:
        out.print("No gaps.")
        return
    rows = [[*key, len(days), date_ranges(days)] for key, days in groups.items()]
    table = count_table("gaps", ["phase", "what", "dates", "which"], rows)
    table.columns[1].justify = table.columns[3].justify = "left"
    out.print(table)


def _criteria_table(rows: Sequence[CriterionRow]) -> Table:
    table = count_table("success criteria", ["criterion", "season", "expected", "found"], [])
    table.add_column("", justify="left")
    table.add_column("dates that fall short", justify="left", overflow="fold")
    for row in rows:
        more = row.offending - len(row.dates)
        dates = ", ".join(map(str, row.dates)) + (f" … {more} more" if more else "")
        status = _coloured(row.status, good=["holds"], bad=["fails", "no rows"])
        numbers = (str(row.expected), str(row.found))
        table.add_row(escape(row.criterion), escape(row.season), *numbers, status, dates)
    return table


def _conclude(pipeline: Pipeline, found: Baseline) -> None:
    results = found.results
    for each in found.off_band[:DATES_SHOWN]:
        note(
            f"{each.status}: {each.table_name} on {each.date} has {_number(each.per_entity)} rows "
            f"per {pipeline.entity}"
        )
    if len(found.off_band) > DATES_SHOWN:
        note(f"… {len(found.off_band) - DATES_SHOWN} more dates outside their band")
    if not pipeline.complete:
        note("complete = false in the pipeline file: gaps are listed, and not judged.")
    _say_criteria(results)
    if results.hold and not found.holds:
        note("The success criteria hold, and not all is well: gaps, orphans or bands, see above.")


def _say_accepted(assessment: Assessment) -> None:
    total = sum(map(len, assessment.accepted.values()))
    if total:
        note(f"Accepted losses, which count as complete: {total:,} phase-dates.")


def _say_criteria(results: Results) -> None:
    states = Counter(row.status for row in results.criteria)
    short = states["fails"] + states["no rows"]
    if results.hold:
        note("Every success criterion that is about these dates holds.")
    elif short:
        note(f"Success criteria that do not hold: {short} of {short + states['holds']}.")
    else:
        note("No success criterion is about these dates, so nothing was shown to be complete.")


def _print_rows(title: str, rows: Sequence[BaseModel]) -> None:
    if not rows:
        out.print(f"{title}: no rows.")
        return
    columns = list(type(rows[0]).model_fields)
    cells = [[_text(getattr(row, column)) for column in columns] for row in rows]
    table = count_table(title, columns, cells)
    for column in table.columns:
        column.overflow = "fold"
    out.print(table)


# -- before and after ---------------------------------------------------------------------------


def _print_comparison(found: Comparison) -> None:
    if not found.phases and not found.criteria:
        out.print("Nothing changed.")
        return
    if found.phases:
        rows = [
            [
                f"{change.season} {change.part.replace('_', '-')}".rstrip(),
                change.phase,
                *(
                    _changed(change.before, change.after, fields)
                    for fields in (("complete", "expected"), ("entities",), ("row_count",))
                ),
            ]
            for change in found.phases
        ]
        columns = ["season", "phase", "complete / expected dates", "entities", "rows"]
        out.print(count_table("before → after", columns, rows))
    if found.criteria:
        rows = [
            [
                change.criterion,
                change.season,
                *(
                    _changed(change.before, change.after, fields)
                    for fields in (("status",), ("found", "expected"))
                ),
            ]
            for change in found.criteria
        ]
        columns = ["criterion", "season", "status", "found / expected"]
        out.print(count_table("success criteria, before → after", columns, rows))


def _changed(before: BaseModel | None, after: BaseModel | None, fields: Sequence[str]) -> str:
    was, now = (
        " / ".join(_text(getattr(row, field)) for field in fields) if row else "not counted"
        for row in (before, after)
    )
    return was if was == now else f"{was} → {now}"


# -- text ---------------------------------------------------------------------------------------


def _coloured(status: str, *, good: Sequence[str], bad: Sequence[str]) -> str:
    colour = "green" if status in good else "red" if status in bad else "dim"
    return f"[{colour}]{status}[/]"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "no rows" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "no rows" if value is None else f"{value:.1%}"
