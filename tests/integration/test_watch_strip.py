"""The strip of days that `planner watch` moves."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from planner.commands.watch import _strips
from planner.console import strips
from tests.integration.shop import RUN, Shop, day


def test_a_day_goes_from_missing_to_running_to_complete(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "out", Console(file=io.StringIO(), width=80))
    shop.lose_sessions(day(4))
    (step, *_) = shop.register(shop.plan())

    def row() -> str:
        record, steps = shop.ledger.require(RUN), shop.ledger.step_records(RUN)
        lines = [line.plain for line in _strips(shop.context, record, steps)]
        (found,) = [line for line in lines if line.startswith("sessionise")]
        return found.split()[1]

    place = (day(4) - day(3)).days
    assert row()[place] == "░"
    shop.context.redis.hset(f"backfill:run:{RUN}:steps", step, "running")
    assert row()[place] == "▶"
    shop.context.redis.hset(f"backfill:run:{RUN}:steps", step, "pending")
    shop.visit(step)
    assert row()[place] == "█"
