"""The compose file on a Docker Engine: what a test does with it, as a user types it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PIPELINE = Path(__file__).with_name("pipeline")
SECONDS = 300.0


@dataclass(kw_only=True)
class Stack:
    """One project of compose, with names, volumes and ports of its own."""

    place: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = f"backfill-test-{secrets.token_hex(4)}"
        (self.place / ".env").touch()  # else that of whoever runs the tests is read
        self.variables = {
            "REDIS_PASSWORD": secrets.token_hex(16),
            "FLOWER_BASIC_AUTH": "me:secret",
            "FLOWER_PORT": "0",
            "METRICS_PORT": "0",
            "SERVE_PORT": "0",
            "BACKFILL_WAREHOUSE": "local:/state/warehouse",
            "BACKFILL_PIPELINE": "/pipeline/two.toml",
            "BACKFILL_LEASE_SECONDS": "3",
            "BACKFILL_VISIBILITY_SECONDS": "8",
            "BACKFILL_RECONCILE_SECONDS": "4",
            "BACKFILL_GRACE_SECONDS": "5",
            "WORKER_CONCURRENCY": "1",
            "PIPELINE_DIR": str(PIPELINE),
            **self.variables,
        }

    def compose(
        self, *arguments: str, code: int | None = 0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose …`; `code` is what it has to end with, None for anything."""
        command = ["docker", "compose", "--project-name", self.name]
        command += [
            "--file",
            str(ROOT / "docker-compose.yml"),
            "--env-file",
            str(self.place / ".env"),
        ]
        return run([*command, *arguments], {**self.variables, **variables}, code)

    def planner(self, *arguments: str, code: int | None = 0, **variables: str) -> str:
        """A command of the planner, in a container of its own."""
        done = self.compose("run", "--rm", "-T", "planner", *arguments, code=code, **variables)
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def script(self, name: str) -> str:
        """A script of the pipeline's folder, in a container of the planner's."""
        entry = ("run", "--rm", "-T", "--entrypoint", "python", "planner", f"/pipeline/{name}")
        return self.compose(*entry).stdout

    def steps(self, run_id: str) -> tuple[str, Mapping[str, int]]:
        """The state of a run, and how many of its steps are in which."""
        found = json.loads(self.planner("status", run_id, "--json", code=None) or "{}")
        return str(found.get("state", "?")), found.get("steps", {})

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers that run."""
        return self.compose("ps", "--quiet", "--status", "running", service).stdout.split()

    def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine knows of a container."""
        (found,) = json.loads(docker("inspect", container).stdout)
        return dict(found)


def docker(*arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """`docker …`."""
    return run(["docker", *arguments], {}, code)


def run(
    command: list[str], variables: Mapping[str, str], code: int | None
) -> subprocess.CompletedProcess[str]:
    """A command, with what it said in the failure when it ends with another code."""
    done = subprocess.run(
        command,
        env={**os.environ, **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert code is None or done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def engine_absence() -> str:
    """Why nothing can be run here; empty where a Docker Engine answers and compose is there."""
    try:
        for command in (
            ["docker", "info", "--format", "{{.ServerVersion}}"],
            ["docker", "compose"],
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            if done.returncode != 0:
                return f"`{' '.join(command)}` says: {done.stderr.strip()[:200]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"there is no docker command that answers: {error}"
    return ""
