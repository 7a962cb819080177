"""A fleet that is left alone: holes appear, and are healed, but for what cannot be."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest

from planner.gaps.gaps import SHORT
from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from tests.integration.tiny import DAYS, FIRST, Tiny
from tests.waiting import until
from worker.ledger.healing import Healing

LAST = FIRST + timedelta(days=DAYS - 1)
BAD = FIRST + timedelta(days=60)
HEALABLE = ("b", "c", "d")  # by statements; scripts here make no rows
HOLES = 20
LOOK_EVERY = "2s"
"""Twenty minutes of a fleet that looks every half minute, in a fifteenth of the time."""


def short(world: Tiny) -> set[tuple[str, date]]:
    scope = Window(start=FIRST, end=LAST)
    found = survey(world.context.warehouse, world.context.pipeline, scope)
    return {
        (phase, day)
        for phase, gaps in found.gaps.items()
        for day, gap in gaps.items()
        if gap.reason in SHORT
    }


@pytest.mark.slow
def test_all_is_healed_but_what_fails_for_ever_which_is_told_of_once(tmp_path: Path) -> None:
    # Given a fleet that heals by itself, and a script that fails for one date for ever
    world, told, rng = Tiny(tmp_path), tmp_path / "told", random.Random(16)
    (tmp_path / f"a.{BAD}.fails").touch()
    command = f'sh -c \'cat >> "$0"; echo >> "$0"\' {told}'
    heal = [sys.executable, "-m", "planner", "heal", "--every", LOOK_EVERY]
    heal += ["--days", "3650", "--dates-a-day", "100000"]
    with world.up():
        environment = {**os.environ, **world.environment, "BACKFILL_NOTIFY": command}
        healer = subprocess.Popen(heal, env=environment, cwd=tmp_path)
        try:
            world.lose(BAD, "a")

            # When holes appear at random
            for _ in range(HOLES):
                day = FIRST + timedelta(days=rng.randrange(DAYS))
                if abs((day - BAD).days) > 1:
                    world.lose(day, rng.choice(HEALABLE))
                time.sleep(rng.uniform(0.5, 3))  # the world's pace, not a wait

            # Then all are healed but that one
            until(lambda: _given_up(told) and short(world) == {("a", BAD)}, seconds=120)
            attempts = Healing(world.client, world.context.realm).attempts()
            assert attempts[("a", BAD)] == 3

            # And it is left alone from then on, and told of once, however often is looked
            runs = len(world.ledger.runs())
            looks = time.monotonic() + 10
            until(lambda: time.monotonic() > looks)
            assert len(world.ledger.runs()) == runs
        finally:
            healer.terminate()
            healer.wait(20)
    (message,) = _given_up(told)
    assert message["title"] == f"tiny: healing gave up a {BAD}"
    assert "3 runs took what is short still" in message["text"]


def _given_up(told: Path) -> list[dict[str, str]]:
    lines = told.read_text().splitlines() if told.exists() else []
    found = [json.loads(line) for line in lines if line]
    return [each for each in found if each["event"] == "gave_up"]
