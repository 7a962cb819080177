"""Lays down a shop to try, `planner init --example shop`: tables with holes, what fills them.

The files in `laid/` are copied as they are.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from pathlib import Path

from planner.errors import UsageError
from planner.files import make_folder, write_whole
from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.sandbox.punch import Hole, column_of, delete_rows, ids_of
from planner.sandbox.shop import build_shop, first_day
from sql import load
from sql.local import LocalWarehouse

FILE, TABLES, SQL, JOBS, SERVICE = "shop.toml", "warehouse", "sql", "jobs", "service"
SEED = 1
HOLES = (
    ("daily", 0.2, False),
    ("daily", 0.7, False),
    ("weekly", 0.8, True),
    ("weekly", 0.9, False),
    ("monthly", 0.5, False),
    ("forecast", 0.4, False),
)
"""Phase, how far along its dates, and whether the date loses all of its stores, or one: of the same
kinds on whichever day the shop is laid down."""

_LAID = Path(__file__).with_name("laid")
_HEAD = """\
# A shop that sells all year: days, weeks and months of its receipts, and forecasts. Laid down by
# `planner init --example shop`; docs/pipeline-file.md has every key.
#
# The tills' receipts are loaded by another tool; a table of opening hours says which stores owe
# any. Days are SQL, in the folder sql; weeks and months are scripts, in jobs; forecasts are made by
# a service: `python service/forecast.py`.

"""


def lay_shop(folder: Path, *, until: date) -> list[Hole]:
    """Lay the shop down in a folder, and make holes in its tables.

    Raises `UsageError` where anything of it is there already: nothing is overwritten.
    """
    there = [name for name in (FILE, TABLES, SQL, JOBS, SERVICE) if (folder / name).exists()]
    if there:
        raise UsageError(
            f"{', '.join(there)} exists in {folder}, and is left as it is: stand in an empty "
            "folder."
        )
    shipped = load_pipeline("shop")
    days = Window(start=first_day(shipped, until), end=until)
    build_shop(folder / TABLES, shipped, until=until, seed=SEED)
    _write_files(folder, days.start)
    shop = load_pipeline(str(folder / FILE))
    warehouse = LocalWarehouse(folder / TABLES)
    try:
        warehouse.run(load("shop/create/store_forecast"), {})
        span = {"start_date": days.start, "end_date": days.end}
        warehouse.run(load("shop/store_forecast"), span)
        return [_hole(warehouse, shop, *each) for each in HOLES]
    finally:
        warehouse.close()


def _hole(
    warehouse: LocalWarehouse, shop: Pipeline, name: str, share: float, is_whole: bool
) -> Hole:
    (spec,) = shop.by_name[name].tables
    days = sorted(warehouse.coverage(spec.table, date.min, date.max))
    day = days[int(share * len(days))]
    stores = ids_of(warehouse, spec, shop.entity, day)
    lost = stores if is_whole else stores[-1:]
    column = column_of(spec, shop.entity)
    return Hole(
        phase=name,
        tables=(spec.name,),
        start=day,
        end=day,
        entity=None if is_whole else str(lost[0]),
        rows=delete_rows(warehouse, spec, day, day, column, lost),
    )


def _write_files(folder: Path, start: date) -> None:
    """The pipeline file, and what fills each phase."""
    for name in (SQL, JOBS, SERVICE):
        make_folder(folder / name)
    write_whole(folder / SQL / "store_daily.sql", load("shop/store_daily"))
    for name in ("weekly", "monthly"):
        write_whole(folder / JOBS / f"{name}.py", _laid("jobs/job.py"))
        write_whole(folder / JOBS / f"{name}.sql", load(f"shop/store_{name}"))
    write_whole(folder / SERVICE / "forecast.py", _laid("service/forecast.py"))
    write_whole(folder / SERVICE / "forecast.sql", load("shop/store_forecast"))
    write_whole(folder / FILE, _file(folder, start))


def _laid(name: str) -> str:
    return (_LAID / name).read_text(encoding="utf-8")


def _file(folder: Path, start: date) -> str:
    """The pipeline file that ships, with what fills the phases beside it, and the service's."""
    shipped = (SHIPPED / "shop.toml").read_text(encoding="utf-8")
    _, name, rest = shipped.partition('name = "shop"')
    rest = re.sub(r"^start = [\d-]+", f"start = {start}", rest, flags=re.MULTILINE)
    for phase in ("weekly", "monthly"):
        rest = rest.replace(
            f'kind = "sql"\nstatements = ["shop/store_{phase}"]',
            'kind = "script"\n'
            f'command = [{json.dumps(sys.executable)}, "jobs/{phase}.py", "{{start}}", "{{end}}"]\n'
            f"cwd = {json.dumps(str(folder.absolute()))}",
        )
    rest = rest.replace('["shop/', '["sql/')
    return _HEAD + name + rest + _laid("forecast.toml")
