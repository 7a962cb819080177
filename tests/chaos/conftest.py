"""Every test has its own limit; after `make chaos`, the table is written."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.chaos import harness

TEST_SECONDS = 300  # the longest takes a third of it, on two cores
SUITE_SECONDS = 1500  # all of them take two thirds of it
_began = time.monotonic()


@pytest.fixture(scope="session", autouse=True)
def _report() -> Iterator[None]:
    print(f"\nrepeat with: {harness.COMMAND}")
    yield
    place = os.environ.get("CHAOS_REPORT")
    if place:
        harness.write_report(Path(place))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A fault that was not shown has a row too: the table speaks of all of them, or says so."""
    if report.outcome != "passed" and "tests/chaos" in report.nodeid:
        name = report.nodeid.rpartition("::")[2]
        if name not in {row.test for row in harness.ROWS}:
            harness.MISSED.append((name, report.outcome))


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """Whatever hangs, hangs for so long at most, and all of them together."""
    left = SUITE_SECONDS - (time.monotonic() - _began)
    seconds = max(1, min(TEST_SECONDS, int(left)))

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
