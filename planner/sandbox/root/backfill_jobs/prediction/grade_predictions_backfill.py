"""Phase 5B: how far predictions were from what happened."""

import sys

from planner.sandbox.job import run_phase

if __name__ == "__main__":
    sys.exit(run_phase("grading"))
