"""Every query's SQL, run on a warehouse, against what `planner validate` makes of its counts.

They are two ways to one answer, written in two languages, so neither can drift from the other.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from planner.doctor.names import explained
from planner.errors import UsageError
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.sandbox.punch import punch
from planner.validation.counts import count_tables
from planner.validation.queries import printed, query_of
from planner.validation.results import QUERIES, Results, results_of
from sql.bigquery import BigQueryWarehouse
from sql.errors import TableNotFound, WarehouseRefused
from sql.local import LocalWarehouse
from sql.warehouse import Parameters, Warehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.table_sets import live_pipeline, live_tables, plan_pipeline, plan_tables

DAY = timedelta(days=1)
BOOTSTRAP_AND_BREAK = Window(start=date(2021, 10, 12), end=date(2022, 4, 25))
TYPES = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "DATE": pa.date32(),
    "BOOL": pa.bool_(),
    "FLOAT64": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "ARRAY<FLOAT64>": pa.list_(pa.float64()),
}


class CountingWarehouse(LocalWarehouse):
    """Remembers every query."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Mapping[str, Any]]:
        self.asked.append(statement)
        return super().rows(statement, parameters)


def plain(query: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that can be compared: floats to nine digits, no dates as an empty list."""

    def value(column: str, found: Any) -> Any:
        if query == "criteria" and column == "dates":
            return list(found or ())
        return round(found, 9) if isinstance(found, float) else found

    return [{column: value(column, found) for column, found in row.items()} for row in rows]


def computed(warehouse: Warehouse, pipeline: Pipeline, scope: Window) -> Results:
    return results_of(count_tables(warehouse, pipeline, scope))


def assert_equal(warehouse: Warehouse, pipeline: Pipeline, scope: Window) -> Results:
    """Every query asked in SQL gives what is computed by counts, row for row, in the same order."""
    entities = {entity for spec in pipeline.tables for entity in spec.entities}
    pipeline = pipeline.model_copy(update={"compare": dict.fromkeys(entities, "count")})
    answers = computed(warehouse, pipeline, scope)
    for query in QUERIES:
        if query == "grades" and not answers.grades:
            continue
        asked = warehouse.rows(*query_of(pipeline, query, scope))
        mine = [row.model_dump() for row in getattr(answers, query)]
        assert plain(query, asked) == plain(query, mine), query
    return answers


# -- worlds -------------------------------------------------------------------------------------


def fill(
    folder: Path, pipeline: Pipeline, tables: Mapping[str, Mapping[str, str]], *, seed: int
) -> None:
    """Tables with random holes, rows that do not count, and values that are NULL."""
    rng = random.Random(seed)
    days = [day for day in BOOTSTRAP_AND_BREAK.days() if rng.random() < 0.25]
    dates = {spec.name: spec.date for phase in pipeline.phases for spec in phase.tables}
    for name, columns in tables.items():
        by = dates.get(name, "game_date")
        held = [day for day in days if rng.random() < 0.8]
        rows = [
            {column: invented(rng, column, kind, day, by) for column, kind in columns.items()}
            for day in held
            for _ in range(rng.randint(1, 6))
        ]
        schema = pa.schema([(column, TYPES[kind]) for column, kind in columns.items()])
        write_deltalake(
            folder.joinpath(*name.split(".")),
            pa.Table.from_pylist(rows, schema),
            partition_by=[by],
        )


def invented(rng: random.Random, column: str, kind: str, day: date, by: str) -> Any:
    if column == by:
        return day
    identifies = column in ("game_id", "game_code", "player_lookup", "player_id", "team_abbr")
    if not identifies and rng.random() < 0.2:
        return None
    match kind:
        case "STRING":
            return f"{column[:2]}{rng.randint(1, 4)}"
        case "INT64":
            return rng.randint(1, 4)
        case "FLOAT64":
            return rng.randint(0, 40) / 4
        case "NUMERIC":
            return Decimal(rng.randint(0, 40)) / 4
        case "BOOL":
            return rng.random() < 0.6
    return None


def diamond() -> Pipeline:
    """Two sources, two phases that need both or one, and one that needs those two."""

    def phase(name: str, *after: str, **extra: Any) -> dict[str, Any]:
        table = {"name": f"d.{name}", "date": "on_day", "entities": {"thing": "game_id"}}
        return {
            "name": name,
            "after": after,
            "runners": [{"kind": "sql", "statements": ["x"]}] if after else [],
            "tables": [table | extra.pop("table", {})],
            **extra,
        }

    content = load_pipeline("nba").model_dump(exclude_unset=True)
    everything = {"kind": "complete", "name": "everything", "phases": ["left", "bottom"]}
    content |= {
        "name": "diamond",
        "compare": {"thing": "count"},
        "exclude": [
            {"start": "2022-01-10", "end": "2022-01-20", "reason": "closed"},
            {"start": "2022-02-10", "end": "2022-02-20", "reason": "moved", "phases": ["left"]},
        ],
        "phases": [
            phase("one"),
            phase("two"),
            phase("left", "one", "two", table={"min_coverage": 0.55}),
            phase("right", "two", skips_bootstrap=True, bootstrap_days=20),
            phase("bottom", "left", "right"),
        ],
        "criteria": [
            everything,
            {"kind": "entities", "name": "e", "phase": "left", "against": "two", "tolerance": 0.3},
            {"kind": "dates", "name": "d", "phase": "bottom", "against": "right"},
        ],
    }
    return Pipeline.model_validate(content)


def diamond_tables() -> dict[str, dict[str, str]]:
    columns = {"on_day": "DATE", "game_id": "STRING"}
    return {f"d.{name}": columns for name in ("one", "two", "left", "right", "bottom")}


WORLDS = {
    "plan": (plan_pipeline, plan_tables),
    "live": (live_pipeline, live_tables),
    "diamond": (diamond, diamond_tables),
}


# The tables of "plan" are those of the punched sandbox too, and of the calendar without seasons.
QUICK = {("diamond", 1)}


@pytest.mark.parametrize(
    ("which", "seed"),
    [
        pytest.param(*case, marks=[] if case in QUICK else pytest.mark.slow)
        for case in itertools.product(WORLDS, (1, 2, 3))
    ],
)
def test_sql_and_python_agree_in_random_worlds(which: str, seed: int, tmp_path: Path) -> None:
    pipeline, tables = WORLDS[which][0](), WORLDS[which][1]()
    fill(tmp_path, pipeline, tables, seed=seed)
    warehouse = LocalWarehouse(tmp_path)

    answers = assert_equal(warehouse, pipeline, BOOTSTRAP_AND_BREAK)

    # And the worlds are not so poor that they would agree about nothing
    assert {gap.status for gap in answers.gaps} == {"missing", "partial", "orphan"}
    assert any(row.status == "fails" for row in answers.criteria)
    assert which == "diamond" or len(answers.grades) > 2

    # Then a part of them
    assert_equal(warehouse, pipeline, Window(start=date(2021, 10, 25), end=date(2021, 12, 1)))
    warehouse.close()


def test_sql_and_python_agree_about_nothing_at_all(tmp_path: Path) -> None:
    """Empty tables: no error, no division, no NULL where a number is meant, nothing complete."""
    warehouse = LocalWarehouse(tmp_path)
    for name, columns in plan_tables().items():
        kinds = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        warehouse.run(f"CREATE TABLE {name} ({kinds}) PARTITION BY game_date", {})

    answers = assert_equal(
        warehouse, plan_pipeline(), Window(start=date(2021, 10, 1), end=date(2023, 6, 12))
    )

    assert not answers.hold
    assert {row.overall for row in answers.matrix} == {"no rows"}
    assert {row.status for row in answers.criteria} == {"no rows"}
    assert {row.status for row in answers.grades} == {"no rows"}
    assert {row.status for row in answers.density} == {"no rows"}
    warehouse.close()


@pytest.mark.slow
def test_sql_and_python_agree_about_a_calendar_without_seasons(tmp_path: Path) -> None:
    """Its warm-up is that of its start, and none of each year."""
    plain_years = plan_pipeline().model_copy(
        update={
            "seasons": (),
            "start": BOOTSTRAP_AND_BREAK.start,
            "criteria": tuple(
                each.model_copy(update={"seasons": (), "part": ""})
                for each in plan_pipeline().criteria
            ),
        }
    )
    assert plain_years.bootstrap_days
    fill(tmp_path, plain_years, plan_tables(), seed=1)
    warehouse = LocalWarehouse(tmp_path)

    answers = assert_equal(warehouse, plain_years, BOOTSTRAP_AND_BREAK)

    assert {row.season for row in answers.matrix} == {"2021", "2022"}
    warehouse.close()


@pytest.mark.slow
def test_sql_and_python_agree_about_a_punched_sandbox(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "warehouse")
    warehouse = LocalWarehouse(tmp_path / "warehouse")
    punch(warehouse, plan_pipeline(), seed=3, holes=12)

    answers = assert_equal(
        warehouse, plan_pipeline(), Window(start=date(2021, 10, 1), end=date(2022, 12, 31))
    )

    assert len([row for row in answers.grades if row.status == "graded"]) == 5
    warehouse.close()


# -- scans --------------------------------------------------------------------------------------


def test_a_full_validation_reads_each_table_once(whole: Path) -> None:
    pipeline = plan_pipeline()
    warehouse = CountingWarehouse(whole)
    tables = [spec.name for phase in pipeline.phases for spec in phase.tables]

    answers = computed(warehouse, pipeline, Window(start=date(2021, 10, 1), end=date(2022, 6, 30)))

    assert len(warehouse.asked) == len(tables) == 10
    assert [sum(f"`{name}`" in asked for asked in warehouse.asked) for name in tables] == [1] * 10
    assert answers.grades
    assert answers.counts
    warehouse.close()


# -- through BigQuery's client ------------------------------------------------------------------


@pytest.fixture
def bigquery(whole: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryWarehouse]:
    with BigQueryServer(whole) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        warehouse = BigQueryWarehouse("nba-props")
        yield warehouse
        warehouse.close()


@pytest.mark.slow
def test_bigquery_answers_the_same(bigquery: BigQueryWarehouse, whole: Path) -> None:
    scope = Window(start=date(2021, 10, 19), end=date(2021, 11, 30))
    local = LocalWarehouse(whole)
    assert computed(bigquery, plan_pipeline(), scope) == computed(local, plan_pipeline(), scope)
    # Arrays as parameters too
    statement, parameters = query_of(plan_pipeline(), "matrix", scope)
    assert bigquery.rows(statement, parameters) == local.rows(statement, parameters)
    local.close()


# -- what the warehouse lacks -------------------------------------------------------------------


def lacking(old: str, new: str) -> Pipeline:
    content = plan_pipeline().model_dump_json(exclude_unset=True)
    assert f'"{old}"' in content
    return Pipeline.model_validate_json(content.replace(f'"{old}"', f'"{new}"'))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "nba_precompute.ml_feature_store",
            "nba_predictions.ml_feature_store_v2",
            "no table nba_predictions.ml_feature_store_v2; did you mean "
            "'nba_precompute.ml_feature_store'?",
        ),
        (
            "was_correct",
            "prediction_correct",
            "table nba_predictions.prediction_accuracy has no column prediction_correct; "
            "did you mean",
        ),
        (
            # of two tables, which BigQuery is asked about at once
            "game_code",
            "gamecode",
            " has no column gamecode; did you mean 'game_code'?",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["local", "bigquery"])
@pytest.mark.quick(0, 5)
def test_what_is_not_there_is_named_with_what_is(
    kind: str, old: str, new: str, said: str, whole: Path, request: pytest.FixtureRequest
) -> None:
    warehouse: Warehouse = (
        request.getfixturevalue("bigquery") if kind == "bigquery" else LocalWarehouse(whole)
    )
    scope = Window(start=date(2021, 10, 19), end=date(2021, 11, 30))

    with pytest.raises(TableNotFound) as caught:
        count_tables(
            warehouse,
            lacking(old, new),
            scope,
            on_error=lambda table, error: explained(warehouse, table, error),
        )

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_refusals_are_said_as_they_are(whole: Path) -> None:
    warehouse = LocalWarehouse(whole)
    table = plan_pipeline().phases[0].tables[0].table
    error = WarehouseRefused("too large")
    assert explained(warehouse, table, error) is error
    warehouse.close()


# -- a statement for a person -------------------------------------------------------------------


def test_a_printed_statement_is_the_statement_under_its_parameters() -> None:
    scope = Window(start=date(2021, 10, 19), end=date(2021, 11, 30))
    statement, parameters = query_of(plan_pipeline(), "gaps", scope)
    text = printed(statement, parameters)

    head = [line for line in text.splitlines() if line.startswith("--     ")]
    assert len(head) == len(parameters) + 1
    assert "--     --parameter=start_date:DATE:2021-10-19 \\" in head
    assert "--     '--parameter=season_years:ARRAY<INT64>:[2021]' \\" in head
    assert text.endswith(statement.rstrip() + "\n")


def test_what_a_filter_holds_cannot_leave_its_comment() -> None:
    parameters: dict[str, Any] = {"x": "a' \n; DROP TABLE t"}
    lines = printed("SELECT @x", parameters).splitlines()
    assert [line for line in lines if not line.startswith("--")] == ["SELECT @x"]


def test_a_query_that_there_is_not() -> None:
    scope = Window(start=date(2021, 10, 19), end=date(2021, 11, 30))
    with pytest.raises(UsageError, match="did you mean 'matrix'"):
        query_of(plan_pipeline(), "matrx", scope)
    with pytest.raises(UsageError, match="No table of pipeline 'sales' has `grades`"):
        query_of(load_pipeline("sales"), "grades", scope)
