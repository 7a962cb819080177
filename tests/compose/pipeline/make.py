"""Makes the warehouse: raw rows, and tables in which everything is still to do."""

import os

from sql import open_warehouse

warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
for name in ("raw", "copied", "counted"):
    warehouse.run(f"CREATE TABLE lake.{name} (day DATE, game STRING) PARTITION BY day", {})
warehouse.run(
    "INSERT INTO lake.raw SELECT day, game FROM "
    "UNNEST(GENERATE_DATE_ARRAY(DATE '2024-01-01', DATE '2024-02-09')) AS day, "
    "UNNEST(['one', 'two']) AS game",
    {},
)
