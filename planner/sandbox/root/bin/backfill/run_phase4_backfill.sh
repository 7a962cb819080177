#!/bin/sh
# Phase 4: five processors, the first two at once, then three, four and five.
# Usage: run_phase4_backfill.sh --start-date D --end-date D [--start-from 1..5] [--dry-run]
exec "${PIPELINE_PYTHON:-python3}" "$(dirname "$0")/run_phase4_backfill.py" "$@"
