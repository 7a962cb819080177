"""Answers are not believed, and statements are looked at for the tables that they name."""

from __future__ import annotations

import re
from typing import Any

from google.cloud.bigquery.table import RowIterator

from sql.errors import BadAnswer
from sql.statements import is_table

EMPTY_PAGES_MAX = 10
"""Empty pages in a row that say that more is to come: so many, and it never does."""

_NAMED = re.compile(r"\b(?:FROM|JOIN|INTO|MERGE|UPDATE|TABLE)\s+([\w.*`-]+)", re.IGNORECASE)


def all_rows(warehouse: str, rows: RowIterator) -> list[dict[str, Any]]:
    """Every row of an answer. Raises `BadAnswer` where there are not as many as it says."""
    found: list[dict[str, Any]] = []
    empty = 0
    token = ""
    for page in rows.pages:
        before = len(found)
        try:
            found.extend(dict(row.items()) for row in page)
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            raise BadAnswer(
                f"{warehouse}: a row of an answer cannot be read ({type(error).__name__}). Try "
                "again later."
            ) from None
        empty = 0 if len(found) > before else empty + 1
        if (
            empty > EMPTY_PAGES_MAX
            or (rows.next_page_token and rows.next_page_token == token)
            or (rows.total_rows is not None and len(found) > rows.total_rows)
        ):
            raise BadAnswer(f"{warehouse}: an answer has no end. Try again later.")
        token = rows.next_page_token or ""
    if rows.total_rows is not None and len(found) != rows.total_rows:
        raise BadAnswer(
            f"{warehouse} answered {len(found)} of {rows.total_rows} rows. Try again later."
        )
    return found


def tables_of(statement: str) -> dict[str, str]:
    """Dataset → one of its tables that a statement names, in order; of records of it, none."""
    found: dict[str, str] = {}
    for named in _NAMED.findall(statement):
        name = named.replace("`", "")
        dataset, _, records = name.partition(".INFORMATION_SCHEMA.")
        if records:
            found.setdefault(dataset, "")
        elif is_table(name):
            found.setdefault(name.rpartition(".")[0], name)
    return found
