"""Phase 4: the processors 1 and 2 at once, then 3, 4 and 5, in one process."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from planner.sandbox.fill import PHASES
from planner.sandbox.job import arguments, fill_spans, opened, run
from planner.sandbox.seasons import Span

PHASE = "precompute"
PROCESSORS = PHASES[PHASE]


def work(options: argparse.Namespace, spans: list[Span]) -> None:
    # Opened here, so that a warehouse's libraries are imported by one thread only.
    warehouse = opened()

    def process(number: int) -> None:
        fill_spans(warehouse, PHASE, PROCESSORS[number - 1], spans)

    def process_beside(number: int) -> None:
        fill_spans(opened(), PHASE, PROCESSORS[number - 1], spans)

    remaining = list(range(options.start_from, len(PROCESSORS) + 1))
    if remaining[:2] == [1, 2]:
        with ThreadPoolExecutor(max_workers=1) as pool:
            second = pool.submit(process_beside, 2)
            process(1)
        second.result()
        remaining = remaining[2:]
    for number in remaining:
        process(number)


def main() -> int:
    parser = arguments("Fill the five tables of the phase precompute.")
    parser.add_argument(
        "--start-from", type=int, choices=range(1, len(PROCESSORS) + 1), default=1, metavar="1..5"
    )
    return run(parser, None, work)


if __name__ == "__main__":
    sys.exit(main())
