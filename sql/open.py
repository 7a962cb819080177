"""Opens the warehouse that a setting names."""

from __future__ import annotations

from pathlib import Path

from sql.billing import MAXIMUM_BYTES_BILLED
from sql.errors import BadWarehouse
from sql.identity import folder_identity
from sql.warehouse import Warehouse


def open_warehouse(
    setting: str,
    *,
    location: str | None = None,
    max_bytes: int = MAXIMUM_BYTES_BILLED,
) -> Warehouse:
    """Open `local:DIR` or `bigquery:PROJECT`. Raises `BadWarehouse` for anything else.

    The options are BigQuery's: where jobs run, and what one may bill at most.
    """
    kind, _, place = setting.partition(":")
    if place and kind == "local":
        from sql.local import LocalWarehouse  # DuckDB and sqlglot cost 220 ms to import

        return LocalWarehouse(place)
    if place and kind == "bigquery":
        from sql.bigquery import BigQueryWarehouse  # the client costs 614 ms to import

        return BigQueryWarehouse(place, location=location, maximum_bytes_billed=max_bytes)
    raise BadWarehouse(
        f"{setting!r} names no warehouse: set BACKFILL_WAREHOUSE to local:DIR or bigquery:PROJECT."
    )


def identity_of(setting: str) -> str:
    """The identity of a warehouse without opening it; empty where it has none yet."""
    kind, _, place = setting.partition(":")
    if kind != "local":
        return setting
    folder = Path(place).expanduser().absolute()
    known = folder_identity(folder) if folder.is_dir() else str(folder)
    return f"local:{known}" if known else ""


def warehouse_name(setting: str) -> str:
    """The name of a warehouse without opening it."""
    kind, _, place = setting.partition(":")
    return f"local:{Path(place).expanduser().absolute()}" if kind == "local" else setting
