"""The sandbox's statements fit the tables that they create."""

import pytest
from sqlglot import exp, parse_one

from planner.sandbox.fill import PHASES
from sql import load


@pytest.mark.parametrize("table", [table for tables in PHASES.values() for table in tables])
def test_a_fill_gives_the_tables_columns_in_their_order(table: str) -> None:
    """`INSERT ROW` goes by position in BigQuery, and by name in the local warehouse."""
    created = parse_one(load(f"sandbox/create/{table}"), read="bigquery")
    filled = parse_one(load(f"sandbox/fill/{table}"), read="bigquery")
    source = filled.args["using"].unnest()

    assert isinstance(source, exp.Query)
    assert source.named_selects == [column.name for column in created.find_all(exp.ColumnDef)]
