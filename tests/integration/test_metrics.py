"""`planner metrics`: the figures of a fleet, over real Redis and real HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from planner.sandbox.workers import environment_of
from tests.commands import planner
from tests.integration.shop import SCOPE, Shop, day, lose_what_is_written
from tests.waiting import until
from worker.ledger.slots import sign_on
from worker.step.errors import Requeue

ALERTS = Path(__file__).parents[2] / "docs" / "alerts.yml"
END = 20.0


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Name and label values, less that of the pipeline → the figure."""
    return {
        (
            sample.name.removeprefix("backfill_"),
            *(value for label, value in sample.labels.items() if label != "pipeline"),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def once(shop: Shop, *options: str) -> dict[tuple[str, ...], float]:
    shop.context.settings.home.mkdir(exist_ok=True)
    done = planner(
        "metrics",
        "--once",
        *options,
        environment=environment_of(shop.context.settings),
        cwd=shop.context.settings.home,
    )
    assert done.code == 0, done.err
    return figures(done.out)


def test_what_a_run_is_at(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a run with a step that is tried again, one that waits for it, and a worker
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    lose_what_is_written(monkeypatch, day(4))
    for step in (f"{day(4)}/sessionise", f"{day(4)}/aggregate"):
        with pytest.raises(Requeue):
            shop.visit(step)
    sign_on(shop.context.redis, "w", 4, seconds=60)

    found = once(shop)

    assert found["redis_up",] == 1
    assert found["runs", "running"] == 1
    assert found["steps", "sessionise", "pending"] == 1
    assert found["retries", "sessionise"] == 1
    assert found["oldest_wait_seconds", "aggregate"] >= 0
    assert 0 <= found["progress_age_seconds", "run-of-this-test"] < 60
    assert found["slots",] == 4
    assert found["redis_memory_bytes",] > 1e5
    assert not [name for name in found if name[0].startswith("open_gaps")]


def test_open_gaps_are_counted_when_asked_for(shop: Shop) -> None:
    shop.lose_sessions(day(4), day(5))

    found = once(shop, "--gaps-every", "1h")

    assert found["open_gaps", "sessionise", "missing"] == 2
    assert found["open_gaps_age_days", "sessionise", "missing"] > 300
    assert found["gaps_counted_timestamp_seconds",] > 1.7e9
    assert SCOPE.start < day(4)


def test_it_is_served_until_it_is_stopped_and_says_when_redis_is_gone(shop: Shop) -> None:
    environment = environment_of(shop.context.settings)
    shop.context.settings.home.mkdir(exist_ok=True)
    serving = subprocess.Popen(
        [sys.executable, "-m", "planner", "metrics", "--port", "0"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stderr is not None
        url = serving.stderr.readline().strip()
        assert figures(httpx.get(url).text)["redis_up",] == 1

        # When Redis refuses, which a key of another type makes it do, then that is the figure
        shop.context.redis.set("backfill:runs", "x")
        until(lambda: figures(httpx.get(url).text) == {("redis_up",): 0})
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=END)
    assert serving.returncode == 0


def test_the_alert_rules_name_figures_that_there_are(shop: Shop) -> None:
    shop.lose_sessions(day(4), day(5))
    shop.register(shop.plan())
    shop.visit(f"{day(4)}/sessionise")
    text = ALERTS.read_text(encoding="utf-8")

    named = set(re.findall(r"\bbackfill_(\w+)", text))

    assert named
    assert named <= {name for name, *_ in once(shop, "--gaps-every", "1h")}
