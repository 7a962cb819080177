"""What a step of kind `script` costs beyond its script, beside a step that starts nothing."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Iterator

from tests.bench.fleet import Cost, ours
from tests.bench.rows import Figures, Row, World, beside, say

ROUNDS = 3
CHAINS = 50  # of four steps
STARTED = 200  # times the program alone


def rows(world: World) -> Iterator[Row]:
    """Both in turns. What the program takes by itself, started by posix_spawn, is not counted."""
    program = shutil.which("true")
    assert program is not None
    own, null = [], []
    for n in range(ROUNDS):
        say(f"  round {n + 1} of {ROUNDS}")
        null.append(ours(world.settings, world.place / f"null-{n}", CHAINS).milliseconds)
        place, alone = world.place / f"script-{n}", _alone(program)
        own.append(_of(ours(world.settings, place, CHAINS, more={"BENCH_SCRIPT": program})) - alone)
    yield beside(
        "a `script` step beyond its script, CPU; no rows are counted",
        Figures(own),
        Figures(null),
        of="a runner that does nothing",
        most=2,
    )


def _of(cost: Cost) -> float:
    return cost.milliseconds + cost.scripts


def _alone(program: str) -> float:
    """Milliseconds of CPU of the program by itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(STARTED):
        subprocess.run([program], close_fds=False, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent / STARTED * 1e3
