"""`planner demo` and `planner sandbox`: try everything on a small real pipeline."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext, redirect_stdout
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.commands.up import stop_on_sigterm
from planner.console import options as opt
from planner.console.output import count_table, err, matrix_table, note, out, print_json
from planner.errors import Exit, FleetError, UsageError
from planner.files import make_folder
from planner.gaps.matrix import Matrix, matrix
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Season, Window
from planner.settings import Settings, load_settings
from planner.text import counted

if TYPE_CHECKING:
    from pyarrow import Table

DEMO_SEASONS = "2021,2022,2023,2024"
DEMO_MARK = ".backfill-demo"
"""The file by which a demo knows the folder of an earlier one."""
DEMO_POLL_SECONDS = 1.0  # the demo's steps take a second, not minutes

app = typer.Typer(
    name="sandbox",
    help="A small real pipeline to try the planner on.",
    no_args_is_help=True,
    add_completion=False,
)


class Example(StrEnum):
    """Shipped pipelines that a sandbox can be built of."""

    NBA = "nba"
    SHOP = "shop"


ExampleOption = Annotated[
    Example,
    typer.Option("--example", help="A league with seasons, or a shop that sells all year."),
]
Boxscores = Annotated[
    Path | None,
    typer.Option("--boxscores", metavar="FILE", help="Real box scores, Parquet; else made up."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the random numbers.")]
Seasons = Annotated[
    str,
    typer.Option(
        "--seasons",
        parser=opt.parse_names,
        metavar="YEARS",
        help="Seasons by starting year: 2021,2022.",
    ),
]
Workers = Annotated[int, typer.Option("--workers", "-n", min=1, max=64, help="Worker processes.")]


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    example: ExampleOption = Example.NBA,
    boxscores: Boxscores = None,
    seasons: Seasons = DEMO_SEASONS,
    seed: Seed = 1,
    until: Annotated[
        date | None,
        typer.Option(
            "--until",
            parser=opt.parse_day,
            metavar="DATE",
            help="The last day with rows. Of the shop, yesterday is the default.",
        ),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Build a warehouse with every phase complete, in one piece."""
    pipeline = load_pipeline(example)
    with err.status("Building …"):
        if example is Example.SHOP:
            _build_shop(folder, pipeline, boxscores, seasons, seed, until)
        else:
            from planner.sandbox.build import build as build_warehouse

            build_warehouse(folder, _boxscores(pipeline, boxscores, seasons, seed), until=until)
    if json:
        print_json({"warehouse": f"local:{folder.absolute()}", "pipeline": example})
    else:
        out.print(
            f"Built {folder}. Use it: "
            f"export BACKFILL_WAREHOUSE=local:{folder} BACKFILL_PIPELINE={example}",
            soft_wrap=True,
        )


def _build_shop(
    folder: Path,
    pipeline: Pipeline,
    boxscores: Path | None,
    seasons: str,
    seed: int,
    until: date | None,
) -> None:
    from planner.sandbox.shop import build_shop

    if boxscores or seasons != DEMO_SEASONS:
        raise UsageError("The shop has no seasons: leave --seasons and --boxscores out.")
    yesterday = opt.today(pipeline) - timedelta(days=1)
    build_shop(folder, pipeline, until=until or yesterday, seed=seed)


@app.command()
def punch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A built warehouse.")],
    example: ExampleOption = Example.NBA,
    seed: Seed = 1,
    holes: Annotated[int, typer.Option("--holes", min=1, help="How many.")] = 10,
    json: opt.Json = False,
) -> None:
    """Make random holes, and list them."""
    from planner.sandbox.punch import punch as punch_league
    from planner.sandbox.shop import punch_shop
    from sql import open_warehouse

    pipeline = load_pipeline(example)
    make = punch_shop if example is Example.SHOP else punch_league
    made = make(open_warehouse(f"local:{folder}"), pipeline, seed=seed, holes=holes)
    rows = [
        {
            "phase": hole.phase,
            "tables": list(hole.tables),
            "start": hole.start,
            "end": hole.end,
            "entity": hole.entity,
            "rows": hole.rows,
        }
        for hole in made
    ]
    if json:
        print_json({"holes": rows})
        return
    columns = ["phase", "dates", "tables", pipeline.entity, "rows"]
    table = count_table(
        f"{len(made)} holes, seed {seed}",
        columns,
        [
            [
                hole.phase,
                hole.start if hole.start == hole.end else f"{hole.start}..{hole.end}",
                ", ".join(name.rpartition(".")[2] for name in hole.tables),
                hole.entity or "",
                hole.rows,
            ]
            for hole in made
        ],
    )
    out.print(table)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(context: typer.Context, workers: Workers = 2) -> None:
    """Start Redis, workers and the coordinator, run a planner command, and end them all.

    planner sandbox run --workers 4 -- enqueue --gaps --wait --yes
    """
    from planner.sandbox.workers import sandbox_workers

    if not context.args:
        raise UsageError("Say which planner command to run: planner sandbox run -- gaps")
    stop_on_sigterm()
    with sandbox_workers(load_settings(), workers=workers) as running:
        done = subprocess.run(
            [sys.executable, "-m", "planner", *context.args], env=running.environment, check=False
        )
    raise typer.Exit(done.returncode)


def demo(
    boxscores: Boxscores = None,
    seasons: Seasons = DEMO_SEASONS,
    seed: Seed = 1,
    workers: Workers = 2,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare every table, row for row, with one never broken."),
    ] = False,
    json: opt.Json = False,
) -> None:
    """Build a pipeline with the holes of a real one, repair it with a fleet, and prove it.

    Needs nothing and leaves nothing running; its files stay in BACKFILL_HOME/demo.
    """
    began = time.monotonic()
    stop_on_sigterm()
    pipeline = load_pipeline("nba")
    settings, missing = _broken(pipeline, boxscores, seasons, seed, keep_whole=verify)
    place = settings.home_dir
    before = _matrix(settings, pipeline)
    if not json:
        out.print(f"A pipeline with {counted(missing, 'row')} missing.\n")
        out.print(matrix_table(before, "before", pipeline.entity))
    code = _repair(settings, workers, quiet=json)
    after = _matrix(settings, pipeline)
    reports = sorted(str(path) for path in (place / "reports").glob("*/report.*"))
    seconds = time.monotonic() - began
    if not json:
        out.print(matrix_table(after, "after", pipeline.entity))
        for report in reports:
            out.print(f"report: {report}", markup=False, soft_wrap=True)
    if verify:
        tables = _verify(place, pipeline)
        if not json:
            out.print(f"[green]Repair equals rebuild[/]: {tables} tables, row for row.")
    if json:
        print_json(
            {
                "rows_missing": missing,
                "before": dump(before),
                "after": dump(after),
                "reports": reports,
                "verified": verify,
                "seconds": round(seconds, 1),
            }
        )
    else:
        out.print(f"{seconds:.0f} s in all.")
    raise typer.Exit(code)


def _broken(
    pipeline: Pipeline, boxscores: Path | None, seasons: str, seed: int, *, keep_whole: bool
) -> tuple[Settings, int]:
    """A new warehouse in `BACKFILL_HOME/demo` with holes, and how many rows they took.

    This process and those that it starts have its settings from now on. With `keep_whole` a copy
    from before the holes stays beside it.
    """
    from planner.sandbox.build import build as build_warehouse
    from planner.sandbox.demo_pipeline import demo_pipeline
    from planner.sandbox.punch import punch_plan
    from planner.sandbox.workers import environment_of
    from sql import open_warehouse

    with err.status("Making seasons …"):
        scores = _boxscores(pipeline, boxscores, seasons, seed)
    place = _emptied(load_settings().folder("demo"))
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=f"local:{place / 'warehouse'}",
        pipeline=str(demo_pipeline(place)),
        broker_url="embedded",
        home=place,
        poll_max_seconds=DEMO_POLL_SECONDS,
    )
    os.environ.update(environment_of(settings))
    with err.status("Building every phase …"):
        build_warehouse(place / "warehouse", scores, until=None)
        if keep_whole:
            shutil.copytree(place / "warehouse", place / "whole")
    with err.status("Making the holes …"):
        holes = punch_plan(open_warehouse(settings.warehouse), pipeline)
    return settings, sum(hole.rows for hole in holes)


def _emptied(place: Path) -> Path:
    """A folder without what an earlier demo left there. Raises `UsageError` for what others did."""
    if any(place.iterdir()) and not (place / DEMO_MARK).is_file():
        raise UsageError(
            f"{place} holds files, and none of {DEMO_MARK}, which a demo leaves: move them, or set "
            "BACKFILL_HOME to another folder. Nothing was removed."
        )
    shutil.rmtree(place)
    make_folder(place)
    (place / DEMO_MARK).write_text("Made by `planner demo`, which removes this folder next time.\n")
    return place


def _repair(settings: Settings, workers: int, *, quiet: bool) -> int:
    """Start workers and enqueue the gaps, as the user would; the exit code of that."""
    from planner.sandbox.workers import sandbox_workers

    with sandbox_workers(settings, workers=workers) as running:
        os.environ.update(running.environment)
        if not quiet:
            out.print(f"\n[bold]$ planner enqueue --gaps[/]   ({counted(workers, 'worker')})")
        return _enqueue(quiet=quiet)


def dump(counts: Matrix) -> dict[str, dict[str, dict[str, int | None]]]:
    """A matrix as JSON."""
    return {
        name: {phase: count.model_dump() for phase, count in row.items()}
        for name, row in counts.items()
    }


def _enqueue(*, quiet: bool) -> int:
    """What the user would type: `planner enqueue --gaps --wait --yes`."""
    from planner.commands.enqueue import enqueue

    try:
        with redirect_stdout(io.StringIO()) if quiet else nullcontext():
            enqueue(gaps=True, wait=True, yes=True, json=quiet)
    except typer.Exit as ended:
        return ended.exit_code
    return Exit.DONE


def _verify(place: Path, pipeline: Pipeline) -> int:
    """Compare row for row with the copy that was never broken; how many tables."""
    from planner.sandbox.compare import differences
    from sql import open_warehouse

    tables = [spec.name for phase in pipeline.phases for spec in phase.tables]
    with err.status("Comparing row for row …"):
        found = differences(
            open_warehouse(f"local:{place / 'whole'}"),
            open_warehouse(f"local:{place / 'warehouse'}"),
            tables,
        )
    for difference in found:
        note(str(difference))
    if found:
        raise FleetError(f"{len(found)} differences: the repair is not equal to the rebuild.")
    return len(tables)


def _matrix(settings: Settings, pipeline: Pipeline) -> Matrix:
    from planner.gaps.survey import survey
    from sql import open_warehouse

    scope = Window(start=pipeline.seasons[0].start, end=pipeline.seasons[-1].end)
    with err.status("Counting …"):
        assessment = survey(open_warehouse(settings.warehouse), pipeline, scope)
        return matrix(pipeline, assessment, scope)


def _boxscores(pipeline: Pipeline, file: Path | None, seasons: str, seed: int) -> Table:
    from planner.sandbox.boxscores import generate_boxscores, read_boxscores

    chosen = _seasons(pipeline, seasons)
    return read_boxscores(file, chosen) if file else generate_boxscores(chosen, seed=seed)


def _seasons(pipeline: Pipeline, text: str) -> list[Season]:
    from planner.pipeline.calendar import Calendar

    calendar = Calendar(pipeline=pipeline)
    return [calendar.season_named(name.strip()) for name in text.split(",") if name.strip()]
