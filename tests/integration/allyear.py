"""A shop that sells all year: orders → daily → trend, on a clock that a test sets.

Every date has twelve stores. `trend` is computed from a week of `daily`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from planner import clock
from planner.pipeline.windows import Window
from planner.plan.states import STEP_ENDED
from planner.report.report import Report
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql.local import LocalWarehouse
from tests.commands import Done, here, impatient
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.step.errors import Requeue, StepFailed
from worker.step.visit import visit

STORES = 12
FIRST_COMMIT = f"_delta_log/{0:020}.json"

OPEN_END = "start = 2024-01-01"
LEAGUE = """
[[seasons]]
name = "2024"
year = 2024
start = 2024-01-01
end = 2024-01-31
"""

PIPELINE = """
name = "shop"
{calendar}
[[phases]]
name = "orders"
{orders}
[[phases.tables]]
name = "s.orders"
date = "day"
entities = {{ store = "store" }}
{tables}
[[phases]]
name = "daily"
after = ["orders"]
tables = [{{ name = "s.daily", date = "day", entities = {{ store = "store" }} }}]
runners = [{{ kind = "sql", statements = ["daily"] }}]
[[phases]]
name = "trend"
after = ["daily"]
lookback_days = 6
tables = [{{ name = "s.trend", date = "day", entities = {{ store = "store" }} }}]
runners = [{{ kind = "sql", statements = ["trend"] }}]
"""
STATEMENT = """
MERGE s.{table} USING (
  SELECT day, store FROM s.{source} WHERE day BETWEEN @start_date AND @end_date
) ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
TABLES = ("orders", "web", "daily", "trend", "schedule")
COLUMNS = pa.schema([("day", pa.date32()), ("store", pa.string())])


@cache
def empty_table() -> bytes:
    """The one commit of a table that holds nothing: to write it anew costs more than all its tests
    ask of it."""
    with TemporaryDirectory() as folder:
        DeltaTable.create(folder, COLUMNS, partition_by=["day"])
        return Path(folder, FIRST_COMMIT).read_bytes()


def at(moment: datetime) -> None:
    """Set the clock of this process, which waits for no Redis."""
    impatient()
    clock.now = lambda: moment


def jan(day: int) -> date:
    """A day of January 2024; those after the 31st are in February."""
    return date(2024, 1, 1) + timedelta(days=day - 1)


def noon(day: date) -> datetime:
    """Noon of a day, UTC."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def visit_all(settings: Settings, run_id: str) -> Report:
    """Do the steps of a run by hand, and end it."""
    context = Context(settings, patient=False)
    for _ in range(20):
        for step, state in context.ledger.steps(run_id).items():
            if state not in STEP_ENDED:
                with suppress(Requeue, StepFailed):
                    visit(context, run_id, step, worker="me")
    finalize(context, run_id)
    return Report.model_validate_json(context.ledger.report(run_id) or "")


def is_idle(repair: Done) -> bool:
    """Whether `enqueue` would run nothing."""
    return repair.out.startswith("Nothing to do")


class AllYear:
    """A warehouse without rows, and commands on it."""

    def __init__(
        self,
        place: Path,
        *,
        calendar: str = OPEN_END,
        orders: str = "",
        tables: str = "",
        broker_url: str = "embedded",
    ) -> None:
        self.place = place
        text = PIPELINE.format(calendar=calendar, orders=orders, tables=tables)
        (place / "shop.toml").write_text(text)
        for table, source in (("daily", "orders"), ("trend", "daily")):
            (place / f"{table}.sql").write_text(STATEMENT.format(table=table, source=source))
        for table in TABLES:
            commit = self._path(table) / FIRST_COMMIT
            commit.parent.mkdir(parents=True)
            commit.write_bytes(empty_table())
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{place / 'warehouse'}",
            pipeline=str(place / "shop.toml"),
            home=place / "home",
            broker_url=broker_url,
        )

    @cached_property
    def warehouse(self) -> LocalWarehouse:
        return LocalWarehouse(self.place / "warehouse")

    def _path(self, table: str) -> Path:
        return self.place / "warehouse" / "s" / table

    def fill(
        self,
        table: str,
        first: date,
        last: date | None = None,
        *,
        stores: int = STORES,
        since: int = 1,
    ) -> None:
        """Rows of some stores on every day of a range."""
        days = Window(start=first, end=last or first).days()
        names = [f"s{n}" for n in range(since, since + stores)]
        rows = [{"day": day, "store": name} for day in days for name in names]
        write_deltalake(self._path(table), pa.Table.from_pylist(rows, COLUMNS), mode="append")

    def fill_all(self, first: date, last: date) -> None:
        """Every phase, complete."""
        for table in ("orders", "daily", "trend"):
            self.fill(table, first, last)

    def lose(self, table: str, first: date, last: date | None = None) -> None:
        """Rows that are gone."""
        DeltaTable(self._path(table)).delete(f"day BETWEEN '{first}' AND '{last or first}'")

    def say(self, *arguments: str, now: datetime) -> Done:
        """A command, as a user types it at some time."""
        environment = environment_of(self.settings)
        return here(*arguments, environment=environment, cwd=self.place, before=partial(at, now))

    def gaps(self, *arguments: str, now: datetime) -> Done:
        """`planner gaps`."""
        return self.say("gaps", *arguments, now=now)

    def planned(self, *arguments: str, now: datetime) -> dict[str, list[date]]:
        """Phase → dates that `enqueue --gaps` would run."""
        found: dict[str, list[date]] = {}
        for chunk in self.enqueue("--json", *arguments, now=now).json["chunks"]:
            for step in chunk["steps"]:
                days = [date.fromisoformat(task["date"]) for task in step["tasks"]]
                found.setdefault(step["phase"], []).extend(days)
        return found

    def enqueue(self, *arguments: str, now: datetime) -> Done:
        """`planner enqueue --gaps`, sending nothing."""
        return self.say("enqueue", "--gaps", "--dry-run", *arguments, now=now)
