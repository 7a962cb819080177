"""DuckDB as the local warehouse uses it: it computes over tables in memory, and holds none.

A process has one, since to open one takes longer than most queries do. Each query has a connection
of its own, so no query sees another's tables, and threads may ask at once.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from sql.dialect import google_integers
from sql.local_errors import NO_DOWNLOADS, refusals
from sql.warehouse import Parameters

_PARAMETER = re.compile(r"\$(\w+)")

# Fingerprints are compared within one warehouse alone, so DuckDB's own hash stands in their place.
_FINGERPRINT = (
    "farm_fingerprint(value) AS "
    "CASE WHEN value IS NOT NULL THEN CAST(hash(value) >> 1 AS BIGINT) END"
)
# As Google's own engine writes numbers: the shorter of 15 and 17 digits that is the same number,
# no sign of zero, no zeros behind the point. Only the branch of the value's type is ever computed,
# but all are planned: the types of most ids come before, which saves a count a quarter of its time.
_TEXT = r"""
google_text(value VARCHAR) AS value,
(value BIGINT) AS CAST(value AS VARCHAR),
(value) AS CASE
  WHEN typeof(value) IN ('DOUBLE', 'FLOAT') THEN CASE
    WHEN TRY_CAST(value AS DOUBLE) = 0 THEN '0'
    WHEN isinf(TRY_CAST(value AS DOUBLE)) OR isnan(TRY_CAST(value AS DOUBLE))
      THEN CAST(value AS VARCHAR)
    WHEN CAST(format('{:.15g}', TRY_CAST(value AS DOUBLE)) AS DOUBLE) = TRY_CAST(value AS DOUBLE)
      THEN format('{:.15g}', TRY_CAST(value AS DOUBLE))
    ELSE format('{:.17g}', TRY_CAST(value AS DOUBLE))
  END
  WHEN typeof(value) LIKE 'DECIMAL%' AND contains(CAST(value AS VARCHAR), '.')
    THEN rtrim(rtrim(CAST(value AS VARCHAR), '0'), '.')
  ELSE CAST(value AS VARCHAR)
END
"""


_opening = threading.Lock()
_database: duckdb.DuckDBPyConnection | None = None
_of_parents: list[duckdb.DuckDBPyConnection] = []
"""Those of processes that forked into this one. Their threads are not here, so to close one would
crash, or wait for them for ever."""


def ask(query: str, parameters: Parameters, tables: Mapping[str, pa.Table]) -> pa.Table:
    """What a query says of some tables, each under its name. Raises `WarehouseRefused`."""
    with refusals(), _connected() as connection:
        for name, rows in tables.items():
            connection.register(name, rows)
        return google_integers(connection.sql(query, params=parameters).to_arrow_table())


def values(constants: Iterable[str], parameters: Parameters) -> Mapping[str, Any]:
    """What each of some constants is. Most are a parameter, and need no query."""
    known: dict[str, Any] = {}
    asked = []
    for constant in dict.fromkeys(constants):
        name = _PARAMETER.fullmatch(constant)
        if name:
            known[constant] = parameters[name[1]]
        else:
            asked.append(constant)
    if asked:
        query = f"SELECT {', '.join(asked)}"
        used = {name: parameters[name] for name in _PARAMETER.findall(query)}
        with refusals(), _connected() as connection:
            (answers,) = connection.execute(query, used).fetchall()
        known.update(zip(asked, answers, strict=True))
    return known


def _connected() -> duckdb.DuckDBPyConnection:
    global _database
    with _opening:
        if _database is None:
            _database = _open()
        connection = _database.cursor()
    # Without a script's file in `__main__` DuckDB believes that a person types, and draws one.
    connection.execute("SET enable_progress_bar = false")
    return connection


def _open() -> duckdb.DuckDBPyConnection:
    database = duckdb.connect(config={**NO_DOWNLOADS})
    database.execute("SET GLOBAL TimeZone = 'UTC'")
    for macro in (_FINGERPRINT, _TEXT):
        database.execute(f"CREATE MACRO {macro}")
    return database


def _leave_to_parent() -> None:
    """In a process that was forked just now."""
    global _opening, _database
    _opening = threading.Lock()  # a thread that is not here may hold it
    if _database is not None:
        _of_parents.append(_database)
        _database = None


os.register_at_fork(after_in_child=_leave_to_parent)
