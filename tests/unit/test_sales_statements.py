"""The sales pipeline's statements fit its tables."""

from __future__ import annotations

import pytest
from sqlglot import exp, parse_one

from planner.pipeline.load import load_pipeline
from planner.pipeline.runners import SqlRunner
from sql.statements import load

PIPELINE = load_pipeline("sales")


def columns(table: str) -> dict[str, str]:
    """Column → type, as the table is created."""
    tree = parse_one(load(f"sales/create/{table}"), read="bigquery")
    return {
        column.name: column.args["kind"].sql(dialect="bigquery")
        for column in tree.find_all(exp.ColumnDef)
    }


TABLES = {
    spec.name: columns(spec.name.partition(".")[2])
    for phase in PIPELINE.phases
    for spec in phase.tables
}


@pytest.mark.parametrize("table", ["sessions", "store_daily"])
def test_a_statement_gives_the_tables_columns_in_their_order(table: str) -> None:
    """`INSERT ROW` goes by position in BigQuery, and by name in the local warehouse."""
    source = parse_one(load(f"sales/{table}"), read="bigquery").args["using"].unnest()

    assert isinstance(source, exp.Query)
    assert source.named_selects == list(columns(table))


def test_every_column_that_the_pipeline_names_exists() -> None:
    for phase in PIPELINE.phases:
        for spec in phase.tables:
            assert {spec.date, *spec.entities.values(), *spec.where} <= set(TABLES[spec.name])
            assert TABLES[spec.name][spec.date] == "DATE"


def test_every_phase_runs_statements_that_ship() -> None:
    run = [
        name
        for phase in PIPELINE.phases
        for runner in phase.runners
        if isinstance(runner, SqlRunner)
        for name in runner.statements
    ]

    assert run == ["sales/sessions", "sales/store_daily"]
    assert all(load(name).startswith("-- ") for name in run)
