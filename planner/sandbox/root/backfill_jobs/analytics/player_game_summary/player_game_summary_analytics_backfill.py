"""Phase 3: what each player did in each game, from the raw gamebook."""

import sys

from planner.sandbox.job import run_phase

if __name__ == "__main__":
    sys.exit(run_phase("analytics"))
