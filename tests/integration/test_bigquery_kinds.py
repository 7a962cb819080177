"""What BigQuery shows that is no partitioned table: as a source, and as what a phase fills."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from planner.sandbox.workers import environment_of
from tests.bigquery_server.rest import BigQueryServer
from tests.bigquery_server.served import Shown
from tests.commands import Done, planner
from tests.integration.allyear import STATEMENT, AllYear, at, jan, noon
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

NOW = noon(jan(21))
UNPROVED = "nothing versions its rows, so a recomputation is not proved"
ONE_VERSION = "one version covers all its dates"
IN_ONE_PIECE = "CREATE TABLE s.{} (day DATE, store STRING)"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What `orders`, a source, and `daily`, which is filled, are."""

    shown: Mapping[str, Shown] = field(default_factory=dict)
    fills: str = "daily"
    """The table that the statement of `daily` writes."""
    doctor: str = UNPROVED
    """What doctor says of recomputations of `daily`."""
    code: int = 0
    """How a repair of `daily` ends."""
    says: str = ""


def both(kind: str) -> Kind:
    return Kind(
        shown={
            "s.orders": Shown(kind=kind, of="s.web"),
            "s.daily": Shown(kind=kind, of="s.schedule"),
        },
        fills="schedule",
    )


KINDS = {
    "views": both("VIEW"),
    "materialized views": both("MATERIALIZED_VIEW"),
    "external tables": both("EXTERNAL"),
    "snapshots": replace(
        both("SNAPSHOT"), fills="daily", code=4, says="not allowed for this operation"
    ),
    "tables in one piece": Kind(doctor=ONE_VERSION),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_counts_decide_of_what_is_no_partitioned_table(tmp_path: Path, kind: Kind) -> None:
    # Given twenty days of orders, of which one is lost in `daily` and in `trend`
    shop = AllYear(tmp_path)
    if not kind.shown:
        for table in ("orders", "daily"):
            shutil.rmtree(tmp_path / "warehouse/s" / table)
            shop.warehouse.run(IN_ONE_PIECE.format(table), {})
    below = {name: kind.shown[f"s.{name}"].of[2:] for name in ("orders", "daily") if kind.shown}
    for table in ("orders", "daily", "trend"):
        shop.fill(below.get(table, table), jan(1), jan(20))
    for table in (below.get("daily", "daily"), "trend"):
        shop.lose(table, jan(10))
    (tmp_path / "daily.sql").write_text(STATEMENT.format(table=kind.fills, source="orders"))

    with ExitStack() as stack:
        server = stack.enter_context(BigQueryServer(tmp_path / "warehouse", shown=kind.shown))
        settings = shop.settings.model_copy(update={"warehouse": "bigquery:p"})
        stack.enter_context(embedded_broker(settings))
        environment = {**environment_of(settings), "BIGQUERY_EMULATOR_HOST": server.url}

        def say(*arguments: str) -> Done:
            return planner(
                *arguments,
                environment={**os.environ, **environment},
                cwd=tmp_path,
                before=partial(at, NOW),
            )

        # Then the gaps are those of the counts
        found = say("gaps", "--json")
        assert found.code == 1, found.err
        assert {(gap["phase"], gap["date"], gap["reason"]) for gap in found.json["gaps"]} == {
            ("daily", "2024-01-10", "missing"),
            ("trend", "2024-01-10", "missing"),
            *(("trend", f"2024-01-{day}", "cascade") for day in range(11, 17)),
        }

        # And doctor says of what was filled that it is not proved, and is content
        told = say("doctor", "--json")
        assert told.code == 0, told.out
        details = {check["what"]: check["detail"] for check in told.json["checks"]}
        assert kind.doctor in details["daily: s.daily"]
        assert details["trend: s.trend"] == "by day"
        assert details["orders: s.orders"] == "not partitioned; counted by day"

        # And a repair is run, and ends as the counts say
        stack.enter_context(run_workers(settings, workers=1, environment=environment))
        done = say("enqueue", "--gaps", "--wait", "--yes", "--json")
        assert done.code == kind.code, done.err
        steps = str(done.json)
        assert kind.says in steps
        left = say("gaps", "--json").json["gaps"]
        assert bool(left) is bool(kind.code)
