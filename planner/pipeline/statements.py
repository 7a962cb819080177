"""Statements that a pipeline file names: `.sql` files beside it, or ones that ship."""

from __future__ import annotations

from pathlib import Path

from planner.files import MB, read_capped
from sql.statements import load

STATEMENT_BYTES = MB  # BigQuery takes no longer one


def read_statement(name: str, beside: Path) -> str:
    """The text of a statement: a `.sql` file below the pipeline file's folder, else ours.

    Raises `WarehouseRefused` when there is none, `OSError` and `ValueError` when it is unreadable.
    """
    own = (beside / f"{name.removesuffix('.sql')}.sql").resolve()
    if own.is_relative_to(beside.resolve()) and own.is_file():
        return read_capped(own, STATEMENT_BYTES).decode("utf-8")
    return load(name.removesuffix(".sql"))
