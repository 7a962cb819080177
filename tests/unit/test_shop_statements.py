"""The shop's statements fit its tables."""

from __future__ import annotations

import pytest
from sqlglot import exp, parse_one

from planner.pipeline.load import load_pipeline
from planner.pipeline.runners import SqlRunner
from planner.sandbox.receipts import HOURS, RECEIPTS
from sql.statements import load

PIPELINE = load_pipeline("shop")
STATEMENTS = [
    name
    for phase in PIPELINE.phases
    for runner in phase.runners
    if isinstance(runner, SqlRunner)
    for name in runner.statements
]


def columns(table: str) -> dict[str, str]:
    """Column → type, as the table is created."""
    tree = parse_one(load(f"shop/create/{table}"), read="bigquery")
    return {
        column.name: column.args["kind"].sql(dialect="bigquery")
        for column in tree.find_all(exp.ColumnDef)
    }


@pytest.mark.parametrize("statement", [*STATEMENTS, "shop/store_forecast"])
def test_a_statement_gives_the_tables_columns_in_their_order(statement: str) -> None:
    """`INSERT ROW` goes by position in BigQuery, and by name in the local warehouse."""
    source = parse_one(load(statement), read="bigquery").args["using"].unnest()

    assert isinstance(source, exp.Query)
    assert source.named_selects == list(columns(statement.partition("/")[2]))


def test_every_phase_but_the_source_runs_a_statement() -> None:
    assert STATEMENTS == ["shop/store_daily", "shop/store_weekly", "shop/store_monthly"]


def test_every_column_that_the_pipeline_names_exists() -> None:
    (source, *_), kinds = PIPELINE.phases, []
    for spec in PIPELINE.tables:
        found = columns(spec.name.partition(".")[2])
        assert {spec.date, *spec.entities.values()} <= set(found)
        kinds.append(found[spec.date])
    assert kinds == ["TIMESTAMP", "DATE", "DATE", "DATE"]
    against = source.expects.against if source.expects else None
    assert against is not None
    assert {against.date, *against.where, *against.entities.values()} <= set(HOURS.names)


@pytest.mark.parametrize(("table", "made"), [("receipts", RECEIPTS), ("opening_hours", HOURS)])
def test_what_the_sandbox_makes_fits_the_tables(table: str, made: object) -> None:
    assert getattr(made, "names", None) == list(columns(table))
