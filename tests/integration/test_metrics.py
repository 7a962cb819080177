"""`planner metrics`: the figures of a fleet, over real Redis and real HTTP."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.commands import planner
from tests.figures import (
    DOCS,
    alert_expressions,
    alert_templates,
    dashboard_expressions,
    dashboard_legends,
    kept,
    used,
)
from tests.integration.shop import RUN, SCOPE, Shop, day, lose_what_is_written
from tests.waiting import until
from worker.ledger.healing import Healing
from worker.ledger.keys import date_field, run_key
from worker.ledger.slots import sign_on
from worker.step.errors import Requeue

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
    return figures(printed(shop, *options))


def printed(shop: Shop, *options: str) -> str:
    shop.context.settings.home.mkdir(exist_ok=True)
    done = planner(
        "metrics",
        "--once",
        *options,
        environment=environment_of(shop.context.settings),
        cwd=shop.context.settings.home,
    )
    assert done.code == 0, done.err
    return done.out


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


@dataclass(frozen=True)
class Shown:
    """Every figure of a fleet that has something of everything: its labels, and the text."""

    labels: dict[str, set[str]]
    text: str


@pytest.fixture(scope="module")
def everything(
    built_shop: Path, redis_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Shown:
    place = tmp_path_factory.mktemp("everything")
    shutil.copytree(built_shop, place / "warehouse")
    shop = Shop(place, built_shop, redis_settings.redis_url)
    shop.context.redis.flushall()
    shop.lose_sessions(day(4), day(5))
    shop.register(shop.plan())
    with pytest.MonkeyPatch.context() as patch:
        lose_what_is_written(patch, day(4))
        for step in (f"{day(4)}/sessionise", f"{day(4)}/aggregate"):
            with pytest.raises(Requeue):
                shop.visit(step)
    shop.ledger.add_billed(shop.ledger.require(RUN), None, 1 << 30)
    Healing(shop.context.redis, shop.context.realm).took(
        [("sessionise", day(4)), ("sessionise", day(5))]
    )
    Healing(shop.context.redis, shop.context.realm).took([("sessionise", day(5))])
    text = printed(shop, "--gaps-every", "1h")
    shop.context.warehouse.close()
    shop.context.redis.close()
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return Shown(labels=labels, text=text)


def test_what_was_billed_and_what_healing_tried(everything: Shown) -> None:
    found = figures(everything.text)

    assert found["billed_bytes_total",] == 1 << 30
    assert found["healing_dates", "1", "sessionise"] == 1
    assert found["healing_dates", "2", "sessionise"] == 1
    assert found["quarantined_dates", "sessionise"] == 0


def test_a_date_that_failed_alone_is_quarantined(shop: Shop) -> None:
    shop.lose_sessions(day(4), day(5))
    shop.register(shop.plan())
    shop.context.redis.hset(run_key(RUN, "dates"), date_field("sessionise", day(5)), "failed")

    assert once(shop)["quarantined_dates", "sessionise"] == 1


@pytest.mark.parametrize("expressions", [alert_expressions, dashboard_expressions])
def test_what_is_shipped_asks_for_figures_and_labels_that_there_are(
    expressions: Callable[[], Iterable[str]], everything: Shown
) -> None:
    asked = list(expressions())
    assert asked
    for expression in asked:
        for name, labels in used(expression):
            assert name in everything.labels, expression
            assert labels <= everything.labels[name], expression


@pytest.mark.parametrize("templates", [alert_templates, dashboard_legends])
def test_what_is_said_of_them_has_labels_that_they_keep(
    templates: Callable[[], Iterable[tuple[str, set[str]]]], everything: Shown
) -> None:
    for expression, labels in templates():
        (name, *_) = (name for name, _ in used(expression))
        assert labels <= kept(expression, everything.labels[name]), expression


def test_every_figure_is_told_of_in_the_documents_and_shown(everything: Shown) -> None:
    told = (DOCS / "operations.md").read_text(encoding="utf-8")
    shown = {name for each in dashboard_expressions() for name, _ in used(each)}
    for name in everything.labels:
        assert f"`{name}`" in told, name
        assert name in shown, name
