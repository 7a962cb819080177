"""Files of ours that somebody made by hand, or changed: read as if by an enemy."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis

from planner.plan.parse import parse_plan
from planner.plan.plan import Plan
from tests.integration.bad import ESCAPE, LINES, UP, Run, everything

# -- plans that somebody made by hand ------------------------------------------------------------


@pytest.fixture
def plan(run: Run, tmp_path: Path) -> dict[str, Any]:
    """A plan of ours, as JSON."""
    assert run("plan", "--out", str(tmp_path / "plan.json")).code == 0
    content: dict[str, Any] = json.loads((tmp_path / "plan.json").read_text())
    return content


def sealed(content: dict[str, Any]) -> str:
    """With a checksum that fits: it keeps nobody from making a plan."""
    content.pop("steps_total", None)
    return json.dumps(Plan.model_validate_json(json.dumps(content)).sealed().as_json())


def edited(plan: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """With the first chunk, or its only step, changed."""
    for key, value in changes.items():
        chunk = plan["chunks"][0]
        (chunk if key in chunk else chunk["steps"][0])[key] = value
    return plan


def twice(plan: dict[str, Any]) -> dict[str, Any]:
    plan["chunks"].append(plan["chunks"][0])
    return plan


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: edited(plan, id="../../../tmp/x"),
        lambda plan: edited(plan, id="2024-01-01/../../x"),
        lambda plan: edited(plan, phase="raw"),
        lambda plan: edited(plan, phase="nothing"),
        lambda plan: edited(plan, start="0001-01-01"),
        lambda plan: edited(plan, end="9999-12-31"),
        lambda plan: edited(plan, tasks=[]),
        lambda plan: edited(plan, dates=["2024-01-02", "2024-01-01"]),
        lambda plan: edited(plan, steps=plan["chunks"][0]["steps"] * 2),
        twice,
        lambda plan: {**plan, "warehouse": "local:/elsewhere"},
        lambda plan: {**plan, "pipeline_checksum": "0" * 16},
        lambda plan: {**plan, "format": 2},
        lambda plan: {**plan, "pipeline": "another"},
    ],
)
@pytest.mark.quick(0, 4, 8, "twice")
def test_a_plan_that_was_made_by_hand_is_read_as_if_by_an_enemy(
    run: Run, place: Path, client: redis.Redis, plan: dict[str, Any], tmp_path: Path, change: Any
) -> None:
    path = tmp_path / "by-hand.json"
    path.write_text(sealed(change(plan)))
    before = everything(place, client)

    for more in (["--dry-run"], ["--yes"]):
        told = run("enqueue", "--plan", str(path), *more)
        assert (told.code, told.out) == (2, ""), told
        assert re.search(r"[Mm]ake a new|this version reads", told.err), told.err
    assert everything(place, client) == before


@pytest.mark.parametrize("name", ["plan_id", "pipeline"])
@pytest.mark.parametrize("word", [UP, ESCAPE, "[/]", LINES])
@pytest.mark.quick(0, 3)
def test_ids_in_a_plan_are_ids(
    run: Run, plan: dict[str, Any], tmp_path: Path, name: str, word: str
) -> None:
    path = tmp_path / "by-hand.json"
    path.write_text(json.dumps({**plan, name: word}))

    assert run("enqueue", "--plan", str(path)).code == 2


def test_the_options_of_a_plan_are_not_given_again(
    run: Run, plan: dict[str, Any], tmp_path: Path
) -> None:
    told = run("enqueue", "--plan", str(tmp_path / "plan.json"), "--limit", "1")

    assert told.code == 2
    assert "planner plan" in told.err


def test_a_plan_of_ours_still_runs(run: Run, client: redis.Redis, plan: dict[str, Any]) -> None:
    """The rules above refuse nothing that is right."""
    assert parse_plan(plan, where="plan.json").steps_total == len(plan["chunks"])
    assert date.fromisoformat(plan["chunks"][0]["dates"][0]) == date(2024, 1, 1)


# -- files of ours that somebody changed ---------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[" * 100_000,
        "null",
        '{"run_id": "../../x", "pipeline": "bench", "warehouse": "w", "dates": {}}',
        '{"run_id": "run-1", "pipeline": "bench", "warehouse": "w", "dates": {"facts": ["x"]}}',
    ],
)
def test_a_note_of_what_is_owed_is_not_guessed_at(
    run: Run,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    content: str,
) -> None:
    monkeypatch.setenv("BACKFILL_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "owed").mkdir(parents=True)
    (tmp_path / "home" / "owed" / "run-1.json").write_text(content)

    for arguments in (["gaps"], ["plan"], ["enqueue", "--gaps"]):
        told = run(*arguments)
        assert (told.code, told.out) == (4, ""), told
        assert "owed/run-1.json" in told.err
        assert "Restore it, or delete it" in told.err
    assert client.keys() == []
