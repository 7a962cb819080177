"""The warehouse: named GoogleSQL statements and the two warehouses that run them.

This layer knows nothing of phases, runs or workers. Import cost is kept low: the BigQuery
client, DuckDB and sqlglot are imported when a warehouse is opened, never before.
"""

from sql.errors import (
    AccessDenied,
    TableNotFound,
    TooLarge,
    Unsupported,
    WarehouseError,
    WarehouseRefused,
    WarehouseUnreachable,
)
from sql.open import open_warehouse
from sql.statements import load
from sql.warehouse import (
    Condition,
    Coverage,
    Scalar,
    Table,
    Warehouse,
)

__all__ = [
    "AccessDenied",
    "Condition",
    "Coverage",
    "Scalar",
    "Table",
    "TableNotFound",
    "TooLarge",
    "Unsupported",
    "Warehouse",
    "WarehouseError",
    "WarehouseRefused",
    "WarehouseUnreachable",
    "load",
    "open_warehouse",
]
