"""Google's own SQL analyzer, over tables that need not exist: what `tests.analyzer` asks.

It is the one that BigQuery parses with, compiled to WebAssembly. Compiling that to machine code
takes half a minute; wasmtime keeps the result in the user's cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from typing import Any

import wasmtime
from zetasql.api import CatalogBuilder, TableBuilder
from zetasql.api.type_factory import TypeFactory
from zetasql.core import wasm_client
from zetasql.core.local_service import ZetaSqlLocalService
from zetasql.types import (
    AnalyzeRequest,
    AnalyzerOptions,
    LanguageOptions,
    SimpleCatalog,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
)
from zetasql.wasi._pb2.zetasql.local_service.local_service_pb2 import (
    AnalyzeResponse,
    EvaluateRequest,
    EvaluateResponse,
)

Tables = Mapping[str, Mapping[str, str]]
"""`dataset.table` → column → GoogleSQL type."""

EPOCH = date(1970, 1, 1)
PRODUCT_EXTERNAL = 1  # the types that BigQuery has

_KINDS = {bool: "BOOL", str: "STRING", int: "INT64", float: "FLOAT64", date: "DATE"}
_PARTITIONS = {
    "partition_id": "STRING",
    "table_name": "STRING",
    "total_rows": "INT64",
    "last_modified_time": "TIMESTAMP",
}
_JOBS = {
    "creation_time": "TIMESTAMP",
    "state": "STRING",
    "parent_job_id": "STRING",
    "total_bytes_billed": "INT64",
    "labels": "ARRAY<STRUCT<key STRING, value STRING>>",
}


def analyze(tables: Tables, statement: str, parameters: Mapping[str, Any]) -> None:
    """Raises what the analyzer has against the statement."""
    options = AnalyzerOptions(
        language_options=_language(),
        query_parameters=[
            AnalyzerOptions.QueryParameter(name=name, type=_type(_kind(value)))
            for name, value in parameters.items()
        ],
    )
    request = AnalyzeRequest(
        sql_statement=statement, options=options, registered_catalog_id=_registered(_Frozen(tables))
    )
    # The answer, a tree of thousands of nodes, is left unread: what counts is that there is one.
    _service().wasm_client.call_grpc_func(
        "ZetaSqlLocalService_Analyze", request.to_proto(), AnalyzeResponse
    )


def evaluate(expression: str) -> Any:
    """What a GoogleSQL expression is by Google's reference implementation. Raises its error."""
    request = EvaluateRequest(sql=expression)
    request.options.CopyFrom(AnalyzerOptions(language_options=_language()).to_proto())
    answer = _service().wasm_client.call_grpc_func(
        "ZetaSqlLocalService_Evaluate", request, EvaluateResponse
    )
    return _read(answer.value)


def _read(value: Any) -> Any:
    """A value of the analyzer's as one of Python; a STRUCT is the tuple of its fields."""
    kind = value.WhichOneof("value")
    found = getattr(value, kind) if kind else None
    match kind:
        case "date_value":
            return EPOCH + timedelta(days=found)
        case "struct_value":
            return tuple(map(_read, found.field))
    return found


class _Frozen(dict[str, Any]):
    """Tables as a key of the cache: told apart by their names and columns."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items())))


def _kind(value: Any) -> str:
    return f"ARRAY<{_kind(value[0])}>" if isinstance(value, list) else _KINDS[type(value)]


def _type(written: str) -> Any:
    if written.startswith("ARRAY<"):
        return TypeFactory.create_array_type(_type(written[6:-1]))
    if written.startswith("STRUCT<"):
        fields = [part.split() for part in written[7:-1].split(",")]
        return TypeFactory.create_struct_type([(name, _type(kind)) for name, kind in fields])
    name = {"FLOAT64": "DOUBLE"}.get(written, written)
    return TypeFactory.create_simple_type(getattr(TypeKind, f"TYPE_{name}"))


@cache
def _language() -> LanguageOptions:
    _service()
    options = LanguageOptions.maximum_features()
    options.product_mode = PRODUCT_EXTERNAL
    options.reserved_keywords = ["QUALIFY"]
    return options


def _compile_once() -> None:
    def config() -> wasmtime.Config:
        made = wasmtime.Config()
        made.cache = True
        return made

    wasm_client.Config = config


def _table(name: str, columns: Mapping[str, str]) -> Any:
    built = TableBuilder(name)
    for column, written in columns.items():
        built.add_column(column, _type(written))
    return built.build()


@cache
def _service() -> ZetaSqlLocalService:
    _compile_once()
    return ZetaSqlLocalService.get_instance()


@cache
def _registered(tables: _Frozen) -> int:
    """The catalog's number in the analyzer, which makes all functions only once for it."""
    registered: int = _service().register_catalog(simple_catalog=_catalog(tables)).registered_id
    return registered


def _catalog(tables: _Frozen) -> SimpleCatalog:
    """Tables by their whole name, as it stands in backquotes, and by path."""
    builder = CatalogBuilder("project").with_builtin_functions(
        ZetaSQLBuiltinFunctionOptions(language_options=_language())
    )
    datasets: dict[str, Any] = {}
    for name, columns in tables.items():
        dataset, _, short = name.partition(".")
        builder.add_table(_table(name, columns))
        datasets.setdefault(dataset, CatalogBuilder(dataset)).add_table(_table(short, columns))
    project = builder.build()
    for dataset in datasets.values():
        built = dataset.build()
        built.catalog = [_records("PARTITIONS", _PARTITIONS)]
        project.catalog.append(built)
    region = CatalogBuilder("region-us").build()
    region.catalog = [_records("JOBS", _JOBS)]
    project.catalog.append(region)
    return project


def _records(view: str, columns: Mapping[str, str]) -> Any:
    return CatalogBuilder("INFORMATION_SCHEMA").add_table(_table(view, columns)).build()
