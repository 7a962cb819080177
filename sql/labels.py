"""The labels of jobs, and what jobs that carried them were billed. Pure but for one query.

Scripts are handed the labels of their step, so that what they ask of BigQuery can be told apart
from all else that is asked there, also from what the fleet asks for the same step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sql.errors import WarehouseRefused
from sql.statements import load
from sql.warehouse import Parameters, Warehouse

Maker = tuple[str, int]
"""A phase, and the number of its runner, from 1."""

APP = "backfill-fleet"
SINCE_DAYS = 90
"""How far back jobs are looked for; BigQuery keeps 180 days of them [BigQuery documentation]."""
DATES_MOST = 36_600
"""Dates of one step; a label with more is not written by this program."""
_CHARACTERS = 63  # BigQuery's limit for a label's key and value
_REGION = re.compile(r"[a-z][a-z0-9-]{0,62}")


def job_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """`labels` and `app=backfill-fleet` by BigQuery's rules: lower case letters, digits, `_` and
    `-`, at most 63 of them, a key beginning with a letter. Anything else becomes `-`.
    """

    keys = {key: re.sub(r"^[^a-z]+", "", label_value(key)) for key in labels}
    valid = {keys[key]: label_value(value) for key, value in labels.items() if keys[key]}
    return {"app": APP} | valid


def label_value(text: str) -> str:
    """A text as a label holds it."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:_CHARACTERS]


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as a script is given them: `app=backfill-fleet,phase=daily`. No value has a comma."""
    return ",".join(f"{key}={value}" for key, value in job_labels(labels).items())


def billed_per_date(
    warehouse: Warehouse, location: str, pipeline: str, phases: Collection[str]
) -> dict[Maker, float]:
    """Bytes that labelled jobs of a pipeline's phases were billed per date, in one query.

    A maker without such jobs is absent. Raises `WarehouseError`.
    """
    statement = load("labelled").format(region=_region(location))
    rows = warehouse.rows(
        statement,
        {
            "days": SINCE_DAYS,
            "app": APP,
            "pipeline": pipeline,
            "phases": sorted(phases),
            "most_dates": DATES_MOST,
        },
    )
    return per_date(rows)


def billed_per_step(
    warehouse: Warehouse, location: str, run_id: str, since: float
) -> dict[str, int]:
    """Bytes that jobs with a run's labels were billed since it began (seconds since the epoch), by
    their label `step`, in one query. A step without such jobs is absent. Raises `WarehouseError`.
    """
    statement = load("labelled_run").format(region=_region(location))
    since_ms = math.floor(since * 1000)
    asked: Parameters = {"app": APP, "run": label_value(run_id), "since_ms": since_ms}
    rows = warehouse.rows(statement, asked)
    return {row["step"]: int(row["bytes_billed"] or 0) for row in rows}


def _region(location: str) -> str:
    """A location as its records are named. Raises `WarehouseRefused`."""
    if not _REGION.fullmatch(location.lower()):
        raise WarehouseRefused(f"{location!r} is not a location")
    return f"`region-{location.lower()}`"


def per_date(rows: Iterable[Mapping[str, Any]]) -> dict[Maker, float]:
    """The quotient of what each maker's steps were billed and their dates."""
    return {
        (row["phase"], int(row["runner"])): int(row["bytes_billed"] or 0) / int(row["dates"])
        for row in rows
        if row["dates"]
    }
