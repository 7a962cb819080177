"""DuckDB as the local warehouse uses it: it computes over tables in memory, and holds none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
from sqlglot import exp

from sql.dialect import google_integers, quoted
from sql.local_errors import NO_DOWNLOADS, refusals
from sql.warehouse import Parameters

_PARAMETER = re.compile(r"\$(\w+)")

# Fingerprints are compared within one warehouse alone, so DuckDB's own hash stands in their place.
_FINGERPRINT = (
    "farm_fingerprint(value) AS "
    "CASE WHEN value IS NOT NULL THEN CAST(hash(value) >> 1 AS BIGINT) END"
)
# As Google's own engine writes numbers: the shorter of 15 and 17 digits that is the same number,
# no sign of zero, no zeros behind the point. Only the branch of the value's type is ever computed.
_TEXT = r"""
google_text(value) AS CASE
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


class Duck:
    """One connection. Not safe for threads."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={**NO_DOWNLOADS})
        self.connection.execute("SET TimeZone = 'UTC'")
        # Without a script's file in `__main__` DuckDB believes that a person types, and draws one.
        self.connection.execute("SET enable_progress_bar = false")
        for macro in (_FINGERPRINT, _TEXT):
            self.connection.execute(f"CREATE TEMP MACRO {macro}")
        self._schemas: set[str] = set()

    def values(self, constants: Iterable[str], parameters: Parameters) -> Mapping[str, Any]:
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
            with refusals():
                (answer,) = self.connection.execute(query, used).fetchall()
            known.update(zip(asked, answer, strict=True))
        return known

    @contextmanager
    def shown(self, tables: Sequence[tuple[exp.Table, pa.Table]]) -> Iterator[None]:
        """Let queries see tables under the names that statements give them, until it ends."""
        names = [f"shown_{n}" for n in range(len(tables))]
        try:
            for name, (reference, rows) in zip(names, tables, strict=True):
                self.connection.register(name, rows)
                self._view(name, [part.name for part in reference.parts])
            yield
        finally:
            for name in names:
                self.connection.unregister(name)

    def _view(self, name: str, path: Sequence[str]) -> None:
        *above, view = map(quoted, path)
        schema = ".".join(above)
        if schema not in self._schemas:
            if len(above) == 2:
                self.connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {above[0]}")
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            self._schemas.add(schema)
        self.connection.execute(f"CREATE OR REPLACE VIEW {schema}.{view} AS SELECT * FROM {name}")

    def answer(self, query: str, parameters: Parameters) -> pa.Table:
        """Raises `WarehouseRefused`."""
        with refusals():
            relation = self.connection.sql(query, params=parameters)
            return google_integers(relation.to_arrow_table())

    def close(self) -> None:
        self.connection.close()
