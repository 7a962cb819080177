"""The sandbox's shop, as a user types it: built, broken in every grain, repaired by workers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from planner.pipeline.load import load_pipeline
from planner.sandbox.compare import differences
from planner.sandbox.workers import environment_of, sandbox_workers
from planner.settings import Settings
from sql import open_warehouse
from tests.commands import Done, planner


@pytest.mark.slow  # tests/integration/test_shop.py shows the same with steps done by hand
def test_repair_equals_rebuild_in_every_grain(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=f"local:{tmp_path / 'warehouse'}",
        pipeline="shop",
        broker_url="embedded",
        home=tmp_path / "home",
        poll_max_seconds=0.2,
    )
    environment = {**os.environ, **environment_of(settings)}

    def say(*arguments: str) -> Done:
        return planner(*arguments, environment=environment, cwd=tmp_path)

    # Given a shop that was whole until holes were made in days, weeks and months
    built = say("sandbox", "build", str(tmp_path / "warehouse"), "--example", "shop")
    assert (built.code, "BACKFILL_PIPELINE=shop" in built.out) == (0, True), built.err
    shutil.copytree(tmp_path / "warehouse", tmp_path / "whole")
    assert say("gaps").code == 0
    holes = say(
        *("sandbox", "punch", str(tmp_path / "warehouse"), "--example", "shop", "--seed", "3"),
        *("--holes", "9", "--json"),
    ).json["holes"]
    assert {hole["phase"] for hole in holes} == {"daily", "weekly", "monthly"}

    # When two workers repair them
    with sandbox_workers(settings, workers=2) as running:
        environment |= running.environment
        done = say("enqueue", "--gaps", "--wait", "--yes")
        assert done.code == 0, done.err
        again = say("enqueue", "--gaps", "--wait", "--yes")

    # Then every row is what it was, and nothing is left to do
    whole, repaired = (
        open_warehouse(f"local:{tmp_path / name}") for name in ("whole", "warehouse")
    )
    tables = [spec.table for spec in load_pipeline("shop").tables]
    assert differences(whole, repaired, tables) == []
    assert (again.code, again.out.strip()) == (0, "Nothing to do.")


def test_the_shop_has_no_seasons_to_choose(tmp_path: Path) -> None:
    refused = planner(
        *("sandbox", "build", "there", "--example", "shop", "--seasons", "2021"),
        environment=dict(os.environ),
        cwd=tmp_path,
    )

    assert (refused.code, "The shop has no seasons" in refused.err) == (2, True)
