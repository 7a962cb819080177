"""Dagster with a run per date, whose ops run in its process, two runs at once."""

from __future__ import annotations

from pathlib import Path

from tests.bench.peers.orchestrator import Orchestrator
from tests.bench.whole import DATES

SLOTS = 2
JOB = Path(__file__).with_name("dagster_job.py")
INSTANCE = f"""
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    max_concurrent_runs: {SLOTS}
    dequeue_interval_seconds: 1
"""


def dagster(bin_dir: Path, home: Path) -> Orchestrator:
    """A new one: its daemon, and no web server."""
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(INSTANCE)
    program = str(bin_dir / "dagster")
    command = [program, "job", "backfill", "--noprompt", "--python-file", str(JOB), "--job", "noop"]
    return Orchestrator(
        environment={"DAGSTER_HOME": str(home)},
        services=[[str(bin_dir / "dagster-daemon"), "run", "--python-file", str(JOB)]],
        command=command,
        database=home / "history" / "runs.db",
        ready="SELECT COUNT(*) FROM daemon_heartbeats WHERE daemon_type = 'QUEUED_RUN_COORDINATOR'",
        ended=f"SELECT COUNT(*) = {DATES} FROM runs WHERE status = 'SUCCESS'",
        failed="SELECT COUNT(*) FROM runs WHERE status = 'FAILURE'",
    )
