"""Makes the rows of some dates anew, by the statement beside it that has its name.

python jobs/weekly.py 2026-10-04 2026-10-25
"""

import os
import sys
from datetime import date
from pathlib import Path

from sql import open_warehouse

start, end = map(date.fromisoformat, sys.argv[1:])
statement = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
try:
    warehouse.run(statement, {"start_date": start, "end_date": end})
finally:
    warehouse.close()
