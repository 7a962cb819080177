"""What is forged in Redis, in a step's checkpoint or in a plan: no other date is run."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from planner.errors import BadPlan
from planner.plan.parse import parse_plan
from planner.plan.plan import Plan
from sql import WarehouseError, WarehouseRefused, open_warehouse
from sql.duck import ask
from tests.integration.bench import DAYS, Bench
from tests.integration.shop import Shop
from worker.step.attempt import Ended

FOREIGN = date(1999, 12, 31)


@pytest.mark.parametrize(
    "forged",
    [
        {"left": [[FOREIGN.isoformat()]]},
        {"left": [[FOREIGN.isoformat(), str(DAYS[0])], [str(DAYS[1])]]},
        {"upstream": {FOREIGN.isoformat(): "x"}},
        {"errors": {FOREIGN.isoformat(): "x"}, "permanent": [FOREIGN.isoformat()]},
        {"blocked": [FOREIGN.isoformat()], "own_word": [FOREIGN.isoformat()]},
        {"remarks": {FOREIGN.isoformat(): "x"}, "notes": {FOREIGN.isoformat(): "x"}},
    ],
    ids=str,
)
@pytest.mark.quick(0, 3)
def test_dates_that_are_not_the_step_s_are_not_run(tmp_path: Path, forged: dict[str, Any]) -> None:
    bench = Bench(place=tmp_path)

    ended = bench.attempt(bench.script(), checkpoint=forged)

    assert isinstance(ended, Ended), ended
    told = [*ended.done, *ended.short, *ended.permanent, *ended.blocked, *ended.remarks]
    assert set(told) <= set(DAYS)
    assert FOREIGN not in bench.days_of()
    assert FOREIGN.isoformat() not in json.dumps(ended.checkpoint)


def test_a_plan_that_reaches_over_all_time_is_none(shop: Shop) -> None:
    content = shop.plan().as_json()
    content["scope"] = {"start": "0001-01-01", "end": "9999-12-31"}
    content.pop("steps_total")
    sealed = Plan.model_validate_json(json.dumps(content)).sealed().as_json()

    with pytest.raises(BadPlan, match="reaches over more than"):
        parse_plan(sealed, where="Redis")


def test_a_statement_cannot_make_duckdb_fetch_code(tmp_path: Path) -> None:
    for name in ("autoinstall_known_extensions", "allow_community_extensions"):
        answer = ask(f"SELECT current_setting('{name}') AS value", {}, {})
        assert answer["value"].to_pylist() == [False], name
    with pytest.raises(WarehouseRefused, match="community|Cannot change"):
        ask("SET allow_community_extensions = true", {}, {})
    with pytest.raises(WarehouseError):
        open_warehouse(f"local:{tmp_path}").run("INSTALL h3 FROM community", {})
