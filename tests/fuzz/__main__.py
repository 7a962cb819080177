"""`make fuzz`: every target in turn, with one seed after the other, until the time is over.

FUZZ_SEED and FUZZ_SECONDS choose the first seed and how long. A failure is shown with the input
that makes it, and ends it with exit code 1; else what was tried is written to docs/stress.md.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.stress import table

SEED = int(os.environ.get("FUZZ_SEED", "20261128"))
SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
WHOLE_SECONDS = 600.0  # a shorter time is only printed
EXAMPLES = 200  # of a target with one seed
HANG_SECONDS = 5.0  # of processor time, as the machine is shared
WAIT_SECONDS = 60.0  # by the clock, for what waits for something

TRIED: Counter[str] = Counter()
SLOWEST: dict[str, float] = {}


def main() -> None:
    """Fuzz, and write what was tried."""
    signal.signal(signal.SIGALRM, _hangs)
    signal.signal(signal.SIGPROF, _hangs)
    ends, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends:
        for name, target in TARGETS.items():
            _run(name, target, SEED + rounds)
        rounds += 1
        print(f"seed {SEED + rounds - 1}: {sum(TRIED.values()):,} inputs", flush=True)
    rows = [[name, f"{TRIED[name]:,}", f"{SLOWEST[name]:.2f} s"] for name in TARGETS]
    table(
        "fuzz",
        f"Seeds {SEED} to {SEED + rounds - 1}, {sum(TRIED.values()):,} inputs in {SECONDS:.0f} s: "
        f"none raised what it may not, and none worked longer than {HANG_SECONDS:g} s.",
        ["what", "inputs", "slowest, of processor time"],
        rows,
        is_whole=SECONDS >= WHOLE_SECONDS,
    )


def _run(name: str, target: Callable[[st.DataObject], None], number: int) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(data=st.data())
    def tried(data: st.DataObject) -> None:
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS)
        try:
            target(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        TRIED[name] += 1
        SLOWEST[name] = max(SLOWEST.get(name, 0.0), time.process_time() - began)

    try:
        tried()
    except BaseException:
        print(f"{name}: FUZZ_SEED={number} FUZZ_SECONDS=1 make fuzz", file=sys.stderr)
        raise


def _hangs(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"not done after {HANG_SECONDS:g} s at work, or {WAIT_SECONDS:g} s")


if __name__ == "__main__":
    main()
