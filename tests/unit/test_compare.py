"""Baselines: kept whole or not at all, read or refused in one line, and compared."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UsageError
from planner.pipeline.windows import Window
from planner.validation.baseline import Baseline, baseline_of, checked_name, compare, read, save
from sql.warehouse import Cell
from tests.unit import examples as eg
from tests.unit.test_validation import DATES, ENTITIES, START, days, everywhere, pipeline

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCOPE = Window(start=date(2021, 10, 1), end=date(2022, 6, 30))


def baseline(tables: dict[str, dict[date, Cell]], name: str = "games") -> Baseline:
    coverage = {f"d.{table}": cells for table, cells in tables.items()}
    facts = eg.counts(
        pipeline(name=name, criteria=[ENTITIES, {**DATES, "name": "y"}]), coverage, SCOPE
    )
    return baseline_of(facts, warehouse="local:/w", now=NOW)


def before_and_after() -> tuple[Baseline, Baseline]:
    dates = days(START, 20)
    whole, broken = everywhere(dates), everywhere(dates)
    for table in broken:
        if table != "raw":
            broken[table].pop(dates[-1])
    return baseline(broken), baseline(whole)


def test_a_comparison_says_what_changed_per_season_and_phase() -> None:
    before, after = before_and_after()
    found = compare(before, after)

    changed = {(one.season, one.part, one.phase): one for one in found.phases}
    assert set(changed) == {
        ("2021-22", "", name) for name in ("analytics", "precompute", "grading")
    }
    analytics = changed["2021-22", "", "analytics"]
    assert analytics.before is not None
    assert analytics.after is not None
    assert (analytics.before.complete, analytics.after.complete) == (19, 20)
    assert (analytics.before.entities, analytics.after.entities) == (57, 60)
    assert (analytics.before.row_count, analytics.after.row_count) == (1425, 1500)
    assert [
        (one.criterion, one.before and one.before.status, one.after and one.after.status)
        for one in found.criteria
    ] == [("x", "fails", "holds"), ("y", "holds", "holds")]


def test_nothing_changed() -> None:
    before, _ = before_and_after()
    found = compare(before, before)
    assert (found.phases, found.criteria) == ((), ())


def test_a_season_that_was_not_counted_then() -> None:
    before, after = before_and_after()
    without = before.results.model_copy(update={"matrix": before.results.matrix[:0]})
    found = compare(before.model_copy(update={"results": without}), after)
    assert {one.before for one in found.phases} == {None}
    assert len(found.phases) == len(after.results.matrix)


def test_two_pipelines_are_not_compared() -> None:
    dates = everywhere(days(START, 2))
    with pytest.raises(UsageError, match="two pipelines, 'games' and 'shops'"):
        compare(baseline(dates), baseline(dates, name="shops"))


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    before, after = before_and_after()
    path = save(tmp_path, "before", before)

    assert read(tmp_path, "before") == before
    assert read(tmp_path, str(path)) == before
    save(tmp_path, "before", after)
    assert read(tmp_path, "before") == after
    assert [file.name for file in tmp_path.iterdir()] == ["before.json"]


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\nb", "-x", "x" * 65, "~"])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot name a baseline"):
        checked_name(name)
    with pytest.raises(UsageError):
        save(tmp_path, name, before_and_after()[0])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("planner.files.os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, "before", before_and_after()[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b'{"pipeline": "games"}', b"[" * 100_000]
)
def test_an_unreadable_baseline_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "before.json").write_bytes(content)
    with pytest.raises(UsageError, match="is not a baseline") as caught:
        read(tmp_path, "before")
    assert "\n" not in str(caught.value)
    assert "planner validate --save NAME" in str(caught.value)


def test_a_baseline_that_is_not_there(tmp_path: Path) -> None:
    save(tmp_path, "before", before_and_after()[0])
    with pytest.raises(UsageError, match="did you mean 'before'"):
        read(tmp_path, "befor")
    with pytest.raises(UsageError, match="saved are: before"):
        read(tmp_path, "zzz")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path, str(tmp_path))
