"""A mart of three phases: sales → daily → trend, whose steps are visited by hand.

`daily` has the players of a store's sales, and `trend` those of the last two days. Statements stand
beside the pipeline file, so that a test can let one of them do too little, or too much.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from pathlib import Path

from planner.gaps.gaps import Assessment, GapReason
from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from planner.plan.plan import Plan
from planner.plan.states import STEP_ENDED, RunState
from planner.report.report import Report
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql.local import LocalWarehouse
from tests.commands import Done, here, planner
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.run.plan import Wanted, plan_gaps
from worker.step.errors import Requeue, StepFailed
from worker.step.visit import visit

RUN = "run-of-this-test"
DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(4)]
SCOPE = Window(start=DAYS[0], end=DAYS[-1])
STORES = 4

PIPELINE = """
name = "mart"
seasons = [{{ name = "2024", year = 2024, start = 2024-01-01, end = 2024-12-31 }}]
{more}
[[phases]]
name = "sales"
tables = [{{ name = "m.sales", date = "day", entities = {{ store = "store" }} }}]

[[phases]]
name = "daily"
after = ["sales"]
retries = 0
[[phases.tables]]
name = "m.daily"
date = "day"
entities = {{ store = "store", player = "player" }}
{daily}
[[phases.runners]]
kind = "sql"
statements = ["daily"]

[[phases]]
name = "trend"
after = ["daily"]
lookback_days = 1
retries = 0
tables = [{{ name = "m.trend", date = "day", entities = {{ store = "store", player = "player" }} }}]
runners = [{{ kind = "sql", statements = ["trend"] }}]
"""

REPLACE = """
MERGE m.{table} USING ({select}) ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
SALES = f"""
SELECT day, CONCAT('s', CAST(n AS STRING)) AS store, CONCAT('p', CAST(n AS STRING)) AS player,
  n AS paid
FROM UNNEST(GENERATE_DATE_ARRAY(@start_date, @end_date)) AS day
CROSS JOIN UNNEST(GENERATE_ARRAY(1, {STORES})) AS n
"""
DAILY = "SELECT day, store, player, paid FROM m.sales WHERE day BETWEEN @start_date AND @end_date"
TREND = """
SELECT own.day AS day, own.store AS store, own.player AS player, SUM(past.paid) AS paid
FROM m.daily AS own
JOIN m.daily AS past
  ON past.store = own.store AND past.player = own.player
  AND past.day BETWEEN DATE_SUB(own.day, INTERVAL 1 DAY) AND own.day
WHERE own.day BETWEEN @start_date AND @end_date
GROUP BY own.day, own.store, own.player
"""
STATEMENTS = {
    "daily": REPLACE.format(table="daily", select=DAILY),
    "trend": REPLACE.format(table="trend", select=TREND),
}

NEGATIVE = """
SELECT DISTINCT day FROM m.daily WHERE day BETWEEN @start_date AND @end_date AND paid < 0;
"""
"""An audit of `daily`."""


def build_mart(folder: Path) -> None:
    """A warehouse in which everything is complete."""
    folder.mkdir(parents=True)
    warehouse = LocalWarehouse(folder)
    for table in ("sales", "daily", "trend"):
        columns = "day DATE, store STRING, player STRING, paid INT64"
        warehouse.run(f"CREATE TABLE m.{table} ({columns}) PARTITION BY day", {})
    fill(warehouse)
    warehouse.close()


def fill(warehouse: LocalWarehouse) -> None:
    """Write every row of every table."""
    for statement in (REPLACE.format(table="sales", select=SALES), *STATEMENTS.values()):
        warehouse.run(statement, {"start_date": DAYS[0], "end_date": DAYS[-1]})


class Mart:
    """A warehouse in which everything is complete, and a ledger."""

    def __init__(
        self,
        place: Path,
        redis_url: str,
        *,
        whole: Path,
        more: str = "",
        daily: str = "",
        audit: str = "",
    ) -> None:
        """Its warehouse is a copy of `whole`, as `build_mart` makes it."""
        self.place = place
        self.run_id = RUN
        (place / "mart.toml").write_text(PIPELINE.format(more=more, daily=daily))
        for name, statement in STATEMENTS.items():
            self.says(name, statement)
        if audit:
            self.says("negative", audit)
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{place / 'warehouse'}",
            pipeline=str(place / "mart.toml"),
            broker_url=redis_url,
            home=place / "home",
            poll_max_seconds=0.05,
        )
        shutil.copytree(whole, place / "warehouse")
        self.warehouse = LocalWarehouse(place / "warehouse")
        self.warehouse.identify()
        self.context = Context(self.settings, patient=False)
        self.ledger = self.context.ledger

    def rebuild(self) -> None:
        """Every row of every table."""
        fill(self.warehouse)

    def says(self, name: str, statement: str) -> None:
        """What a phase's statement is from now on."""
        (self.place / f"{name}.sql").write_text(statement)

    def retries(self, count: int) -> None:
        """How often each phase is tried again, from now on."""
        file = Path(self.settings.pipeline)
        file.write_text(file.read_text().replace("retries = 0", f"retries = {count}"))
        self.context = Context(self.settings, patient=False)

    def sql(self, statement: str, **parameters: date | str | int) -> None:
        self.warehouse.run(statement, parameters)

    def lose(self, table: str, day: date, store: str = "") -> None:
        """Rows that are gone: of a date, or of one of its stores."""
        also = " AND store = @store" if store else ""
        names: Mapping[str, str] = {"store": store} if store else {}
        self.sql(f"DELETE FROM m.{table} WHERE day = @day{also}", day=day, **names)

    def assess(self, scope: Window = SCOPE) -> Assessment:
        return survey(self.context.warehouse, self.context.pipeline, scope)

    def plan(self, reasons: Collection[GapReason] = (), *, chunk_dates: int | None = None) -> Plan:
        wanted = Wanted(
            scope=SCOPE, phases=["daily", "trend"], reasons=reasons, chunk_dates=chunk_dates
        )
        return plan_gaps(self.context, self.assess(), wanted, ledger=self.ledger)

    def begin(self, plan: Plan) -> None:
        self.ledger.register(self.run_id, plan, warehouse_id=self.warehouse.identify())
        self.ledger.move(self.run_id, RunState.RUNNING, [RunState.INCOMPLETE])

    def visit(self, day: date, phase: str) -> str:
        return visit(self.context, self.run_id, f"{day}/{phase}", worker="me")

    def go_on(self, phases: Collection[str] = ("daily", "trend")) -> None:
        """Visit the steps of some phases until they have settled."""
        steps = [s for s in self.ledger.steps(self.run_id) if s.rpartition("/")[2] in phases]
        for _ in range(50):
            for step in steps:
                try:
                    visit(self.context, self.run_id, step, worker="me")
                except (Requeue, StepFailed):
                    continue
            states = self.ledger.steps(self.run_id)
            if all(states[step] in STEP_ENDED for step in steps):
                return
        raise AssertionError("steps do not settle")

    def end(self) -> Report:
        """Visit what is left, and finalize."""
        self.go_on()
        finalize(self.context, self.run_id)
        return Report.model_validate_json(self.ledger.report(self.run_id) or "")

    def run(self, plan: Plan) -> Report:
        self.begin(plan)
        return self.end()

    def problem(self, day: date, phase: str) -> str:
        """Why a date of a step is not done; empty when it is."""
        return self.ledger.problems(self.run_id, f"{day}/{phase}").get(day, "")

    def command(self, *words: str, **more: str) -> Done:
        """A command as a user types it, in an environment with these variables too."""
        return here(*words, environment=self._environment | more, cwd=self.place)

    def sending(self, *words: str) -> Done:
        """A command whose messages are to be there: in a process of its own."""
        return planner(*words, environment=self._environment, cwd=self.place)

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **environment_of(self.settings)}

    def move_to_bigquery(self) -> None:
        """From now on its tables are asked for at the BigQuery server, which keeps in `safe`."""
        asked = {"warehouse": "bigquery:shop", "keep_dataset": "safe"}
        self.settings = self.settings.model_copy(update=asked)
        self.context = Context(self.settings, patient=False)


MakeMart = Callable[..., Mart]
