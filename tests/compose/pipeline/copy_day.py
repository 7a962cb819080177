"""Copies a day's rows, slowly: from two of these at once for one day there would be too many."""

import os
import sys
import time
from datetime import date

from sql import open_warehouse

warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
day = {"day": date.fromisoformat(sys.argv[1])}
warehouse.run("DELETE FROM lake.copied WHERE day = @day", day)
time.sleep(1)
warehouse.run("INSERT INTO lake.copied SELECT day, game FROM lake.raw WHERE day = @day", day)
