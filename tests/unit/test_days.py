"""Days of moments and partitions of BigQuery, which are of days in UTC."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from google.cloud import bigquery

from planner.doctor.tables import _partitions
from planner.pipeline.load import load_pipeline
from sql.bigquery_types import columns_of
from sql.days import utc_days
from sql.partitions import (
    is_by_day,
    is_partitioned_by,
    partitioning_of,
    pseudo_columns,
    versions_of,
)
from sql.warehouse import Partitioning, Table

DAY = date(2026, 3, 8)
SOLD = {"type": "DAY", "field": "sold"}


def about(kind: str, **partitioning: str) -> bigquery.Table:
    """What tables.get says of a table."""
    answer: dict[str, Any] = {
        "tableReference": {"projectId": "p", "datasetId": "s", "tableId": "sales"},
        "type": "TABLE",
        "schema": {"fields": [{"name": "sold", "type": kind}]},
        "timePartitioning": partitioning,
    }
    return bigquery.Table.from_api_repr(answer)


@pytest.mark.parametrize(
    ("kind", "zone", "partitioning", "column", "is_told"),
    [
        ("DATE", "Asia/Tokyo", SOLD, "sold", True),
        ("DATE", "UTC", SOLD, "Sold", True),
        ("DATETIME", "Asia/Tokyo", SOLD, "sold", True),
        ("TIMESTAMP", "UTC", SOLD, "sold", True),
        ("TIMESTAMP", "Asia/Tokyo", SOLD, "sold", False),
        ("TIMESTAMP", "UTC", {"type": "HOUR", "field": "sold"}, "sold", False),
        ("TIMESTAMP", "UTC", {"type": "MONTH", "field": "sold"}, "sold", False),
        ("DATE", "Asia/Tokyo", {"type": "DAY"}, "_PARTITIONDATE", True),
        ("DATE", "UTC", {"type": "DAY"}, "sold", False),
        ("DATE", "UTC", {"type": "MONTH"}, "_PARTITIONDATE", False),
    ],
)
def test_records_tell_the_rows_of_a_date_where_a_partition_is_one(
    kind: str, zone: str, partitioning: dict[str, str], column: str, is_told: bool
) -> None:
    found = about(kind, **partitioning)
    table = Table(name="s.sales", date=column, zone=zone)

    assert is_by_day(found, table, columns_of(found)) is is_told


@pytest.mark.parametrize(
    ("partitioning", "pseudo"),
    [({"type": "DAY"}, ["_PARTITIONDATE"]), ({"type": "HOUR"}, []), (SOLD, [])],
)
def test_a_table_has_a_date_of_loading_where_it_is_partitioned_by_it(
    partitioning: dict[str, str], pseudo: list[str]
) -> None:
    assert list(pseudo_columns(about("DATE", **partitioning))) == pseudo


FILTER = {"requirePartitionFilter": True}
RANGE = {"field": "store", "range": {"start": "0", "end": "9", "interval": "1"}}
FOLDERS = {"hivePartitioningOptions": {"fields": ["dt"], **FILTER}}


@pytest.mark.parametrize(
    ("answer", "column", "needs_filter"),
    [
        ({"timePartitioning": SOLD, **FILTER}, "sold", True),
        ({"timePartitioning": {"type": "DAY"}, **FILTER}, "_PARTITIONDATE", True),
        ({"timePartitioning": {"type": "HOUR"}, **FILTER}, "_PARTITIONTIME", True),
        ({"timePartitioning": {"type": "HOUR", "field": "at"}, **FILTER}, "at", True),
        ({"rangePartitioning": RANGE, **FILTER}, "store", True),
        ({"rangePartitioning": RANGE}, "store", False),
        ({"type": "EXTERNAL", "externalDataConfiguration": FOLDERS}, "dt", True),
        ({"type": "EXTERNAL", "externalDataConfiguration": {}}, None, False),
        ({"type": "VIEW"}, None, False),
        ({"type": "SNAPSHOT", "timePartitioning": SOLD}, "sold", False),
        ({}, None, False),
    ],
)
def test_a_required_filter_is_known_of_every_kind(
    answer: dict[str, Any], column: str | None, *, needs_filter: bool
) -> None:
    reference = about("DATE").to_api_repr()["tableReference"]
    found = partitioning_of(bigquery.Table.from_api_repr({"tableReference": reference, **answer}))

    assert (found.column, found.needs_filter) == (column, needs_filter)


@pytest.mark.parametrize(
    ("column", "advice"),
    [
        ("Loaded", "name 'Loaded' as its date in the pipeline file"),
        ("store", "no day is told by that: take the demand off (require_partition_filter = FALSE)"),
        ("_PARTITIONTIME", "no day is told by that: take the demand off"),
    ],
)
def test_doctor_advises_a_date_that_the_product_takes(column: str, advice: str) -> None:
    pipeline = load_pipeline("sales")
    check = _partitions(
        "sessions",
        pipeline,
        pipeline.phases[0].tables[0],
        Partitioning(column=column, needs_filter=True),
        {"loaded": "TIMESTAMP", "store": "INT64"},
        today=DAY,
    )

    assert not check.ok
    assert check.advice.startswith(advice)


@pytest.mark.parametrize("granularity", ["HOUR", "DAY", "MONTH", "YEAR"])
def test_partitions_are_of_one_column(granularity: str) -> None:
    found = about("TIMESTAMP", type=granularity, field="sold")
    assert is_partitioned_by(found, "Sold")
    assert not is_partitioned_by(found, "loaded")


@pytest.mark.parametrize(
    ("kind", "zone", "days"),
    [
        ("DATE", "Asia/Tokyo", [8]),
        ("DATETIME", "Asia/Tokyo", [8]),
        ("TIMESTAMP", "UTC", [8]),
        ("TIMESTAMP", "Europe/London", [8]),  # in winter, it is UTC's
        ("TIMESTAMP", "Asia/Tokyo", [7, 8]),
        ("TIMESTAMP", "America/New_York", [8, 9]),
        ("TIMESTAMP", "Pacific/Kiritimati", [7, 8]),
    ],
)
def test_the_days_of_utc_that_a_day_is_in(kind: str, zone: str, days: list[int]) -> None:
    table = Table(name="s.sales", date="sold", kind=kind, zone=zone)

    assert [day.day for day in utc_days(table, DAY)] == days


@pytest.mark.parametrize("hours", [("",), ("00", "23")], ids=["by day", "by hour"])
def test_a_day_has_one_mark_of_all_partitions_that_it_is_in(hours: tuple[str, ...]) -> None:
    # Given a day that is in two of UTC, one that is in one, and one without rows
    days = [date(2026, 3, 8), date(2026, 3, 9), date(2026, 3, 20)]
    held = {days[0]: days[:2], days[1]: days[1:2], days[2]: days[2:]}

    def marks(**written: datetime) -> dict[date, tuple[str, ...]]:
        rows = [
            {
                "partition_id": f"{day:%Y%m%d}{hour}",
                "last_modified_time": written.get(f"on_{day.day}_{hour}", datetime(2026, 3, 9)),
                "total_rows": 1,
            }
            for day in days[:2]
            for hour in hours
        ]
        return versions_of(held, rows)

    before = marks()
    assert list(before) == days[:2]
    assert {len(each) for each in before.values()} == {1}

    # When one of its partitions is written, then nothing of its mark is left
    after = marks(**{f"on_8_{hours[-1]}": datetime(2026, 3, 10)})
    assert set(before[days[0]]).isdisjoint(after[days[0]])
    assert before[days[1]] == after[days[1]]
