"""The warehouse: named GoogleSQL statements and the two warehouses that run them.

This layer knows nothing of phases, runs or workers. Import cost is kept low: the BigQuery
client, DuckDB and sqlglot are imported when a warehouse is opened, never before.
"""

from sql.errors import (
    AccessDenied,
    BadWarehouse,
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
    EVERY_SYSTEM,
    Cell,
    Condition,
    Coverage,
    Grade,
    GradeColumns,
    Parameters,
    Partition,
    Partitions,
    Scalar,
    Table,
    Warehouse,
)

__all__ = [
    "EVERY_SYSTEM",
    "AccessDenied",
    "BadWarehouse",
    "Cell",
    "Condition",
    "Coverage",
    "Grade",
    "GradeColumns",
    "Parameters",
    "Partition",
    "Partitions",
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
