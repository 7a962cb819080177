"""GoogleSQL queries as DuckDB says them, and what they need."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from sqlglot import exp

from sql.dialect import duckdb_sql, parameter_names, parse
from sql.needs import Need, needs_of, shown


class Query(NamedTuple):
    """A query as DuckDB says it, and what it needs."""

    sql: str
    needs: tuple[Need, ...]
    """Of each table that it reads, without its own WITH clauses."""
    parameters: frozenset[str]


@lru_cache(maxsize=256)
def read_query(statement: str) -> Query:
    """A GoogleSQL query, translated once per process: recounts ask the same over and over."""
    return query_of(parse(statement))


def query_of(tree: exp.Expr) -> Query:
    """A parsed query, translated."""
    needs = needs_of(tree)
    return Query(sql=duckdb_sql(shown(tree, needs)), needs=needs, parameters=parameter_names(tree))
