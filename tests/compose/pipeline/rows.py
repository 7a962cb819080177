"""Prints how many rows each table holds, and how many of them are different."""

import os

from sql import open_warehouse

warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
for name in ("raw", "copied", "counted"):
    rows = warehouse.rows(f"SELECT day, game FROM lake.{name}", {})
    print(name, len(rows), len({(row["day"], row["game"]) for row in rows}))
