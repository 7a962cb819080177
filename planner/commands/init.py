"""`planner init`: a pipeline file from what a warehouse holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from planner import clock
from planner.console import options as opt
from planner.console.context import open_context
from planner.console.output import count_table, err, note, out, print_json
from planner.draft.look import Found, look
from planner.draft.manifest import parents_by_manifest
from planner.draft.order import Drafted, by_names, by_parents, in_order
from planner.draft.write import draft
from planner.errors import UsageError
from planner.files import write_whole
from planner.text import counted

if TYPE_CHECKING:
    from sql.warehouse import Warehouse

PHASES_LEAST = 2
ANY = "any.table"
FILE = Path("pipeline.toml")

File = Annotated[Path, typer.Argument(metavar="[FILE]", dir_okay=False, help="The file to make.")]
Tables = Annotated[
    str | None,
    typer.Option(
        "--tables",
        parser=opt.parse_names,
        metavar="A,B",
        help="These tables, sources first: each is a phase, made from the one before.",
    ),
]
Datasets = Annotated[
    str | None,
    typer.Option(
        "--datasets",
        parser=opt.parse_names,
        metavar="A,B",
        help="The tables of these datasets; else of all that the warehouse has.",
    ),
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        "--manifest", metavar="FILE", help="dbt's target/manifest.json: what is made from what."
    ),
]
Zone = Annotated[
    str,
    typer.Option(
        "--timezone", metavar="ZONE", help="Whose days the dates are, such as Europe/Berlin."
    ),
]


class Example(StrEnum):
    """What can be laid down to try."""

    SHOP = "shop"


ExampleOption = Annotated[
    Example | None,
    typer.Option(
        "--example",
        help="Lay down a small shop to try, here: tables with holes, and what fills them.",
    ),
]
PipelineName = Annotated[
    str, typer.Option("--name", metavar="NAME", help="What the pipeline is called.")
]


def init(
    file: File = FILE,
    tables: Tables = None,
    datasets: Datasets = None,
    manifest: Manifest = None,
    timezone: Zone = "UTC",
    name: PipelineName = "pipeline",
    example: ExampleOption = None,
    json: opt.Json = False,
) -> None:
    """Make a pipeline file from what the warehouse holds: tables, their days, ids and order.

    Tables are put in order by --tables, by dbt's manifest, or by what their names say, such as raw
    before marts. Phases have no runner at first: `planner gaps` finds what they lack, and the file
    says how to name what repairs them. Nothing is overwritten, and no table is changed.

    --example shop needs no tables: it makes some, in the folder where it is called.
    """
    if example is not None:
        if tables or datasets or manifest or file != FILE:
            raise UsageError("--example lays down tables and a file of its own: name neither.")
        _lay(json=json)
        return
    if file.exists():
        raise UsageError(f"{file} exists, and is left as it is: name another file.")
    if tables and (datasets or manifest):
        raise UsageError("Give --tables, which says the order, or --datasets and --manifest.")
    try:
        ZoneInfo(timezone)
    except (ValueError, OSError):
        raise UsageError(f"--timezone: {timezone!r} is none, such as Europe/Berlin is.") from None
    context = open_context()
    warehouse = context.warehouse.labelled(phase="init")
    names = _named(tables) or _in_datasets(warehouse, _named(datasets))
    found = _look(warehouse, names, timezone)
    usable = [each for each in found if not each.trouble]
    left = [each for each in found if each.trouble]
    phases = _phases(usable, left, manifest, is_ordered=tables is not None)
    text = draft(name, phases, left, zone=timezone)
    _check(text, file)
    write_whole(file, text)
    if json:
        print_json({"file": str(file), "phases": [_json(phase) for phase in phases]})
        return
    _print(phases, left)
    out.print(f"Written: {file}. Read it; it says what was guessed. Then:", markup=False)
    out.print(f"  export BACKFILL_PIPELINE={file}", markup=False)
    out.print("  planner doctor && planner gaps", markup=False)


def _lay(*, json: bool) -> None:
    """Lay the shop down in the current folder."""
    from planner.pipeline.load import load_pipeline
    from planner.sandbox.lay import lay_shop

    here = Path.cwd()
    with err.status("Building …"):
        holes = lay_shop(here, until=opt.today(load_pipeline("shop")) - timedelta(days=1))
    if json:
        rows = [{"phase": hole.phase, "date": hole.start, "rows": hole.rows} for hole in holes]
        print_json({"file": "shop.toml", "holes": rows})
        return
    out.print(
        f"Laid down: warehouse, the tables, with {counted(len(holes), 'hole')}; shop.toml, the "
        "pipeline file; sql, jobs and service, what fills them. Then:",
        soft_wrap=True,
    )
    out.print("  export BACKFILL_WAREHOUSE=local:warehouse BACKFILL_PIPELINE=shop.toml")
    out.print("  planner gaps")


def _named(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _in_datasets(warehouse: Warehouse, datasets: Sequence[str]) -> list[str]:
    """Every table of some datasets, or of all. Raises `UsageError` where there is none."""
    known = warehouse.tables(ANY)
    names = [name for name in known if not datasets or name.split(".")[-2] in datasets]
    if not names:
        there = ", ".join(sorted({name.split(".")[-2] for name in known})) or "none"
        raise UsageError(
            f"{warehouse.name} has no tables in {', '.join(datasets) or 'it'}; datasets there: "
            f"{there}. BACKFILL_WAREHOUSE says where to look."
        )
    return names


def _look(warehouse: Warehouse, names: Sequence[str], zone: str) -> list[Found]:
    today = clock.now().date()
    with err.status("Looking …") as status:
        found = []
        for name in names:
            status.update(f"Looking at {name} …")
            found.append(look(warehouse, name, today=today, zone=zone))
        return found


def _phases(
    usable: Sequence[Found], left: Sequence[Found], manifest: Path | None, *, is_ordered: bool
) -> list[Drafted]:
    if len(usable) < PHASES_LEAST:
        why = "; ".join(f"{each.name}: {each.trouble}" for each in left)
        raise UsageError(
            f"A pipeline has {PHASES_LEAST} phases at least, and {len(usable)} tables can be used"
            f"{'. Left out: ' + why if why else ''}. Name others with --tables."
        )
    if is_ordered:
        return in_order(usable)
    if manifest is not None:
        return by_parents(usable, parents_by_manifest(manifest, [each.name for each in usable]))
    return by_names(usable)


def _check(text: str, file: Path) -> None:
    """The draft is a pipeline file. Raises `UsageError` for what names no such thing allows."""
    from planner.errors import BadPipeline
    from planner.pipeline.load import parse_pipeline

    try:
        parse_pipeline(text, file)
    except BadPipeline as error:
        raise UsageError(
            f"No pipeline file can be made of these tables: {error} Name others with --tables."
        ) from None


def _json(phase: Drafted) -> dict[str, object]:
    return {
        "phase": phase.name,
        "after": [*phase.after],
        "tables": [{"name": table.name, "date": table.day_column} for table in phase.tables],
    }


def _print(phases: Sequence[Drafted], left: Sequence[Found]) -> None:
    rows = [
        [
            phase.name,
            ", ".join(phase.after) or "-",
            table.name,
            table.day_column,
            table.first,
            table.last,
        ]
        for phase in phases
        for table in phase.tables
    ]
    columns = ["phase", "after", "table", "date", "first", "last"]
    out.print(count_table("drafted", columns, rows))
    for each in left:
        note(f"left out: {each.name}: {each.trouble}")
