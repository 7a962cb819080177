"""Entities that one column does not tell: counted, named when they lack, and due in their share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from planner.gaps.gaps import Assessment, GapReason
from planner.gaps.survey import survey
from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql import Warehouse, open_warehouse
from sql.coverage import coverage_query
from sql.differences import Side, differences_query
from tests.analyzer import analyze
from tests.unit import examples as eg

DAY, OTHER = date(2024, 1, 10), date(2024, 1, 11)
GRADABLE = {
    "columns": ["player", "system"],
    "where": {"source": {"in": ["BOOK", "NONE"]}, "line": {"not": 20.0}},
}
Guess = tuple[date, str | None, str, str | None, float | None]
SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        ("player", pa.string()),
        ("system", pa.string()),
        ("source", pa.string()),
        ("line", pa.float64()),
    ]
)
GUESSES: list[Guess] = [
    (DAY, "ann", "a", "BOOK", 10.5),
    (DAY, "ann", "b", "BOOK", 10.5),
    (DAY, "bob", "a", "NONE", None),
    (DAY, "cid", "a", "BOOK", 20.0),  # a placeholder
    (DAY, "dan", "a", None, 9.5),  # no source
    (DAY, None, "a", "BOOK", 9.5),  # of no one
    (OTHER, "ann", "a", None, 20.0),  # nothing of it is gradable
]


def pipeline(**graded: Any) -> Pipeline:
    made = {"name": "s.made", "date": "day", "entities": {"gradable": GRADABLE}}
    entity = {"gradable": {"columns": ["player", "system"]}}
    low = {"name": "s.graded", "date": "day", "entities": entity, **graded}
    return eg.pipeline(eg.phase("made", tables=[made]), eg.phase("graded", "made", tables=[low]))


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    warehouse = open_warehouse(f"local:{tmp_path}")
    write(tmp_path, "made", GUESSES)
    write(tmp_path, "graded", [])
    yield warehouse
    warehouse.close()


def write(folder: Path, table: str, rows: list[Guess]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in SCHEMA]
    content = pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)
    write_deltalake(folder / "s" / table, content, mode="append")


def judged(warehouse: Warehouse, of: Pipeline) -> Assessment:
    return survey(warehouse, of, Window(start=DAY, end=OTHER))


def test_what_is_gradable_is_due_and_named_by_player_and_system(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    write(tmp_path, "graded", [(DAY, "ann", "b", None, None), (DAY, "bob", "a", None, None)])

    assessment = judged(warehouse, pipeline())

    gap = assessment.gaps["graded"][DAY]
    assert (gap.reason, gap.expected, gap.found) == (GapReason.PARTIAL, 3, 2)
    assert gap.findings[0].ids == ("ann|a",)


def test_where_nothing_is_gradable_nothing_is_due(warehouse: Warehouse) -> None:
    """What was made is there: it says that nothing of it is gradable."""
    assessment = judged(warehouse, pipeline())

    assert OTHER in assessment.complete["graded"]
    assert assessment.gaps["graded"][DAY].reason is GapReason.MISSING


def test_what_is_not_gradable_is_a_surplus_where_it_was_graded(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    write(tmp_path, "graded", [(OTHER, "ann", "a", None, None)])

    assert judged(warehouse, pipeline()).gaps["graded"][OTHER].reason is GapReason.SURPLUS
    allowed = judged(warehouse, pipeline(allow_surplus=True))
    assert OTHER in allowed.complete["graded"]


def test_a_share_for_each_entity() -> None:
    """Of games every one, of players nine in ten."""
    entities = {"order": "order_id", "item": "item_id"}
    spec = eg.table("clean", entities=entities, min_coverage={"item": 0.9})
    of = eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=[spec]))
    table = of.tables[-1]

    assert (table.share("order"), table.share("item")) == (1.0, 0.9)


def test_a_share_of_what_is_not_counted_is_refused() -> None:
    spec = eg.table("clean", min_coverage={"player": 0.9})

    with pytest.raises(ValueError, match=r"min_coverage: 'shop.clean' counts no 'player'"):
        eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=[spec]))


@pytest.mark.xdist_group("analyzer")
def test_the_analyzer_accepts_what_counts_and_names_them() -> None:
    """Google's own, of the shipped file whose predictions are gradable or not."""
    of = load_pipeline("nba-live")
    made, graded = of.tables[-2].table, of.tables[-1].table
    text = dict.fromkeys(("player_lookup", "system_id", "line_source", "game_id"), "STRING")
    number = {"current_points_line": "NUMERIC", "game_date": "DATE"}
    flags = {"is_active": "BOOL", "is_voided": "BOOL"}
    columns = {**text, **number, **flags}
    tables = {made.name: columns, graded.name: columns}

    for table in (made, graded):
        analyze(tables, *coverage_query(table, DAY, OTHER))
    sides = {"gradable": [Side(table=made)]}
    analyze(tables, *differences_query(graded, sides, [DAY, OTHER], ids_shown=20))
