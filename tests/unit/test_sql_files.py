"""Google's own analyzer accepts every statement, with the plan's tables and with the live ones.

That a statement runs on DuckDB proves nothing about BigQuery: `SELECT EXTRACT(YEAR FROM d) - 1 …
GROUP BY EXTRACT(YEAR FROM d)` does. The analyzer is the one BigQuery parses with.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlglot import exp, parse_one

from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.command import Command
from planner.plan.cost import cost_of
from planner.plan.made import Fingerprint, Made, MadeBy
from planner.report.commands import write_commands
from planner.report.costs import write_costs
from planner.report.history import (
    FoundGap,
    create_statements,
    write_gaps,
    write_run,
)
from planner.report.made import read_made, write_made
from planner.validation.queries import query_of
from planner.validation.results import QUERIES
from sql.changes import Comparison
from sql.coverage import coverage_query
from sql.days import SHARDS, SUFFIX, days_of
from sql.differences import Side, differences_query
from sql.errors import WarehouseRefused
from sql.keeping import Source, prints, restore_query
from sql.labels import billed_per_date, billed_per_step
from sql.listed import listed_query
from sql.statements import HERE, load
from sql.warehouse import Condition, GradeColumns, Table
from tests.analyzer import analyze
from tests.reports import make_report
from tests.table_sets import (
    created_tables,
    history_tables,
    live_pipeline,
    live_tables,
    plan_pipeline,
    plan_tables,
)

SCOPE = Window(start=date(2021, 10, 1), end=date(2022, 12, 31))
SETS = {
    "plan": (plan_pipeline, plan_tables),
    "live": (live_pipeline, live_tables),
    "sales": (cache(lambda: load_pipeline("sales")), lambda: created_tables("sales")),
}
ASKED = [
    (which, query)
    for which in SETS
    for query in QUERIES
    if (which, query) != ("sales", "grades")  # nothing is graded there
]
ALL = {path.relative_to(HERE).with_suffix("").as_posix() for path in HERE.rglob("*.sql")}
SHARED = {name for name in ALL if name.startswith(("queries/shared/", "queries/criteria/"))}
OWN = {name for name in ALL if name.startswith(("sandbox/", "sales/", "shop/"))}
"""Statements of pipelines that ship, over tables that they create."""
HISTORY = {name for name in ALL if name.startswith("history/")}
BUILT = {
    "audit",
    "changed",
    "changed_rows",
    "coverage",
    "differences",
    "graded",
    "ids",
    "kept",
    "labelled",
    "labelled_run",
    "listed",
    "partitions",
    "prints",
    "probe",
    "restore",
    "row_held",
    "rows_held",
    "span_ids",
    *(f"queries/{name}" for name in QUERIES),
}

pytestmark = pytest.mark.xdist_group("analyzer")  # which takes seconds to start in each process


@cache
def parsed(which: str, query: str) -> exp.Expr:
    """A query as sqlglot reads it. Not to be changed."""
    return parse_one(query_of(SETS[which][0](), query, SCOPE)[0], read="bigquery")


def test_every_file_is_checked_here() -> None:
    assert ALL == BUILT | SHARED | OWN | HISTORY


# Those of the planned tables have the shape of the live ones', whose columns their coverage names.
@pytest.mark.quick("plan-criteria", *(f"{one}-{query}" for one, query in ASKED if one != "plan"))
@pytest.mark.parametrize(("which", "query"), ASKED)
def test_the_analyzer_accepts_a_query(which: str, query: str) -> None:
    statement, parameters = query_of(SETS[which][0](), query, SCOPE)
    analyze(SETS[which][1](), statement, parameters)


@pytest.mark.parametrize("kind", ["entities", "dates", "rows", "complete"])
def test_every_kind_of_criterion_is_among_the_shipped_ones(kind: str) -> None:
    """So that the analyzer has seen its statement."""
    assert kind in {criterion.kind for criterion in plan_pipeline().criteria}
    assert f"queries/criteria/{kind}" in SHARED


@pytest.mark.parametrize("which", SETS)
def test_the_analyzer_accepts_what_names_ids_that_are_apart(which: str) -> None:
    """By every table of a pipeline at once: also within the ids of a third."""
    (first, *_), tables = SETS[which][0]().phases, SETS[which][0]().tables
    entity = next(iter(first.tables[0].entities))
    counting = [spec.table for spec in tables if entity in spec.entities]
    sides = [Side(table=table, within=(Side(table=counting[0]),)) for table in counting[1:]]
    statement, parameters = differences_query(
        counting[0], {entity: sides}, [SCOPE.start, SCOPE.end], ids_shown=20
    )
    analyze(SETS[which][1](), statement, parameters)


@pytest.mark.parametrize("which", SETS)
def test_the_analyzer_accepts_what_names_ids_of_a_period(which: str) -> None:
    first, *others = [spec.table for spec in SETS[which][0]().tables if spec.entities]
    entity = next(iter(first.entities))
    sides = [Side(table=table) for table in others if entity in table.entities]
    spans = {SCOPE.start: (SCOPE.start, SCOPE.end), SCOPE.end: (SCOPE.start, SCOPE.end)}
    statement, parameters = differences_query(
        first, {entity: sides}, list(spans), ids_shown=20, spans=spans
    )
    analyze(SETS[which][1](), statement, parameters)


def test_the_analyzer_accepts_what_sums_labelled_jobs() -> None:
    asked: list[tuple[str, Any]] = []

    class Records:
        """All that is asked of a warehouse to sum them."""

        def rows(self, statement: str, parameters: Any) -> list[Any]:
            asked.append((statement, parameters))
            return []

    warehouse: Any = Records()
    assert billed_per_date(warehouse, "US", "mart", ["daily"]) == {}
    assert billed_per_step(warehouse, "US", "run-1", time.time()) == {}
    assert len(asked) == 2
    for statement, parameters in asked:
        analyze({}, statement, parameters)


@pytest.mark.parametrize("kind", ["DATE", "DATETIME", "TIMESTAMP"])
def test_the_analyzer_accepts_what_compares_rows_and_puts_them_back(kind: str) -> None:
    """Also where a column is new since they were kept."""
    kept = {"day": kind, "store": "STRING", "paid": "NUMERIC"}
    now = {**kept, "more": "FLOAT64"}
    tables = {"shop.sales": now, "kept.sales": kept}
    table = Table(name="shop.sales", date="day", kind=kind)
    source = Source(table=replace(table, name="kept.sales"), days=frozenset([SCOPE.start]))
    asked: list[tuple[str, Any]] = []

    class Columns:
        """All that is asked of a warehouse to make the statements."""

        def columns(self, name: str) -> dict[str, str]:
            return tables[name]

        def rows(self, statement: str, parameters: Any) -> list[Any]:
            asked.append((statement, parameters))
            return []

    warehouse: Any = Columns()
    days = [SCOPE.start, SCOPE.end]
    asked.append(restore_query(warehouse, table, [source], days))
    asked.append(restore_query(warehouse, table, [], days))
    prints(warehouse, table, ["store", "paid"], days)
    for key, sources in ((("store",), (source,)), ((), (source, source)), ((), ())):
        compared = Comparison(table=table, key=key, sources=sources, days=frozenset(days))
        compared.changes(warehouse)
        compared.rows(warehouse, shown=3)
    for statement, parameters in asked:
        analyze(tables, statement, parameters)


def test_the_analyzer_accepts_every_flaw_that_is_counted_and_an_audit() -> None:
    columns = {
        "day": "DATE",
        "store": "STRING",
        "visitor": "INT64",
        "paid": "NUMERIC",
        "loaded": "TIMESTAMP",
    }
    table = Table(
        name="shop.sales",
        date="day",
        entities={"store": "store", "visitor": "visitor"},
        key=("store", "visitor"),
        filled=("paid", "visitor"),
        written_at="loaded",
    )
    statement, parameters = coverage_query(table, SCOPE.start, SCOPE.end)
    analyze({"shop.sales": columns}, statement, parameters)
    own = "SELECT DISTINCT day FROM shop.sales WHERE day BETWEEN @start_date AND @end_date"
    audit = load("audit").format(date="`day`", audit=own)
    analyze({"shop.sales": columns}, audit, {"start_date": SCOPE.start, "end_date": SCOPE.end})


@pytest.mark.parametrize(
    ("kind", "zone"),
    [
        ("DATE", "UTC"),
        ("DATETIME", "UTC"),
        ("TIMESTAMP", "UTC"),
        ("TIMESTAMP", "America/New_York"),
        (SHARDS, "UTC"),
    ],
)
def test_the_analyzer_accepts_every_kind_of_date(kind: str, zone: str) -> None:
    column = SUFFIX if kind == SHARDS else "sold"
    tables = {
        "shop.sales": {
            column: "STRING" if kind == SHARDS else kind,
            "sale": "STRING",
            "system": "STRING",
            "error": "FLOAT64",
            "correct": "BOOL",
        }
    }
    table = Table(name="shop.sales", date=column, kind=kind, zone=zone, entities={"sale": "sale"})
    grades = GradeColumns(system="system", error="error", correct="correct")
    for asked in (table, replace(table, grades=grades)):
        analyze(tables, *coverage_query(asked, SCOPE.start, SCOPE.end))
    sides = {"sale": [Side(table=table, within=(Side(table=table),))]}
    analyze(tables, *differences_query(table, sides, [SCOPE.start, SCOPE.end], ids_shown=20))
    spans = {SCOPE.start: (SCOPE.start, SCOPE.end)}
    analyze(tables, *differences_query(table, sides, [*spans], ids_shown=20, spans=spans))
    for last in (None, table):
        analyze(tables, *listed_query(table, last, SCOPE.start, SCOPE.end))


def test_moments_are_compared_with_constants_so_that_partitions_are_pruned() -> None:
    """A function of the column in place of the column itself would read every partition."""
    days = days_of(Table(name="shop.sales", date="sold", kind="TIMESTAMP", zone="Asia/Tokyo"))
    first, last, _ = days.within.split(" AND ", 2)

    assert first.startswith("`sold` >= TIMESTAMP_SUB(TIMESTAMP(@start_date, 'Asia/Tokyo')")
    assert last.startswith("`sold` < TIMESTAMP_ADD(TIMESTAMP(DATE_ADD(@end_date")


def test_what_is_no_time_zone_gets_into_no_statement() -> None:
    with pytest.raises(WarehouseRefused, match="is no time zone"):
        days_of(Table(name="shop.sales", date="sold", kind="TIMESTAMP", zone="x') OR ('a"))


@pytest.mark.parametrize("which", SETS)
def test_the_analyzer_accepts_the_coverage_of_every_table(which: str) -> None:
    for phase in SETS[which][0]().phases:
        for spec in phase.tables:
            for asked in (spec.table, spec.table_with_grades):
                analyze(SETS[which][1](), *coverage_query(asked, SCOPE.start, SCOPE.end))


@pytest.mark.parametrize("which", SETS)
def test_the_analyzer_accepts_the_partitions(which: str) -> None:
    names = {"table_names": ["x"], "first_partition": "x", "last_partition": "x"}
    analyze(
        SETS[which][1](),
        load("partitions").format(
            named="LOWER(table_name)", dataset=next(iter(SETS[which][1]())).partition(".")[0]
        ),
        names,
    )


COMMAND = Command(
    by="ada",
    login="ada",
    host="h",
    folder="/",
    at=datetime(2024, 1, 1, tzinfo=UTC),
    version="0.1.0",
    text="planner enqueue --gaps",
)


def test_the_analyzer_accepts_the_run_history() -> None:
    asked: dict[str, dict[str, Any]] = {}

    class Asking:
        """A warehouse that runs nothing."""

        def run(self, statement: str, parameters: dict[str, Any]) -> int:
            asked[statement] = parameters
            return 0

        def rows(self, statement: str, parameters: dict[str, Any]) -> list[Any]:
            self.run(statement, parameters)
            return []

    for statement in create_statements("ops"):
        asked[statement] = {}
    print_ = Fingerprint(runner="r")
    made = Made(
        run_id="run-1",
        pipeline="nba",
        warehouse="w",
        ended=1.0,
        made=(MadeBy(fingerprint=print_, dates={"grading": (SCOPE.start,)}),),
    )
    write_made(Asking(), "ops", made)
    assert read_made(Asking(), "ops", pipeline="nba", scope=SCOPE) == []
    gap = FoundGap(phase="grading", date=SCOPE.start, reason="missing")
    report = make_report(seasons=1)
    write_run(Asking(), "ops", report)
    write_commands(Asking(), "ops", report.run_id, report.pipeline, [COMMAND])
    (first, *_) = report.steps
    one = (first.model_copy(update={"billed": 5 << 20}),)
    billed = report.model_copy(update={"billed": cost_of(10 << 20, 6.25), "steps": one})
    write_costs(Asking(), "ops", billed)
    write_gaps(
        Asking(), "ops", "nba", [gap], counted=SCOPE, detected=datetime.now(UTC), now=time.time()
    )

    assert len(asked) == len(HISTORY)
    for statement, parameters in asked.items():
        analyze(history_tables(), statement, parameters)


def test_the_analyzer_accepts_the_documented_dashboard_query() -> None:
    text = (HERE.parent / "docs/operations.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    analyze(history_tables(), query, {})


@pytest.mark.parametrize("until", [None, "last_day"])
def test_the_analyzer_accepts_what_lists_days(until: str | None) -> None:
    where = {"what": Condition(one_of=("x", "y"))}
    first = Table(name="shop.halts", date="day", where=where)
    last = until and replace(first, date=until)
    columns = {"day": "DATE", "last_day": "DATE", "what": "STRING"}
    analyze({"shop.halts": columns}, *listed_query(first, last or None, SCOPE.start, SCOPE.end))


def test_the_analyzer_accepts_the_probe() -> None:
    analyze(plan_tables(), load("probe"), {})


SANDBOX_NAMES = {
    "table": "`nba_raw.bdl_player_boxscores`",
    "date": "`game_date`",
    "game": "`game_id`",
    "entity": "`game_id`",
    "column": "`player_id`",
    "also": " AND `game_id` IN (@value_0)",
}
SANDBOX_VALUES: dict[str, Any] = {
    "start_date": SCOPE.start,
    "end_date": SCOPE.end,
    "day": SCOPE.start,
    "game": "x",
    "value_0": "x",
}


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_analyzer_accepts_what_the_pipelines_run(name: str) -> None:
    folder, _, rest = name.partition("/")
    statement = load(name)
    if folder == "sandbox" and "/" not in rest:
        statement = statement.format(**SANDBOX_NAMES)
    analyze(created_tables(folder), statement, SANDBOX_VALUES)


@pytest.mark.parametrize(
    "wrong",
    [
        "SELECT EXTRACT(YEAR FROM game_date) - 1 FROM `nba_raw.bdl_player_boxscores` "
        "GROUP BY EXTRACT(YEAR FROM game_date) - 2",
        "SELECT COUNT(*) FROM `nba_raw.bdl_player_boxscores` WHERE game_date >= "
        "CASE WHEN season_year = 2021 THEN '2022-04-16' END",
        "SELECT no_such FROM `nba_raw.bdl_player_boxscores`",
        "SELECT 1 FROM `nba_raw.no_such`",
    ],
)
def test_the_analyzer_refuses_what_is_wrong(wrong: str) -> None:
    """Or its approval would mean nothing."""
    with pytest.raises(Exception, match=r"(?i)no_such|not found|no matching|group"):
        analyze(plan_tables(), wrong, {})


@pytest.mark.parametrize(("which", "query"), ASKED)
def test_no_query_has_a_date_or_a_season_of_its_own(which: str, query: str) -> None:
    tree = parsed(which, query)
    written = [node.this for node in tree.find_all(exp.Literal)]
    assert not [text for text in written if re.fullmatch(r"(19|20)\d\d(\D.*)?", text)]
    assert not list(tree.find_all(exp.Extract, exp.Year))


@pytest.mark.parametrize(("which", "query"), ASKED)
def test_every_scan_is_filtered_on_the_partition_column(which: str, query: str) -> None:
    """Some tables refuse a query that is not. Each is read once."""
    pipeline: Pipeline = SETS[which][0]()
    dates = {spec.name: spec.date for phase in pipeline.phases for spec in phase.tables}
    read = []
    for reference in parsed(which, query).find_all(exp.Table):
        if reference.db:
            name = f"{reference.db}.{reference.name}"
            select = reference.find_ancestor(exp.Select)
            assert select is not None
            where = select.args["where"].find(exp.Between)
            assert where.this.name == dates[name]
            assert {bound.name for bound in (where.args["low"], where.args["high"])} == {
                "start_date",
                "end_date",
            }
            read.append(name)
    assert len(read) == len(set(read)) > 0


def test_the_files_say_what_they_answer() -> None:
    for name in sorted(ALL):
        assert Path(HERE, f"{name}.sql").read_text(encoding="utf-8").startswith("-- "), name
