"""First days of a season: a phase's own decide, where something of what it reads is due."""

from __future__ import annotations

import pytest

from planner.gaps.gaps import SkipReason
from planner.pipeline.pipeline import Pipeline
from planner.validation.counts import early_days
from tests.unit import examples as eg
from tests.unit.examples import day, days, window


def pipeline(**low: object) -> Pipeline:
    """raw → zones (empty for ten days), facts → low."""
    return eg.pipeline(
        eg.phase("raw"),
        eg.phase("zones", "raw", bootstrap_days=10),
        eg.phase("facts", "raw"),
        eg.phase("low", "zones", "facts", **low),
    )


@pytest.mark.parametrize(
    ("low", "first"), [({}, 10), ({"bootstrap_days": 4}, 4), ({"bootstrap_days": 12}, 12)]
)
def test_days_of_its_own_are_what_counts(low: dict[str, object], first: int) -> None:
    of = pipeline(**low)
    assessment = eg.assessed(of, eg.covered(of, days(0, 14)), window(0, 14))

    early = [n for n in range(15) if day(n) in assessment.empty["low"]]

    assert early == list(range(first))
    assert {assessment.empty["low"][day(n)].reason for n in early} == {SkipReason.BOOTSTRAP}
    assert early_days(of, "low") == first


def test_nothing_is_due_while_all_that_it_reads_is_empty() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("zones", "raw", bootstrap_days=10),
        eg.phase("low", "zones", bootstrap_days=4),
    )
    assessment = eg.assessed(of, eg.covered(of, days(0, 14)), window(0, 14))

    assert [n for n in range(15) if day(n) in assessment.empty["low"]] == list(range(10))
    assert early_days(of, "low") == 10
