"""Drafting a pipeline file: what names, types and the last days of tables say."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.draft.compare import compared, shared
from planner.draft.guess import date_column, entity_name, id_columns, layer
from planner.draft.look import Found
from planner.draft.manifest import parents_by_manifest
from planner.draft.order import by_names, by_parents, in_order
from planner.draft.write import draft
from planner.errors import UsageError
from planner.pipeline.load import parse_pipeline
from sql.warehouse import Cell

FIRST = date(2026, 1, 1)
FILE = Path("shop.toml")


def table(name: str, *, first: int = 0, **ids: set[str]) -> Found:
    """A table with the same ids on each of ten days."""
    days = [FIRST + timedelta(days=n) for n in range(first, 10)]
    cell = Cell(
        rows=9,
        entities={column: len(found) for column, found in ids.items()},
        fingerprints={column: hash(frozenset(found)) for column, found in ids.items()},
    )
    return Found(
        name=name,
        columns={"day": "DATE", **dict.fromkeys(ids, "STRING")},
        day_column="day",
        ids=tuple(ids),
        first=days[0],
        last=days[-1],
        recent=dict.fromkeys(days, cell),
    )


# -- columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "partitioned_by", "found"),
    [
        ({"a": "DATE", "order_date": "DATE"}, "a", "a"),
        ({"a": "DATE", "order_date": "DATE"}, None, "order_date"),
        ({"ts": "TIMESTAMP", "day": "DATE"}, None, "day"),
        ({"ts": "TIMESTAMP", "created_at": "DATE"}, None, "ts"),
        ({"loaded_at": "TIMESTAMP", "updated_date": "DATE"}, None, None),
        ({"x": "STRING"}, None, None),
        ({"x": "STRING", "_PARTITIONDATE": "DATE"}, "_PARTITIONTIME", "_PARTITIONDATE"),
        ({"n": "INT64", "d": "DATE"}, "n", "d"),
    ],
)
def test_the_column_of_the_day(
    columns: dict[str, str], partitioned_by: str | None, found: str | None
) -> None:
    assert date_column(columns, partitioned_by) == found


def test_ids_are_columns_that_are_named_like_ids() -> None:
    columns = {
        "store_id": "STRING", "amount": "FLOAT64", "sku": "STRING", "valid": "BOOL",
        "score_id": "FLOAT64", "etl_run_id": "STRING", "game_code": "INT64", "paid": "STRING",
    }  # fmt: skip
    assert id_columns(columns) == ("store_id", "sku", "game_code")
    assert (entity_name("Store_ID"), entity_name("id"), entity_name("9_id")) == (
        "store", "id", "entity"
    )  # fmt: skip


# -- order -----------------------------------------------------------------------------------


def test_datasets_are_ordered_by_their_names() -> None:
    tables = [table("shop_marts.a"), table("shop_raw.b"), table("shop_raw.c")]

    phases = by_names(tables)

    assert [(p.name, p.after, len(p.tables)) for p in phases] == [
        ("shop_raw", (), 2), ("shop_marts", ("shop_raw",), 1)
    ]  # fmt: skip
    assert layer("nba_precompute") < layer("nba_predictions") < layer("grading")  # type: ignore[operator]


def test_tables_of_one_dataset_are_ordered_by_their_own_names() -> None:
    phases = by_names([table("dw.fct_orders"), table("dw.stg_orders"), table("dw.mart_orders")])
    assert [phase.name for phase in phases] == ["stg_orders", "fct_orders", "mart_orders"]


def test_names_that_say_nothing_are_not_guessed_at() -> None:
    with pytest.raises(UsageError, match="Names do not say .*: shop.orders, .*--tables"):
        by_names([table("shop.orders"), table("shop.trend")])


def test_a_manifest_says_what_is_made_from_what(tmp_path: Path) -> None:
    # Given a model that reads another through one that is no table here
    def node(schema: str, name: str, *parents: str, **more: Any) -> dict[str, Any]:
        return {"schema": schema, "name": name, "depends_on": {"nodes": parents}, **more}

    manifest = {
        "sources": {"source.s.orders": {"schema": "raw", "name": "o", "identifier": "orders"}},
        "nodes": {
            "model.s.eph": node("dbt", "eph", "source.s.orders"),
            "model.s.daily": node("dw", "daily", "model.s.eph"),
            "model.s.trend": node("dw", "t", "model.s.daily", "source.s.orders", alias="trend"),
            "test.s.x": node("dw", "x", "model.s.trend"),
        },
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    names = ["p.dw.daily", "p.dw.trend", "p.raw.orders", "p.other.alone"]

    parents = parents_by_manifest(path, names)
    phases = by_parents([table(name) for name in names], parents)

    assert parents == {
        "p.raw.orders": [], "p.dw.daily": ["p.raw.orders"],
        "p.dw.trend": ["p.dw.daily", "p.raw.orders"],
    }  # fmt: skip
    assert [(phase.name, phase.after) for phase in phases] == [
        ("alone", ()), ("orders", ()), ("daily", ("orders",)), ("trend", ("daily", "orders"))
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"nodes": 3, "sources": 4}', "\x00", "[" * 100_000, "9" * 10_000]
)
def test_what_is_no_manifest_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no manifest of dbt"):
        parents_by_manifest(path, ["a.b"])
    with pytest.raises(UsageError, match="cannot be read"):
        parents_by_manifest(tmp_path / "none", ["a.b"])


@pytest.mark.parametrize("parents", [None, 5, "x", {"a": 1}, [None, [], {}], ["model.a", "gone"]])
def test_what_a_manifest_says_without_sense_is_passed_over(tmp_path: Path, parents: Any) -> None:
    node = {"schema": "dw", "name": "a", "depends_on": {"nodes": parents}}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"sources": {}, "nodes": {"model.a": node, "model.b": 7}}))
    assert parents_by_manifest(path, ["p.dw.a"])["p.dw.a"] in ([], ["p.dw.a"])


def test_a_manifest_made_to_be_slow_is_read_soon(tmp_path: Path) -> None:
    # Given a chain of models, and many nodes for one table that each rest on the whole of it
    def node(name: str, *parents: str) -> dict[str, Any]:
        return {"schema": "dw", "name": name, "depends_on": {"nodes": parents}}

    chain = {f"m{n}": node(f"m{n}", f"m{n + 1}") for n in range(3_000)}
    same = {f"a{n}": node("a", "m0") for n in range(3_000)}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"sources": {}, "nodes": {**chain, **same}}))

    began = time.process_time()
    assert parents_by_manifest(path, ["p.dw.a"]) == {"p.dw.a": []}
    assert time.process_time() - began < 1


# -- ids -------------------------------------------------------------------------------------


def test_columns_that_hold_the_same_ids_are_one_whatever_their_names() -> None:
    ids = {"g1", "g2", "g3"}
    tables = [table("raw.a", game_id=ids), table("raw.b", game_code=ids, other_id={"x"})]

    assert shared(tables) == {"game_id": "game", "game_code": "game"}


@pytest.mark.parametrize(
    ("own", "share", "has_more"),
    [
        ({"a", "b", "c", "d"}, 1.0, False),
        ({"a", "b", "c"}, 0.75, False),
        ({"a", "b", "c", "d", "e"}, 1.0, True),
    ],
)
def test_what_a_table_usually_holds_of_its_upstream(
    own: set[str], share: float, has_more: bool
) -> None:
    above, below = table("raw.a", store_id={"a", "b", "c", "d"}), table("dw.b", store_id=own)
    names = shared([above, below])

    (found,) = compared(below, [above], names)

    assert (found.entity, found.share, found.has_more) == ("store", share, has_more)
    # And the draft says so, and is a pipeline file
    text = draft("shop", in_order([above, below]), [])
    assert parse_pipeline(text, FILE).phases[1].tables[0].share("store") == share
    assert ("min_coverage = { store = 0.75 }" in text) == (share < 1)
    assert ("allow_surplus = true" in text) == has_more


def test_an_id_that_means_something_else_below_is_not_compared() -> None:
    above, below = table("raw.a", id=set("abcdefgh")), table("dw.b", id={"1"})

    assert compared(below, [above], shared([above, below])) == []
    text = draft("shop", in_order([above, below]), [])
    assert parse_pipeline(text, FILE).phases[1].tables[0].entities == {}


# -- the file --------------------------------------------------------------------------------


def test_a_phase_that_begins_later_is_said_to_have_a_warm_up_perhaps() -> None:
    text = draft("shop", in_order([table("raw.a"), table("dw.b", first=4)]), [])

    assert "start = 2026-01-01" in text
    assert "# bootstrap_days = 4" in text
    # Guessed, so it does not hold until somebody says so
    assert not parse_pipeline(text, FILE).phases[1].skips_bootstrap


def test_what_is_left_out_is_named_with_why() -> None:
    out = Found(
        name="dw.c", columns={}, day_column=None, trouble="no column tells the day of a row"
    )
    assert "#   dw.c: no column tells" in draft("s", in_order([table("a.b"), table("c.d")]), [out])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\x0b"])
def test_what_a_warehouse_answers_is_a_comment_and_no_line_of_the_file(end: str) -> None:
    own = '[[phases]]\nname = "owned"\ntables = []\n[[phases.runners]]\ncommand = ["sh"]'
    trouble = f"Access Denied{end}{end}Location: US\x00\x1b[2J{end}{own.replace(chr(10), end)}"
    out = Found(name="dw.c", columns={}, day_column=None, trouble=trouble)

    text = draft("s", in_order([table("a.b"), table("c.d")]), [out])

    assert [phase.name for phase in parse_pipeline(text, FILE).phases] == ["b", "d"]
    assert all(line.startswith("#") for line in text.splitlines() if "owned" in line)
