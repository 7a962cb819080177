"""A job that does its work, and goes wrong when told to.

    job.py START END FAULT[:ARGUMENT] [--start-from N]

Tables are processors in order: lake.first, lake.second, lake.third.
"""

import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

HTML = "<html>\n<head><title>413 Request Entity Too Large</title></head>\n</html>"
TABLES = ["lake.first", "lake.second", "lake.third"]


def main() -> int:
    start, end = (date.fromisoformat(text) for text in sys.argv[1:3])
    fault, _, argument = sys.argv[3].partition(":")
    first = int(sys.argv[5]) if "--start-from" in sys.argv else 1
    place = os.environ["WAREHOUSE_PLACE"]
    is_first = not (Path(place) / "calls").exists()
    with (Path(place) / "calls").open("a") as calls:
        calls.write(" ".join([str(start), str(end), *sys.argv[4:]]) + "\n")
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    bad = [date.fromisoformat(text) for text in argument.split(",")] if "-" in argument else []
    print(f"working on {len(days)} dates", flush=True)
    if fault == "says":
        print(argument, flush=True)
    if fault == "nothing":
        return 0
    if fault == "hang" and (not bad or set(bad) & set(days)):
        time.sleep(600)
    if fault == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.Popen(["sleep", "600"])
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        (Path(place) / "ready").touch()
        time.sleep(600)
    if fault == "leaves":
        subprocess.Popen(["sleep", "600"])
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    if fault == "signal" and (argument != "once" or is_first):
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault in ("413", "html") and len(days) > int(argument or 1):
        print(HTML if fault == "html" else "error: 413 Request Entity Too Large", file=sys.stderr)
        return 1
    if fault == "413on" and set(bad) & set(days):
        print('{"error": "too large", "status_code": 413}', file=sys.stderr)
        return 1
    for n, table in enumerate(TABLES, 1):
        if fault == "dies" and n == int(argument):
            print(f"processor {n} dies", file=sys.stderr)
            return 70
        if fault == "hangs" and n == int(argument) > first:
            time.sleep(600)
        if n >= first:
            left = bad if fault == "skips" else []
            for span in spans([day for day in days if day not in left]):
                replace(Path(place), table, *span)
        if not os.environ.get("ALL_TABLES"):
            break
    return int(argument) if fault == "exits" else 0


def replace(warehouse: Path, table: str, first: date, last: date) -> None:
    """Write a table's rows of a range anew, without the 200 ms that importing DuckDB takes, or the
    100 ms of PyArrow."""
    from deltalake import DeltaTable, QueryBuilder, write_deltalake

    raw = DeltaTable(warehouse / "lake" / "raw")
    of_range = f"SELECT day, game FROM raw WHERE day BETWEEN '{first}' AND '{last}'"
    write_deltalake(
        warehouse.joinpath(*table.split(".")),
        QueryBuilder().register("raw", raw).execute(of_range),
        mode="overwrite",
        predicate=f"day >= '{first}' AND day <= '{last}'",
    )


def spans(days: list[date]) -> list[tuple[date, date]]:
    """Dates without a break between them are one statement: each costs as much as one date."""
    found: list[tuple[date, date]] = []
    for day in days:
        if found and found[-1][1] + timedelta(days=1) == day:
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


if __name__ == "__main__":
    sys.exit(main())
