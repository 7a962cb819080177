"""After `make chaos`, the table is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import harness


@pytest.fixture(scope="session", autouse=True)
def _report() -> Iterator[None]:
    print(f"CHAOS_SEED={harness.SEED}")
    yield
    place = os.environ.get("CHAOS_REPORT")
    if place and harness.ROWS:
        harness.write_report(Path(place))
