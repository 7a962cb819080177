"""The statements over the same rows: the local engine, the test server through Google's client, and
Google's reference implementation. Also where columns are called as the answer's are.

They count, compare, validate (which `validate --print` prints too), and keep and put back rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from planner.pipeline.load import load_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.validation.queries import QUERIES, query_of
from sql.bigquery import BigQueryWarehouse
from sql.changes import Comparison
from sql.coverage import coverage_query
from sql.differences import Side, differences_query, ids_query
from sql.keeping import Source, prints, put_back, rows_query, whole
from sql.listed import listed_query
from sql.local import LocalWarehouse
from sql.statements import load
from sql.warehouse import Condition, Entity, GradeColumns, Parameters, Table
from tests.analyzer import evaluate
from tests.bigquery_server.rest import BigQueryServer

FIRST, LAST = date(2024, 1, 1), date(2024, 1, 4)
SPAN: Parameters = {"start_date": FIRST, "end_date": LAST}
PLAIN = ("day", "who", "off", "hit", "store", "visitor", "paid", "loaded", "until")
"""Columns of `s.rows`, by what they are asked for."""
KINDS = ("DATE", "STRING", "FLOAT64", "BOOL", "STRING", "INT64", "NUMERIC", "TIMESTAMP", "DATE")
PIPELINE = """
name = "names"
seasons = [{{ name = "2024", year = 2024, start = 2024-01-01, end = 2024-01-04 }}]
[[phases]]
name = "rows"
[[phases.tables]]
name = "s.rows"
date = {day}
entities = {{ store = {store} }}
grades = {{ system = {who}, error = {off}, correct = {hit} }}
[[phases]]
name = "fewer"
after = ["rows"]
tables = [{{ name = "s.fewer", date = {day}, entities = {{ store = {store} }} }}]
"""
TAKEN = (
    *("date", "is_total", "graded_system", "row_count", "measured", "error_sum", "judged"),
    *("correct", "system", "error", "entity_0", "entity_1", "print_0", "print_1", "duplicates"),
    *("filled_0", "first_written", "last_written", "first_day", "last_day", "entity", "id"),
    *("is_own", "is_surplus", "ids_apart", "place", "print", "span_date", "n", "held", "spans"),
)
"""What the statements call what they answer, or compute on the way; and the file's own words."""
NULL = "NULL"
ROWS = (
    ("'2024-01-01'", "'a'", "0.5", "TRUE", "'s1'", "7", "1.25", "'2024-01-01 10:00:00+00'", NULL),
    ("'2024-01-01'", "'a'", "1.5", "FALSE", "'s2'", "7", NULL, NULL, "'2024-01-02'"),
    ("'2024-01-01'", NULL, NULL, NULL, "'s2'", NULL, "10", "'2024-01-02 11:30:00+00'", NULL),
    ("'2024-01-01'", "'b'", "-0.25", "TRUE", NULL, "8", "0", NULL, "'2024-01-09'"),
    ("'2024-01-01'", "'b'", "-0.25", "TRUE", NULL, "8", "0", NULL, "'2024-01-09'"),
    ("'2024-01-02'", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ("'2024-01-04'", "'ü'", "1e15", "FALSE", "''", "-1", "-2.5", "'2024-01-04 00:00:00+00'", NULL),
    ("'2023-12-31'", "'a'", "9", "TRUE", "'s9'", "9", "9", NULL, "'2024-01-01'"),
    (NULL, "'a'", "9", "TRUE", "'s9'", "9", "9", NULL, NULL),
)


pytestmark = pytest.mark.xdist_group("analyzer")


@dataclass(frozen=True, kw_only=True)
class World:
    """The same rows in both warehouses: `s.rows`, `s.fewer` (without a day) and `s.none`."""

    names: Sequence[str]
    local: LocalWarehouse
    bigquery: BigQueryWarehouse

    def table(self, name: str = "s.rows", *, graded: bool = True) -> Table:
        day, who, off, hit, store, visitor, paid, loaded, _ = self.names
        return Table(
            name=name,
            date=day,
            entities={
                "store": store,
                "pair": Entity(columns=(store, visitor), where={hit: Condition(one_of=(True,))}),
            },
            key=(store, visitor, paid, off),
            filled=(paid, hit),
            written_at=loaded,
            grades=GradeColumns(system=who, error=off, correct=hit) if graded else None,
        )


def literal(kind: str, value: str) -> str:
    return f"CAST({value} AS {kind})"


def rows_of(name: str) -> Sequence[Sequence[str]]:
    kept = {"s.rows": ROWS, "s.fewer": [r for r in ROWS if r[4] != "'s1'"], "s.none": []}
    return kept[name]


def select(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows as a query."""
    made = [
        ", ".join(
            f"{literal(kind, value)} AS `{name}`"
            for name, kind, value in zip(names, KINDS, row, strict=True)
        )
        for row in rows or [(NULL,) * len(KINDS)]
    ]
    text = " UNION ALL ".join(f"SELECT {each}" for each in made)
    return text if rows else f"SELECT * FROM ({text}) WHERE FALSE"


def build(folder: Path, names: Sequence[str]) -> LocalWarehouse:
    local = LocalWarehouse(folder)
    columns = ", ".join(f"`{name}` {kind}" for name, kind in zip(names, KINDS, strict=True))
    for table in ("rows", "fewer", "none"):
        local.run(f"CREATE TABLE s.{table} ({columns}) PARTITION BY `{names[0]}`", {})
        if rows := rows_of(f"s.{table}"):
            local.run(f"INSERT INTO s.{table} {select(names, rows)}", {})
    return local


SPELLED = {
    "plain": PLAIN,
    **{
        f"as the answer's, from {TAKEN[n]}": tuple((TAKEN * 2)[n : n + len(PLAIN)])
        for n in range(0, len(TAKEN), len(PLAIN))
    },
    "as the answer's own places": (
        *("date", "graded_system", "measured", "correct", "entity_0", "print_0", "filled_0"),
        *("first_written", "last_day"),
    ),
    "crossed": (
        *("date", "system", "judged", "measured", "graded_system", "row_count", "duplicates"),
        *("last_written", "first_day"),
    ),
}


WORLDS = [
    pytest.param(names, id=how, marks=() if how == "plain" else pytest.mark.slow)
    for how, names in SPELLED.items()
]


@pytest.fixture(scope="module", params=WORLDS)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    place = tmp_path_factory.mktemp("names")
    local = build(place, request.param)
    with BigQueryServer(place) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        bigquery = BigQueryWarehouse("p")
        yield World(names=request.param, local=local, bigquery=bigquery)
        bigquery.close()
    local.close()


def statements(world: World) -> dict[str, tuple[str, Parameters]]:
    day, until = world.names[0], world.names[-1]
    own, fewer, none = (
        world.table(f"s.{each}", graded=False) for each in ("rows", "fewer", "none")
    )
    days = [FIRST, date(2024, 1, 2), LAST]
    spans = {FIRST: (FIRST, date(2024, 1, 2)), LAST: (FIRST, LAST)}
    sides = {"store": [Side(table=own)], "pair": [Side(table=own, within=(Side(table=fewer),))]}
    scope = Window(start=FIRST, end=LAST)
    audit = f"SELECT `{day}` FROM `s.rows` WHERE `{day}` BETWEEN @start_date AND @end_date"
    return {
        "coverage": coverage_query(own, FIRST, LAST),
        "coverage of nothing": coverage_query(none, FIRST, LAST),
        "graded": coverage_query(world.table(), FIRST, LAST),
        "graded of nothing": coverage_query(world.table("s.none"), FIRST, LAST),
        "differences": differences_query(fewer, sides, days, ids_shown=2),
        "differences from nothing": differences_query(none, sides, days, ids_shown=2),
        "differences by spans": differences_query(fewer, sides, [*spans], ids_shown=9, spans=spans),
        "listed": listed_query(own, None, FIRST, LAST),
        "listed by ranges": listed_query(own, Table(name="s.rows", date=until), FIRST, LAST),
        "audit": (load("audit").format(date=f"`{day}`", audit=audit), SPAN),
        "ids": ids_query(own, "pair", days),
        "ids by spans": ids_query(own, "store", [*spans], spans=spans),
        **{f"validate {name}": query_of(pipeline(world), name, scope) for name in QUERIES},
        **{f"keeping {n}": asked for n, asked in enumerate(keeping(world, days))},
    }


def pipeline(world: World) -> Pipeline:
    """What is validated: `s.fewer` against `s.rows`, which is graded."""
    day, who, off, hit, store, *_ = map(json.dumps, world.names)
    place = world.local.folder / "names.toml"
    place.write_text(PIPELINE.format(day=day, who=who, off=off, hit=hit, store=store))
    return load_pipeline(str(place))


def keeping(world: World, days: Sequence[date]) -> list[tuple[str, Parameters]]:
    """What is asked of rows that were kept: `s.fewer` kept them of `s.rows`."""
    asked: list[tuple[str, Parameters]] = []
    table = whole(Table(name="s.rows", date=world.names[0]))
    source = Source(table=replace(table, name="s.fewer"), days=frozenset(days[:2]))

    class Noting:
        """A warehouse that is asked, and answers nothing."""

        columns = world.local.columns

        def rows(self, statement: str, parameters: Parameters) -> list[Any]:
            asked.append((statement, parameters))
            return []

    noting: Any = Noting()
    prints(noting, table, world.names, days)
    for key in ((world.names[4], world.names[5]), ()):
        compared = Comparison(table=table, key=key, sources=(source,), days=frozenset(days))
        compared.changes(noting)
        compared.rows(noting, shown=20)
    return [*asked, rows_query(table, days)]


def plain(value: Any) -> Any:
    """A value as JSON of the reference has it."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return value


def ordered(rows: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, Any]]]:
    """Whole rows in one order: that of equal places is nobody's."""
    return sorted(([(name, plain(value)) for name, value in row.items()] for row in rows), key=repr)


def constant(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(constant, value))}]"
    if isinstance(value, date):
        return f"DATE '{value}'"
    return str(value).upper() if isinstance(value, bool) else repr(value)


def reference(statement: str, parameters: Parameters, names: Sequence[str]) -> list[dict[str, Any]]:
    """What Google's reference implementation answers: values in the place of tables and
    parameters. It knows no GROUPING outside of BigQuery."""
    text = re.sub(r"--.*", "", statement)
    for table in ("s.rows", "s.fewer", "s.none"):
        text = text.replace(f"`{table}`", f"({select(names, rows_of(table))})")
    text = re.sub(r"@(\w+)", lambda found: constant(parameters[found[1]]), text)
    text = re.sub(r"GROUPING\(graded\.`\w+`\) = 1", "FALSE", text)
    answer = evaluate(f"TO_JSON_STRING(ARRAY(SELECT AS STRUCT * FROM ({text})))")
    found: list[dict[str, Any]] = json.loads(answer)
    return found


def comparable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the reference can be asked for: no totals, which it adds to what has no system."""
    return [_comparable(row) for row in rows if row.get("system") not in ("*", "?")]


def _comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    """It has its own fingerprints, and its own texts of moments and numbers in JSON, as documented:
    of rows that are shown as JSON, columns and what is NULL are compared."""
    found = {
        name: value is not None if name.startswith("print") else value
        for name, value in row.items()
    }
    for held in ("old_held", "new_held"):
        if found.get(held) is not None:
            found[held] = {each: v is None for each, v in json.loads(found[held]).items()}
    return found | ({"is_total": False} if "is_total" in row else {})


def test_every_engine_answers_the_same(world: World) -> None:
    for what, (statement, parameters) in statements(world).items():
        here = world.local.rows(statement, parameters)
        there = world.bigquery.rows(statement, parameters)
        assert ordered(here) == ordered(there), what
        google = reference(statement, parameters, world.names)
        assert ordered(comparable(here)) == ordered(comparable(google)), what
        assert bool(here) is not what.endswith("of nothing")


def test_rows_are_put_back_alike(world: World) -> None:
    # Given that `s.fewer` is what was kept of two days of `s.rows`, and the third held nothing
    days = [FIRST, date(2024, 1, 2), LAST]
    table = whole(Table(name="s.rows", date=world.names[0]))
    source = Source(table=replace(table, name="s.fewer"), days=frozenset(days[:2]))
    everything = f"SELECT * FROM s.rows WHERE `{world.names[0]}` IN UNNEST(@days)"
    held = world.local.rows(everything, {"days": days})
    kept = world.local.rows(everything.replace("s.rows", "s.fewer"), {"days": days[:2]})

    for warehouse in (world.local, world.bigquery):
        put_back(warehouse, table, [source], days)
        assert ordered(world.local.rows(everything, {"days": days})) == ordered(kept)

        # Then what was there can be put back in turn, by any of them
        restore_rows(world, held)
        assert ordered(world.local.rows(everything, {"days": days})) == ordered(held)


def restore_rows(world: World, rows: Sequence[Mapping[str, Any]]) -> None:
    """`s.rows` as it was made."""
    assert len(rows) == len([row for row in ROWS if row[0][1:8] == "2024-01"])
    world.local.run("DELETE FROM s.rows WHERE TRUE", {})
    world.local.run(f"INSERT INTO s.rows {select(world.names, ROWS)}", {})


def test_a_graded_count_is_that_of_the_rows(world: World) -> None:
    for warehouse in (world.local, world.bigquery):
        cell = warehouse.coverage(world.table(), FIRST, LAST)[FIRST]
        assert (cell.rows, dict(cell.entities)) == (5, {"store": 2, "pair": 1})
        told = {
            name: (g.rows, g.measured, g.error_sum, g.judged, g.correct)
            for name, g in cell.grades.items()
        }
        assert told == {
            "*": (5, 4, 1.5, 4, 3),
            "a": (2, 2, 2.0, 2, 1),
            "b": (2, 2, -0.5, 2, 2),
            "?": (1, 0, 0.0, 0, 0),
        }
