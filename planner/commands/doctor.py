"""`planner doctor`: is everything there that a run needs?"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from planner.console import options as opt
from planner.console.context import open_context
from planner.console.output import out, print_json
from planner.doctor.calendar import check_calendar
from planner.doctor.exclusions import check_exclusions
from planner.doctor.ids import check_ids
from planner.doctor.listings import check_listings
from planner.doctor.locations import check_locations
from planner.doctor.names import none_of
from planner.doctor.tables import Check, check_audits, check_tables
from planner.errors import Exit
from planner.plan.cost import readable
from planner.report.history import TABLES, check_columns
from planner.settings import Settings
from planner.text import counted
from sql import WarehouseError, load

DISK_LEAST = 1 << 30  # bytes; a season of logs is a tenth of it

if TYPE_CHECKING:
    from worker.context import Context


def doctor(json: opt.Json = False) -> None:
    """Check broker, warehouse, tables, columns, partitions, scripts, services and clock.

    Exit code 0 when all is well, 3 when something is not; each line says what to do. A line that
    begins with `!` is a warning.
    """
    checks = []
    for check in _checks():
        checks.append(check)
        if not json:
            _print(check)
    is_well = all(check.ok for check in checks)
    if json:
        print_json({"ok": is_well, "checks": [asdict(check) for check in checks]})
    raise typer.Exit(Exit.DONE if is_well else Exit.UNREACHABLE)


def _checks() -> Iterator[Check]:
    from worker.status.doctor import check_broker, check_runners

    context = open_context()
    yield from _files(context)
    yield _home(context.settings.home_dir)
    yield _disk(context.settings)
    yield from check_broker(context)
    warehouse = _warehouse(context)
    yield warehouse
    if warehouse.ok:
        yield from _tables(context)
        yield from _history(context)
    yield from check_runners(context)


def _files(context: Context) -> Iterator[Check]:
    """The pipeline file, and those that workers serve beside it."""
    from planner.pipeline.folder import look, open_to_all, pipeline_paths

    settings = context.settings
    named = context.pipeline.name  # a file that cannot be used is an error of its own
    own = open_to_all(pipeline_paths(settings.pipeline, None))
    detail = f"{named} ({settings.pipeline})"
    yield Check(what="pipeline file", ok=True, detail=detail, warning="; ".join(own))
    if settings.pipelines is not None:
        found, troubles = look(settings.pipeline, settings.pipelines)
        detail = f"{counted(len(found) - 1, 'file')} in {settings.pipelines}"
        told = "; ".join(each for each in troubles if each not in own)
        yield Check(what="pipelines", ok=True, detail=detail, warning=told)


def _tables(context: Context) -> Iterator[Check]:
    """The tables, or in one line that none is there: then the file or the warehouse is wrong."""
    tables, pipeline = context.warehouse.labelled(phase="doctor"), context.pipeline
    told = none_of(tables, pipeline, context.settings.pipeline)
    if told is not None:
        detail, _, advice = str(told).partition(": set ")
        yield Check(what="tables", ok=False, detail=detail, advice=f"set {advice}")
        return
    today = opt.today(pipeline)
    for what, checks in (
        ("calendar", check_calendar(tables, pipeline, today=today)),
        ("tables", check_tables(tables, pipeline, today=today)),
        ("locations", check_locations(tables, pipeline)),
        ("lists of days", check_listings(tables, pipeline)),
        ("audits", check_audits(tables, pipeline)),
        ("exclusions", check_exclusions(tables, pipeline)),
        ("ids", check_ids(tables, pipeline, today=today)),
    ):
        try:
            yield from checks
        except WarehouseError as error:  # the other checks are reported all the same
            yield Check(what=what, ok=False, detail=str(error), advice="see what it says")


def _history(context: Context) -> Iterator[Check]:
    """The tables of the run history, where one is asked for."""
    dataset = context.settings.history_dataset
    try:
        if dataset:
            check_columns(context.warehouse, dataset)
    except WarehouseError as error:
        advice = "name another dataset for the history: planner history --create makes its tables"
        yield Check(what="run history", ok=False, detail=str(error), advice=advice)
        return
    for table in (f"{dataset}.{name}" for name in TABLES if dataset):
        try:
            context.warehouse.columns(table)
            yield Check(what="run history", ok=True, detail=table)
        except WarehouseError as error:
            advice = "create it: planner history --create"
            yield Check(what="run history", ok=False, detail=str(error), advice=advice)


def _home(home: Path) -> Check:
    folder = next(path for path in (home, *home.parents) if path.exists())
    found = folder.stat()
    is_shared = folder == home and (
        found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_uid not in (os.getuid(), 0)
    )
    return Check(
        what="home",
        ok=os.access(folder, os.W_OK),
        detail=str(home),
        advice=f"make {folder} writable for you",
        warning=f"others may write to it: chmod 700 {home}, as its owner" if is_shared else "",
    )


def _disk(settings: Settings) -> Check:
    """What runs have left on it, how long it stays, and whether there is room for more."""
    home = settings.home_dir
    size = sum(_size(home / kind) for kind in ("logs", "reports"))
    free = shutil.disk_usage(next(path for path in (home, *home.parents) if path.exists())).free
    few = f"{readable(free)} are free: make room, or set BACKFILL_HOME to another disk"
    return Check(
        what="disk",
        ok=True,
        detail=f"{readable(size)} of logs and reports, each kept for {settings.keep_days} days "
        "(BACKFILL_KEEP_DAYS)",
        warning=few if free < DISK_LEAST else "",
    )


def _size(folder: Path) -> int:
    """Of the files in a folder; a worker may be tidying them away."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(os.path.join(place, name)).st_size
    return size


def _warehouse(context: Context) -> Check:
    """It opens, answers a query, and (on this machine) may be written to."""
    name = context.settings.warehouse
    try:
        context.warehouse.labelled(phase="doctor").rows(load("probe"), {})
    except WarehouseError as error:
        return Check(what="warehouse", ok=False, detail=name, advice=str(error))
    kind, _, place = name.partition(":")
    if kind == "local" and not Path(place).expanduser().is_dir():
        advice = "set BACKFILL_WAREHOUSE, or build one: planner sandbox build DIR"
        return Check(what="warehouse", ok=False, detail=f"there is no {place}", advice=advice)
    if kind == "local" and not os.access(Path(place).expanduser(), os.W_OK):
        return Check(
            what="warehouse", ok=False, detail=f"{place} is read-only", advice="make it writable"
        )
    return Check(what="warehouse", ok=True, detail=name)


def _print(check: Check) -> None:
    mark = ("!" if check.warning else "✓") if check.ok else "✗"
    told = check.warning if check.ok else check.advice
    text = f"{mark} {check.what}: {check.detail}" + (f" → {told}" if told else "")
    style = ("yellow" if check.warning else None) if check.ok else "red"
    out.print(text, style=style, markup=False, soft_wrap=True)
