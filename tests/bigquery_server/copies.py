"""Datasets, tables that are made by tables.insert, and copy jobs of partitions."""

from __future__ import annotations

import re
import threading
from datetime import date, datetime

from sql.statements import quote_column, quote_table
from tests.bigquery_server.encode import Json
from tests.bigquery_server.faults import ApiError
from tests.bigquery_server.served import ServedWarehouse

_making = threading.Lock()
_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL"}
_DECORATED = re.compile(r"(?P<table>[^$]+)\$(?P<day>\d{8})")
_COPY = """
MERGE {to} USING (SELECT * FROM {source} WHERE {by} = @day) ON FALSE
WHEN NOT MATCHED BY SOURCE AND {by} = @day THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""


def dataset(project: str, name: str, location: str) -> Json:
    """As datasets.get answers."""
    return {
        "kind": "bigquery#dataset",
        "id": f"{project}:{name}",
        "datasetReference": {"projectId": project, "datasetId": name},
        "location": location,
    }


def make_table(body: Json, warehouse: ServedWarehouse) -> None:
    """tables.insert. Raises `ApiError` (duplicate) for a table that is there: of two who make it at
    once, too, one is told so."""
    with _making:
        _make_table(body, warehouse)


def _make_table(body: Json, warehouse: ServedWarehouse) -> None:
    reference = body["tableReference"]
    name = f"{reference['datasetId']}.{reference['tableId']}"
    if warehouse._path(name).joinpath("_delta_log").is_dir():
        raise ApiError("duplicate", f"Already Exists: Table {reference['projectId']}:{name}")
    by = body.get("timePartitioning", {})
    if by.get("type") != "DAY" or not by.get("field") or "expirationTime" not in body:
        raise ApiError("notImplemented", "This server makes tables by day of a column, that expire")
    columns = ", ".join(_column(field) for field in body["schema"]["fields"])
    warehouse.run(
        f"CREATE TABLE {quote_table(name)} ({columns}) PARTITION BY {quote_column(by['field'])}", {}
    )


def _column(field: Json) -> str:
    kind = _TYPES.get(field["type"], field["type"])
    if field.get("mode") == "REPEATED":
        kind = f"ARRAY<{kind}>"
    required = " NOT NULL" if field.get("mode") == "REQUIRED" else ""
    return f"{quote_column(field['name'])} {kind}{required}"


def copy_partition(copy: Json, project: str, warehouse: ServedWarehouse) -> None:
    """Run a copy job of one partition. Raises `ApiError`."""
    source, day = _partition(copy["sourceTables"][0], warehouse, project)
    to, other = _partition(copy["destinationTable"], warehouse, project)
    if day != other:
        raise ApiError("invalid", "Incompatible table partitioning specification.")
    layout = warehouse.layout(to)
    held = layout.partitions.get(day)
    if copy.get("writeDisposition", "WRITE_EMPTY") == "WRITE_EMPTY" and held and held.rows:
        raise ApiError("duplicate", f"Already Exists: Table {project}:{to}${day:%Y%m%d}")
    names = {"to": quote_table(to), "source": quote_table(source)}
    warehouse.run(_COPY.format(**names, by=quote_column(layout.partition or "")), {"day": day})


def _partition(reference: Json, warehouse: ServedWarehouse, project: str) -> tuple[str, date]:
    match = _DECORATED.fullmatch(reference["tableId"])
    if match is None:
        raise ApiError("notImplemented", "This server copies partitions: name$20240131.")
    name = f"{reference['projectId']}.{reference['datasetId']}.{match['table']}"
    day = datetime.strptime(match["day"], "%Y%m%d").date()
    return warehouse.folder_name(name, project), day
