"""Starts a batch at an HTTP service, and looks at it by short visits until it ends.

Between visits the step is parked: no process waits. The service's own 409 decides who may run
a batch; the batch's id is written down before the first look, so that whoever comes next goes
on with it instead of starting another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import httpx

from planner.pipeline import HttpBatchRunner
from worker.runners.environment import Unset, expand, fill
from worker.runners.job import Failed, Job, Outcome, Park, Ran, Refused

FIRST_LOOK_SECONDS = 0.5  # short batches are noticed soon
LOOK_GROWTH = 1.5  # then pauses grow up to the pipeline file's `poll_seconds`
STATUS_SECONDS = 30.0  # a status that takes longer is no status
MESSAGE_CHARS = 500  # of a service's answer, shown in an error
ENDED_WELL = frozenset({"complete", "completed", "success", "succeeded", "done"})
ENDED_BADLY = frozenset({"failed", "error", "stalled", "cancelled", "aborted"})


@dataclass(frozen=True)
class HttpBatch:
    """The runner of kind `http_batch`."""

    spec: HttpBatchRunner

    def run(self, job: Job) -> Outcome:
        try:
            with self._client() as client:
                if "batch_id" in job.memory:
                    return self._look(client, job)
                return self._start(client, job)
        except Unset as error:
            return Failed(error=str(error), is_permanent=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Failed(error=f"{self.spec.url}: {type(error).__name__}: {error}")

    def _client(self) -> httpx.Client:
        headers = {}
        if self.spec.token_env and (token := os.environ.get(self.spec.token_env)):
            headers["Authorization"] = f"Bearer {token}"
        if self.spec.api_key_env and (key := os.environ.get(self.spec.api_key_env)):
            headers["X-API-Key"] = key
        return httpx.Client(base_url=expand(self.spec.url), headers=headers)

    def _start(self, client: httpx.Client, job: Job) -> Outcome:
        body = {
            name: fill(value, job.dates) if isinstance(value, str) else value
            for name, value in self.spec.body.items()
        }
        response = client.post(
            self.spec.start_path, json=body, timeout=self.spec.start_timeout_seconds
        )
        answer = _json(response)
        if response.status_code == 409:
            return self._later(job)  # somebody else's batch: nothing of ours went wrong
        if response.status_code == 503 and isinstance(answer, dict):
            return Refused(error=f"the service says: {_text(answer)}")
        if response.status_code in (400, 401, 403, 404, 500):
            return Failed(
                error=f"{self.spec.start_path} answers {response.status_code}: {_text(answer)}",
                is_permanent=response.status_code in (400, 401, 403),
            )
        if not response.is_success or not isinstance(answer, dict):
            return Failed(error=f"{self.spec.start_path} answers {response.status_code}")
        batch = answer.get("batch_id")
        if not isinstance(batch, str) or not batch:
            return Ran()  # nothing to do, it says; the recount tells
        return Park(seconds=FIRST_LOOK_SECONDS, memory={"batch_id": batch, "looks": 0})

    def _look(self, client: httpx.Client, job: Job) -> Outcome:
        response = client.get(
            self.spec.status_path,
            params={"batch_id": job.memory["batch_id"]},
            timeout=STATUS_SECONDS,
        )
        answer = _json(response)
        if not response.is_success or not isinstance(answer, dict):
            return Failed(
                error=f"{self.spec.status_path} answers {response.status_code}: {_text(answer)}"
            )
        progress = answer.get("progress")
        status = str(answer.get("status", "")).lower()
        if status in ENDED_BADLY or answer.get("is_stalled") is True:
            return Failed(error=f"batch {job.memory['batch_id']}: {_text(answer)}")
        if (isinstance(progress, dict) and progress.get("is_complete") is True) or (
            not isinstance(progress, dict) and status in ENDED_WELL | {"no_active_batch"}
        ):
            return Ran(settle_seconds=self.spec.settle_seconds)
        return self._later(job)

    def _later(self, job: Job) -> Park:
        looks = int(job.memory.get("looks", 0))
        pause = FIRST_LOOK_SECONDS * LOOK_GROWTH ** min(looks, 50)
        return Park(
            seconds=min(self.spec.poll_seconds, pause), memory={**job.memory, "looks": looks + 1}
        )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return response.text[:MESSAGE_CHARS]


def _text(answer: Any) -> str:
    if isinstance(answer, dict):
        told = [answer.get(key) for key in ("message", "error", "status", "reason")]
        answer = "; ".join(str(part) for part in told if part) or str(answer)
    return str(answer)[:MESSAGE_CHARS]
