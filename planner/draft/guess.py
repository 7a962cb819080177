"""Guesses by names and types what a table's columns mean. Pure; each guess is there to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sql.days import DAY_KINDS

IDS = ("STRING", "INT64", "BYTES")

_DAY_NAME = re.compile(r"(^|_)(date|day|dt|ds)$", re.IGNORECASE)
_ID_NAME = re.compile(r"(^|_)(id|key|code|sku|uuid|slug)$", re.IGNORECASE)
_BOOKKEEPING = re.compile(
    r"(^|_)(created|updated|modified|loaded|inserted|ingested|processed|deleted|valid|etl|dbt|sys)",
    re.IGNORECASE,
)
"""Columns that say when a row was written, and not which day it is about."""

LAYERS = (
    ("source", "src", "landing", "bronze", "raw", "seed"),
    ("stage", "staging", "stg", "clean", "silver", "base"),
    ("int", "intermediate", "core", "dwh", "analytics", "fct", "fact", "facts"),
    ("feature", "features", "precompute", "agg", "aggregate"),
    ("mart", "marts", "gold", "report", "reports", "reporting", "daily"),
    ("prediction", "predictions", "forecast", "scores", "ml"),
    ("grading", "grade", "eval", "evaluation", "accuracy", "quality"),
)
"""Words in names of datasets and tables, by how far down a pipeline they usually stand."""


def date_column(columns: Mapping[str, str], partitioned_by: str | None) -> str | None:
    """The column that most likely tells the day of a row; None where none could.

    What the table is partitioned by; else a DATE, a DATETIME or a TIMESTAMP, in this order, the
    ones that are named like a day first, those that say when a row was written last.
    """
    if partitioned_by in columns and columns[partitioned_by or ""] in DAY_KINDS:
        return partitioned_by
    if partitioned_by == "_PARTITIONTIME" and "_PARTITIONDATE" in columns:
        return "_PARTITIONDATE"
    found = [
        name for name, kind in columns.items() if kind in DAY_KINDS and not name.startswith("_")
    ]
    found.sort(
        key=lambda name: (
            _BOOKKEEPING.search(name) is not None,
            DAY_KINDS.index(columns[name]),
            _DAY_NAME.search(name) is None,
        )
    )
    return found[0] if found and not _BOOKKEEPING.search(found[0]) else None


def id_columns(columns: Mapping[str, str]) -> tuple[str, ...]:
    """Columns that may identify what rows are about, in order."""
    return tuple(
        name
        for name, kind in columns.items()
        if kind in IDS and _ID_NAME.search(name) and not _BOOKKEEPING.search(name)
    )


def layer(name: str) -> int | None:
    """How far down a pipeline something of this name usually stands; None where it does not say."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    ranks = (rank for rank, known in enumerate(LAYERS) if not words.isdisjoint(known))
    return next(ranks, None)


def entity_name(column: str) -> str:
    """What an id's column counts: `store_id` counts stores."""
    bare = re.sub(r"_(id|key|code|sku|uuid|slug)$", "", column.lower())
    return re.sub(r"[^a-z0-9_-]", "_", bare)[:40].lstrip("_-0123456789") or "entity"
