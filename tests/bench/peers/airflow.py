"""Airflow with its LocalExecutor and 16 slots."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.bench.peers.orchestrator import Orchestrator
from tests.bench.whole import DATES, STEPS
from tests.chaos.proxy import Proxy

SLOTS = 16


def airflow(bin_dir: Path, home: Path) -> Orchestrator:
    """A new one: only the services that running tasks takes, and one process of the API."""
    (home / "dags").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("airflow_dag.py"), home / "dags" / "noop.py")
    with Proxy.free_port() as port, Proxy.free_port() as log_port:
        pass
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # seconds: a machine may be busy
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
    }
    program = str(bin_dir / "airflow")
    migrate = [program, "db", "migrate"]
    done = subprocess.run(
        migrate, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return Orchestrator(
        environment=environment,
        services=[
            [program, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            [program, "scheduler"],
            [program, "dag-processor"],
        ],
        command=[program, "dags", "unpause", "noop", "--yes"],
        database=home / "airflow.db",
        ready="SELECT COUNT(*) FROM dag JOIN serialized_dag USING (dag_id)",
        ended=f"SELECT (SELECT COUNT(*) FROM task_instance WHERE state = 'success') = {STEPS} "
        f"AND (SELECT COUNT(*) FROM dag_run WHERE state = 'success') = {DATES}",
        port=port,
        failed="SELECT COUNT(*) FROM task_instance WHERE state IN ('failed', 'upstream_failed')",
    )
