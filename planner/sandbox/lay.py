"""Lays down a shop to try, `planner init --example shop`: tables with holes, what fills them."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

from planner.errors import UsageError
from planner.files import make_folder, write_whole
from planner.pipeline.load import SHIPPED, load_pipeline
from planner.sandbox.punch import Hole
from planner.sandbox.shop import build_shop, punch_shop
from sql import load
from sql.local import LocalWarehouse

FILE, TABLES, SQL, JOBS = "shop.toml", "warehouse", "sql", "jobs"
HOLES, SEED = 5, 1

_HEAD = """\
# A shop that sells all year: days, weeks and months of its receipts. Laid down by
# `planner init --example shop`; docs/pipeline-file.md has every key.
#
# The tills' receipts are loaded by another tool; a table of opening hours says which stores owe
# any. Days and weeks are SQL, in the folder sql; months are a script, in jobs.

"""
_MONTHLY = '''"""Months of each store. A script is given dates, and writes their rows anew."""

import os
import sys
from datetime import date
from pathlib import Path

from sql import open_warehouse

start, end = map(date.fromisoformat, sys.argv[1:])
statement = Path(__file__).parent.with_name("sql") / "store_monthly.sql"
warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
warehouse.run(statement.read_text(), {"start_date": start, "end_date": end})
warehouse.close()
'''


def lay_shop(folder: Path, *, until: date) -> list[Hole]:
    """Lay the shop down in a folder, and make holes in its tables.

    Raises `UsageError` where anything of it is there already: nothing is overwritten.
    """
    there = [name for name in (FILE, TABLES, SQL, JOBS) if (folder / name).exists()]
    if there:
        raise UsageError(
            f"{', '.join(there)} exists in {folder}, and is left as it is: stand in an empty "
            "folder."
        )
    shop = load_pipeline("shop")
    build_shop(folder / TABLES, shop, until=until, seed=SEED)
    warehouse = LocalWarehouse(folder / TABLES)
    try:
        holes = punch_shop(warehouse, shop, seed=SEED, holes=HOLES)
    finally:
        warehouse.close()
    for name in ("daily", "weekly", "monthly"):
        make_folder(folder / SQL)
        write_whole(folder / SQL / f"store_{name}.sql", load(f"shop/store_{name}"))
    make_folder(folder / JOBS)
    write_whole(folder / JOBS / "monthly.py", _MONTHLY)
    write_whole(folder / FILE, _file(folder))
    return holes


def _file(folder: Path) -> str:
    """The pipeline file that ships, with what fills the phases beside it."""
    shipped = (SHIPPED / "shop.toml").read_text(encoding="utf-8")
    _, name, rest = shipped.partition('name = "shop"')
    script = (
        'kind = "script"\n'
        f'command = [{json.dumps(sys.executable)}, "jobs/monthly.py", "{{start}}", "{{end}}"]\n'
        f"cwd = {json.dumps(str(folder.absolute()))}"
    )
    rest = rest.replace('kind = "sql"\nstatements = ["shop/store_monthly"]', script)
    return _HEAD + name + rest.replace('["shop/', '["sql/')
