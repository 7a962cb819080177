"""A real Redis for tests of what leans on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from planner.settings import Settings
from tests.integration.tiny import Tiny
from worker.broker import embedded_broker
from worker.connection import connect


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
