"""What the warehouse shows is judged as Python's sets over all rows would judge it."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.evidence.read import read_evidence
from planner.gaps.assess import assess
from planner.gaps.gaps import GapReason
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql import Warehouse, open_warehouse

FIRST = date(2024, 1, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]
WINDOW = Window(start=DAYS[0], end=DAYS[-1])
IDS = ["a", "b", "c", "d'; --"]
NAMES = ("s.web", "s.till", "s.mid", "s.low")
Row = tuple[date, str, int | None]
"""Date, id, and a value that may be absent."""
Rows = dict[str, list[Row]]

rows = st.lists(
    st.tuples(st.sampled_from(DAYS), st.sampled_from(IDS), st.sampled_from([None, 1, 2])),
    max_size=10,
)
warehouses = st.fixed_dictionaries(dict.fromkeys(NAMES, rows))
options = st.fixed_dictionaries(
    {
        "against": st.sampled_from([[], ["mid"], ["s.web"], ["s.till", "s.mid"]]),
        "min_coverage": st.sampled_from([1.0, 0.5]),
        "allow_surplus": st.booleans(),
        "key": st.sampled_from([[], ["id"], ["id", "value"]]),
        "filled": st.sampled_from([{}, {"value": 0.6}, {"value": 1.0}]),
    }
)


def pipeline(low: dict[str, Any], how: str) -> Pipeline:
    def table(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "date": "day", "entities": {"store": "id"}, **more}

    runners = [{"kind": "script", "command": ["true"]}]
    return Pipeline.model_validate(
        {
            "name": "sets",
            "seasons": [{"name": "2024", "year": 2024, "start": FIRST, "end": DAYS[-1]}],
            "compare": {"store": how},
            "phases": [
                {"name": "source", "tables": [table("s.web"), table("s.till")]},
                {
                    "name": "mid",
                    "after": ["source"],
                    "tables": [table("s.mid")],
                    "runners": runners,
                },
                {
                    "name": "low",
                    "after": ["mid"],
                    "tables": [table("s.low", **low)],
                    "runners": runners,
                },
            ],
        }
    )


def written(folder: Path, content: Rows) -> Warehouse:
    from deltalake import write_deltalake

    schema = pa.schema([("day", pa.date32()), ("id", pa.string()), ("value", pa.int64())])
    for name, found in content.items():
        columns = [list(column) for column in zip(*found, strict=True)] or [[], [], []]
        table = pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)
        write_deltalake(folder.joinpath(*name.split(".")), table, partition_by=["day"])
    return open_warehouse(f"local:{folder}")


def ids(content: Rows, table: str, day: date) -> set[str]:
    return {row[1] for row in content[table] if row[0] == day}


def naive(content: Rows, low: dict[str, Any], how: str, day: date) -> dict[str, set[str]]:
    """Phase → reasons, by sets over all rows; a phase that is not due is absent."""
    source = ids(content, "s.web", day) | ids(content, "s.till", day)
    if not source:
        return {}
    mid, own = ids(content, "s.mid", day), ids(content, "s.low", day)
    most = max(len(ids(content, name, day)) for name in ("s.web", "s.till"))
    due = {
        "mid": mid & source,
        "s.mid": mid & source,
        "s.web": ids(content, "s.web", day),
        "s.till": ids(content, "s.till", day),
    }
    measured = set().union(*(due[name] for name in low["against"])) if low["against"] else source
    numbers = {"mid": len(mid), "s.mid": len(mid)} | {
        name: len(ids(content, name, day)) for name in ("s.web", "s.till")
    }
    number = max((numbers[name] for name in low["against"]), default=most)
    found: dict[str, set[str]] = {"mid": set(), "low": set()}

    def judge(phase: str, held: set[str], want: set[str], count: int, share: float) -> None:
        have, need = (len(held & want), len(want)) if how == "ids" else (len(held), count)
        if not held:
            found[phase].add("missing")
        elif have < need * share:
            found[phase].add("partial")
        if how == "ids" and held - want and not (phase == "low" and is_allowed):
            found[phase].add("surplus")

    is_allowed = low["allow_surplus"]
    judge("mid", mid, source, most, 1.0)
    if {"mid", "s.mid"} & set(low["against"]) and found["mid"] & {"missing", "partial"}:
        is_allowed = True  # what it holds may be right, and is known when `mid` is whole
    judge("low", own, measured, number, low["min_coverage"])
    today = [row for row in content["s.low"] if row[0] == day]
    columns = {"id": 1, "value": 2}
    keys = Counter(tuple(row[columns[name]] for name in low["key"]) for row in today)
    if low["key"] and any(count > 1 for count in keys.values()):
        found["low"].add("duplicate")
    for share in low["filled"].values():
        if sum(row[2] is not None for row in today) < len(today) * share:
            found["low"].add("unfilled")
    return found


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(content=warehouses, low=options, how=st.sampled_from(["ids", "count"]))
def test_a_judgement_is_that_of_sets_over_all_rows(
    content: Rows, low: dict[str, Any], how: str
) -> None:
    of, folder = pipeline(low, how), Path(mkdtemp())
    try:
        warehouse = written(folder, content)
        for phases in (["mid", "low"], ["low"]):
            evidence = read_evidence(warehouse, of, phases, WINDOW)
            found = assess(of, evidence, WINDOW, phases=phases)
            for day in DAYS:
                expected = naive(content, low, how, day)
                for phase in phases:
                    gap = found.gaps[phase].get(day)
                    reasons = {str(f.reason) for f in gap.findings} if gap else set()
                    if gap is not None and gap.reason is GapReason.MISSING:
                        reasons = (reasons - {"partial"}) | {"missing"}
                    assert reasons == expected.get(phase, set()), (day, phase)
                    assert (day in found.complete[phase]) == (expected.get(phase) == set())
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", ["ids", "count"])
def test_what_is_apart_is_named(tmp_path: Path, how: str) -> None:
    # Given a store that was written under another id
    content: Rows = {name: [(DAYS[0], store, 1) for store in "abc"] for name in NAMES}
    content["s.low"][1] = (DAYS[0], "x", 1)
    low = {"against": [], "key": [], "filled": {}}
    of = pipeline({**low, "min_coverage": 1.0, "allow_surplus": False}, how)

    evidence = read_evidence(written(tmp_path, content), of, ["low"], WINDOW)
    found = assess(of, evidence, WINDOW, phases=["low"])

    # Then sets tell, and numbers do not
    if how == "count":
        assert found.complete["low"] == {DAYS[0]}
        return
    gap = found.gaps["low"][DAYS[0]]
    assert gap.reason is GapReason.PARTIAL
    assert gap.detail == ("s.low holds 2 of 3 stores: lacks b; s.low holds 1 store too many: x")
