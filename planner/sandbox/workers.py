"""A whole fleet around a sandbox: embedded Redis, workers and the coordinator, for a while."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import UsageError
from planner.sandbox.coordinator import Coordinator
from planner.settings import Settings

if TYPE_CHECKING:
    from worker.processes.children import Child

ROOT = Path(__file__).parent / "root"
"""The sandbox's stand-in for the owner's pipeline: its scripts."""


@dataclass(frozen=True, kw_only=True)
class SandboxWorkers:
    """A fleet that runs."""

    environment: Mapping[str, str]
    """What its commands need in their environment."""
    broker: Child | None
    workers: list[Child]
    coordinator: Coordinator


@contextmanager
def sandbox_workers(settings: Settings, *, workers: int) -> Iterator[SandboxWorkers]:
    """Redis, workers and the coordinator, while the block runs."""
    from worker.processes.embedded_redis import embedded_broker
    from worker.processes.workers import run_workers

    if not settings.warehouse.startswith("local:"):
        raise UsageError(
            f"A sandbox is a local warehouse, and BACKFILL_WAREHOUSE is {settings.warehouse}: "
            "set it to local:DIR, as built by `planner sandbox build DIR`."
        )
    token = secrets.token_urlsafe(16)
    coordinator = Coordinator(settings.warehouse, token)
    environment = {
        **environment_of(settings),
        "COORDINATOR_URL": coordinator.start(),
        "COORDINATOR_TOKEN": token,
        "PIPELINE_ROOT": str(ROOT),
        "PIPELINE_PYTHON": sys.executable,
    }
    try:
        with (
            embedded_broker(settings) as broker,
            run_workers(settings, workers=workers, environment=environment) as processes,
        ):
            yield SandboxWorkers(
                environment={**os.environ, **environment},
                broker=broker,
                workers=processes,
                coordinator=coordinator,
            )
    finally:
        coordinator.stop()


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings, as variables for another process in any folder."""
    return {
        "BACKFILL_WAREHOUSE": settings.warehouse,
        "BACKFILL_PIPELINE": settings.pipeline,
        "BACKFILL_BROKER_URL": settings.broker_url,
        "BACKFILL_HOME": str(settings.home_dir),
        "BACKFILL_LEASE_SECONDS": str(settings.lease_seconds),
        "BACKFILL_VISIBILITY_SECONDS": str(settings.visibility_seconds),
        "BACKFILL_GRACE_SECONDS": str(settings.grace_seconds),
        "BACKFILL_RECONCILE_SECONDS": str(settings.reconcile_seconds),
        "BACKFILL_POLL_MAX_SECONDS": str(settings.poll_max_seconds),
        "BACKFILL_KEEP": str(settings.keep),
        "BACKFILL_KEEP_DATASET": settings.keep_dataset or "",
        "BACKFILL_KEEP_DAYS": str(settings.keep_days),
        "BACKFILL_HISTORY_DATASET": settings.history_dataset or "",
    }
