"""A real Redis for tests of what leans on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.commands import Done
from tests.conftest import built_once
from tests.integration.bad import Run, runner
from tests.integration.bench import Bench
from tests.integration.browser import browser, open_page, pages
from tests.integration.mart import MakeMart, Mart, build_mart
from tests.integration.shop import Shop, build_shop
from tests.integration.tiny import Tiny
from worker.ledger.connection import connect
from worker.processes.embedded_redis import embedded_broker

__all__ = ["browser", "open_page", "pages"]  # fixtures


@pytest.fixture(scope="session")
def redis_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of an embedded Redis that runs."""
    home = tmp_path_factory.mktemp("redis") / "home"
    settings = Settings(_env_file=None, home=home)  # type: ignore[call-arg]
    with embedded_broker(settings):
        yield settings


@pytest.fixture
def client(redis_settings: Settings) -> Iterator[redis.Redis]:
    """A client of an empty Redis."""
    client = connect(redis_settings, patient=False)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A tiny pipeline on a worker that is started again whenever it dies."""
    world = Tiny(tmp_path_factory.mktemp("tiny"))
    with world.up():
        yield world


@pytest.fixture(scope="session")
def built_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's warehouse with every phase complete. Not to be written to."""
    return built_once(tmp_path_factory, "shop", build_shop)


@pytest.fixture
def shop(built_shop: Path, tmp_path: Path, client: redis.Redis, redis_settings: Settings) -> Shop:
    """One to break."""
    shutil.copytree(built_shop, tmp_path / "warehouse")
    return Shop(tmp_path, built_shop, redis_settings.redis_url)


@pytest.fixture(scope="session")
def built_mart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mart's warehouse with every phase complete. Not to be written to."""
    return built_once(tmp_path_factory, "mart", build_mart)


@pytest.fixture
def make_mart(
    built_mart: Path, tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> MakeMart:
    """Makes one in which everything is complete, with options of its pipeline file."""
    return partial(Mart, tmp_path, redis_settings.redis_url, whole=built_mart)


@pytest.fixture
def mart(make_mart: MakeMart) -> Mart:
    """One in which everything is complete."""
    return make_mart()


@pytest.fixture
def say(mart: Mart) -> Callable[..., Done]:
    """A command as a user of the mart types it."""
    return mart.command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline file, and a warehouse in which everything is still to do."""
    place = tmp_path_factory.mktemp("bad") / "place"
    place.mkdir()
    bench = Bench(place=place)
    bench.context(bench.script())
    return place


@pytest.fixture
def run(
    place: Path,
    client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a command where everything is in order, unless the test has changed that."""
    environment = {
        "BACKFILL_WAREHOUSE": f"local:{place / 'warehouse'}",
        "BACKFILL_PIPELINE": str(place / "bench.toml"),
        "BACKFILL_BROKER_URL": redis_settings.redis_url,
        "BACKFILL_HOME": str(place / "home"),
    }
    return runner(place, environment, monkeypatch, capsys)


@pytest.fixture
def told(mart: Mart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command of a user of the mart in this process."""
    return runner(mart.place, environment_of(mart.settings), monkeypatch, capsys)
