"""Google's own SQL analyzer, imported when it is first asked.

Its types are made at its import, which takes most of a second: of every process that collects
tests, as long as it is no more than asked for here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def analyze(
    tables: Mapping[str, Mapping[str, str]], statement: str, parameters: Mapping[str, Any]
) -> None:
    """Raises what the analyzer has against the statement.

    `tables` are `dataset.table` → column → GoogleSQL type.
    """
    from tests import google_analyzer

    google_analyzer.analyze(tables, statement, parameters)


def evaluate(expression: str) -> Any:
    """What a GoogleSQL expression is by Google's reference implementation. Raises its error."""
    from tests import google_analyzer

    return google_analyzer.evaluate(expression)
