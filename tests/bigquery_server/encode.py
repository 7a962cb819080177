"""Values and types as BigQuery's JSON writes them.

A row is `{"f": [{"v": …}, …]}`. Every scalar is text, or null. DATE is `2024-01-31`, BOOL is
`true` or `false`, TIMESTAMP is microseconds (or, unless asked for, seconds as a float).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from sql.warehouse import Scalar
from tests.bigquery_server.faults import ApiError

Json = dict[str, Any]

_LEGACY = {
    "INT64": "INTEGER",
    "FLOAT64": "FLOAT",
    "BOOL": "BOOLEAN",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def schema(columns: pa.Schema) -> list[Json]:
    """The fields of an answer, for its Arrow schema."""
    return [_field(column) for column in columns]


def _field(column: pa.Field) -> Json:
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _field(pa.field(column.name, kind.value_type)) | {"mode": "REPEATED"}
    field = {"name": column.name, "type": _type(kind), "mode": "NULLABLE"}
    if pa.types.is_struct(kind):
        field["fields"] = [_field(part) for part in kind]
    return field


def _type(kind: pa.DataType) -> str:
    # DuckDB's decimals that BigQuery has not: a sum of integers has 38 digits and none after the
    # point, a literal such as 1.5 has as many as are written. NUMERIC is 38, 9 of them after it.
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return "INTEGER"
    if pa.types.is_decimal(kind) and kind.precision < 38:
        return "FLOAT"
    for matches, name in (
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_decimal, "NUMERIC"),
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_time, "TIME"),
        (pa.types.is_binary, "BYTES"),
        (pa.types.is_struct, "RECORD"),
    ):
        if matches(kind):
            return name
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz else "DATETIME"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "STRING"
    raise ApiError("notImplemented", f"This server does not answer with the type {kind}.")


def table_field(name: str, google: str, *, required: bool) -> Json:
    """One field of tables.get: BigQuery writes the legacy names there."""
    if google.startswith("ARRAY<"):
        inner = google.removeprefix("ARRAY<").removesuffix(">")
        return {"name": name, "type": _LEGACY.get(inner, inner), "mode": "REPEATED"}
    mode = "REQUIRED" if required else "NULLABLE"
    return {"name": name, "type": _LEGACY.get(google, google), "mode": mode}


def row(values: Mapping[str, Any], fields: Sequence[Json], *, micros: bool) -> Json:
    """One row. micros: TIMESTAMP as INT64 microseconds."""
    return {"f": [{"v": _cell(values[field["name"]], field, micros)} for field in fields]}


def _cell(value: Any, field: Json, micros: bool) -> Any:
    if field["mode"] == "REPEATED":
        one = field | {"mode": "NULLABLE"}
        return [{"v": _cell(item, one, micros)} for item in value or ()]
    if value is None:
        return None
    match field["type"]:
        case "RECORD":
            return row(value, field["fields"], micros=micros)
        case "BOOLEAN":
            return "true" if value else "false"
        case "FLOAT":
            return repr(float(value)).replace("nan", "NaN").replace("inf", "Infinity")
        case "NUMERIC":
            return format(value.normalize(), "f")
        case "TIMESTAMP":
            since = value - _EPOCH
            whole = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            return str(whole) if micros else repr(whole / 1e6)
        case "DATE" | "DATETIME" | "TIME":
            return str(value.isoformat())
        case "BYTES":
            return base64.standard_b64encode(value).decode()
    return str(value)


def parameters(written: Sequence[Json]) -> dict[str, Scalar | list[Scalar]]:
    """Query parameters: name → value. Raises `ApiError` for what the local warehouse lacks."""
    values: dict[str, Scalar | list[Scalar]] = {}
    for parameter in written:
        name, kind, value = (
            parameter.get("name"),
            parameter["parameterType"],
            parameter["parameterValue"],
        )
        if not name:
            raise ApiError("notImplemented", "This server takes named parameters only.")
        if kind["type"] == "ARRAY":
            element = kind["arrayType"]["type"]
            values[name] = [_scalar(element, part) for part in value.get("arrayValues", ())]
        else:
            values[name] = _scalar(kind["type"], value)
    return values


def _scalar(kind: str, written: Json) -> Scalar:
    text = written.get("value")
    if text is None:
        raise ApiError("notImplemented", "This server takes no NULL as a parameter.")
    match kind:
        case "STRING":
            return str(text)
        case "INT64" | "INTEGER":
            return int(text)
        case "FLOAT64" | "FLOAT":
            return float(text)
        case "BOOL" | "BOOLEAN":
            return str(text).lower() == "true"
        case "DATE":
            return date.fromisoformat(text)
    raise ApiError("notImplemented", f"This server takes no parameter of type {kind}.")
