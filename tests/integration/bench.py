"""A pipeline of two phases on a small warehouse, and attempts at its second one: real scripts,
a real HTTP server, a real warehouse; no Redis, no Celery."""

from __future__ import annotations

import atexit
import shutil
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from planner.gaps.gaps import GapReason
from planner.plan.plan import Step, Task
from planner.settings import Settings
from sql import Table, Warehouse, open_warehouse
from tests.integration.job import spans
from worker.context import Context
from worker.runners import Park, Stopped
from worker.step.attempt import Attempt
from worker.step.ended import Ended

FIRST = date(2024, 1, 1)
DAYS = tuple(FIRST + timedelta(days=n) for n in range(8))
GAMES = 3  # per date
TABLES = ("lake.first", "lake.second", "lake.third")

PIPELINE = """
name = "bench"
[[seasons]]
name = "2024"
year = 2024
start = 2024-01-01
end = 2024-12-31
[[phases]]
name = "raw"
[[phases.tables]]
name = "lake.raw"
date = "day"
entities = {{ game = "game" }}
[[phases]]
name = "facts"
after = ["raw"]
timeout_seconds = {timeout}
{tables}
{runners}
"""

TABLE = """
[[phases.tables]]
name = "{name}"
date = "day"
entities = {{ game = "game" }}
"""

SCRIPT = """
[[phases.runners]]
kind = "script"
command = ["{python}", "{job}", "{{start}}", "{{end}}", "{fault}"]
"""

JOB = Path(__file__).with_name("job.py")
WAIT_SECONDS = 30.0


@dataclass(kw_only=True)
class NoLedger:
    """What a visit would know by the ledger."""

    changed: set[tuple[str, date]] = field(default_factory=set)
    """Dates that the run repairs upstream."""
    made: dict[date, str] = field(default_factory=dict)
    """What was noted of what made a date."""

    def note_made(self, run_id: str, phase: str, made: dict[date, str]) -> None:
        self.made |= made


@cache
def _built() -> Path:
    """The warehouse of every bench at first, made once. Not to be written to."""
    place = TemporaryDirectory()
    atexit.register(place.cleanup)
    warehouse = open_warehouse(f"local:{place.name}")
    for name in ("lake.raw", *TABLES):
        warehouse.run(f"CREATE TABLE {name} (day DATE, game STRING) PARTITION BY day", {})
    warehouse.run(
        "INSERT INTO lake.raw SELECT day, CAST(game AS STRING) AS game "
        "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day "
        "CROSS JOIN UNNEST(GENERATE_ARRAY(1, @games)) AS game",
        {"first": DAYS[0], "last": DAYS[-1], "games": GAMES},
    )
    warehouse.close()
    return Path(place.name)


@dataclass(kw_only=True)
class Bench:
    """Everything an attempt needs."""

    place: Path
    tables: Sequence[str] = TABLES[:1]
    timeout: float = 60.0
    ledger: NoLedger = field(default_factory=NoLedger)
    grace_seconds: float = 2.0
    force: bool = False
    now: float = field(default_factory=time.time)
    """What attempts take the time to be; `to_the_end` moves it."""
    broker_url: str | None = None
    """Of a real Redis, for a real ledger."""

    def __post_init__(self) -> None:
        shutil.copytree(_built(), self.place / "warehouse")

    def warehouse(self) -> Warehouse:
        return open_warehouse(f"local:{self.place / 'warehouse'}")

    def script(self, fault: str = "none", more: str = "") -> str:
        return SCRIPT.format(python=sys.executable, job=JOB, fault=fault) + more

    def context(self, runners: str) -> Context:
        tables = "".join(TABLE.format(name=name) for name in self.tables)
        (self.place / "bench.toml").write_text(
            PIPELINE.format(timeout=self.timeout, tables=tables, runners=runners)
        )
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{self.place / 'warehouse'}",
            pipeline=str(self.place / "bench.toml"),
            home=self.place / "home",
            grace_seconds=self.grace_seconds,
            poll_max_seconds=0.05,
            broker_url=self.broker_url or "embedded",
        )
        context = Context(settings, patient=False)
        if self.broker_url is None:
            context.__dict__["ledger"] = self.ledger
        return context

    def attempt(
        self,
        runners: str,
        dates: Sequence[date] = DAYS,
        *,
        number: int = 1,
        reason: GapReason = GapReason.MISSING,
        checkpoint: Mapping[str, Any] | None = None,
        stop: Callable[[], str | None] = lambda: None,
        note: Callable[[dict[str, Any]], bool] = lambda checkpoint: True,
    ) -> Ended | Park | Stopped:
        """One visit."""
        context = self.context(runners)
        step = Step(
            phase="facts",
            start=DAYS[0],
            end=DAYS[-1],
            tasks=tuple(
                Task(date=day, reason=reason, tables=tuple(self.tables), expected={"game": GAMES})
                for day in DAYS
            ),
        )
        return Attempt(
            context=context,
            run_id="run-1",
            step_id="c/facts",
            step=step,
            phase=context.pipeline.by_name["facts"],
            dates=dates,
            number=number,
            stop=stop,
            now=lambda: self.now,
            note=note,
            force=self.force,
            checkpoint=dict(checkpoint or {}),
            in_run=self.ledger.changed,
        ).make()

    def to_the_end(self, runners: str, dates: Sequence[date] = DAYS, **options: Any) -> Ended:
        """Visits until the attempt has ended; pauses are cut short."""
        checkpoint: dict[str, Any] = {}
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            outcome = self.attempt(runners, dates, **{**options, "checkpoint": checkpoint})
            if isinstance(outcome, Ended):
                return outcome
            assert isinstance(outcome, Park), outcome
            assert time.monotonic() < deadline, outcome
            checkpoint = outcome.checkpoint
            self.now += outcome.seconds
            time.sleep(min(outcome.seconds, 0.05))

    def fill(self, table: str, days: Collection[date]) -> None:
        """Rows as the job would write them."""
        warehouse = self.warehouse()
        for first, last in spans(sorted(days)):
            warehouse.run(
                f"MERGE {table} USING (SELECT day, game FROM lake.raw "
                "WHERE day BETWEEN @first AND @last) ON FALSE "
                "WHEN NOT MATCHED BY SOURCE AND day BETWEEN @first AND @last THEN DELETE "
                "WHEN NOT MATCHED BY TARGET THEN INSERT ROW",
                {"first": first, "last": last},
            )
        warehouse.close()

    def append(self, table: str, day: date) -> None:
        """Rows as a job adds them that does not look at what is there."""
        warehouse = self.warehouse()
        warehouse.run(
            f"INSERT INTO {table} SELECT day, game FROM lake.raw WHERE day = @day", {"day": day}
        )
        warehouse.close()

    def days_of(self, table: str = TABLES[0]) -> list[date]:
        """Dates that a table holds in full."""
        warehouse = self.warehouse()
        spec = Table(name=table, date="day", entities={"game": "game"})
        cells = warehouse.coverage(spec, DAYS[0], DAYS[-1])
        warehouse.close()
        return sorted(day for day, cell in cells.items() if cell.entities["game"] == GAMES)

    @property
    def calls(self) -> list[str]:
        """The job's command lines so far, without the first words."""
        path = self.place / "warehouse" / "calls"
        return path.read_text().splitlines() if path.is_file() else []

    @property
    def log(self) -> str:
        return (self.place / "home" / "logs" / "run-1" / "c.facts.log").read_text()
