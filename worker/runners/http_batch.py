"""Starts a batch at an HTTP service, and polls it by short visits until it ends.

Between visits the step is parked: no process waits. A start is made idempotent: an earlier one may
have worked although its answer was lost. So the service is asked before a start what it runs; a
batch that runs then, or that answers with 409, is waited for, and no batch is started when the rows
are there. A batch that the service forgot is given the time to end before another is started.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from planner.address import masked
from planner.pipeline.runners import HttpBatchRunner
from planner.text import printable
from sql.labels import labels_text
from worker.processes.secrets import redacted
from worker.runners.answers import (
    Batch,
    Status,
    content,
    is_batch_id,
    status_of,
    text_of,
    told_by,
)
from worker.runners.client import open_client
from worker.runners.credentials import Auth, NoSecret, NoSecretNow
from worker.runners.deadline import StoppedWaiting, within
from worker.runners.environment import Unset, expand, fill
from worker.runners.forgotten import FORGOT, LOOKS, SILENCE, is_complete, remarked, silence
from worker.runners.job import (
    LEASE_LOST,
    Failed,
    Job,
    Outcome,
    Park,
    Ran,
    Readiness,
    Refused,
    Stopped,
    TooLarge,
)

FIRST_LOOK_SECONDS = 0.5  # so that the end of a short batch is noticed soon
LOOK_GROWTH = 1.5  # then pauses grow up to the pipeline file's `poll_seconds`
PROBE_SECONDS = 5.0  # for all that is asked of a service before a run
STATUS_SECONDS = 30.0  # for a status to be answered
TOKEN_SECONDS = 150.0  # for a token beside the answer, and for another when it is refused
LOST_LOOKS_MAX = 5  # looks in a row that failed, before the step fails

LABELS_HEADER = "X-Backfill-Labels"  # of a start: for the jobs that it begins in BigQuery

ADVICE = {
    401: "the token was refused, also a new one: see where the pipeline file takes it from",
    403: "the token is known, and may not do this: give its account the right to call the service",
}


@dataclass(frozen=True)
class HttpBatch:
    """The runner of kind `http_batch`."""

    spec: HttpBatchRunner

    def run(self, job: Job) -> Outcome:
        return remarked(job, self._visit(job))

    def _visit(self, job: Job) -> Outcome:
        try:
            return self._look(job) if "batch_id" in job.checkpoint else self._begin(job)
        except StoppedWaiting as left:
            return Stopped(why=str(left))
        except NoSecretNow as error:
            return Failed(error=str(error))
        except (Unset, NoSecret) as error:
            return Failed(error=str(error), is_permanent=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Failed(error=f"{self.spec.url}: {type(error).__name__}: {printable(str(error))}")

    def _open(self) -> httpx.Client:
        url = expand(self.spec.url)
        return open_client(url, auth=Auth(url, token=self.spec.token, api_key=self.spec.api_key))

    def _ask(
        self, job: Job, seconds: float, ask: Callable[[httpx.Client], httpx.Response]
    ) -> httpx.Response:
        """Ask the service. Raises `StoppedWaiting` to stop before it has answered.

        The service may go on all the same.
        """

        def with_client() -> httpx.Response:
            with self._open() as client:
                return ask(client)

        return within(seconds + TOKEN_SECONDS, with_client, stop=job.stop)

    def _ask_status(self, job: Job, **params: str) -> Status:
        path, timeout = self.spec.status_path, STATUS_SECONDS
        return status_of(
            self._ask(job, timeout, lambda c: c.get(path, params=params, timeout=timeout))
        )

    # -- start -------------------------------------------------------------------------------

    def _begin(self, job: Job) -> Outcome:
        """Start a batch, unless one runs, or the one that ran made the rows."""
        running = self._running(job)
        if running is not None and not (running.is_stalled and job.force):
            if running.is_stalled:
                return Failed(
                    error=f"batch {running.batch_id} of another caller has stalled, and a start "
                    f"would end it: `planner retry {job.run_id} --force-service` does "
                    f"({running.text})"
                )
            return self._wait_for_others(job, running.moved)
        # A batch that was waited for, or whose start was not answered, may have made the rows.
        may_be_made = job.attempt > 1 or not job.checkpoint.keys().isdisjoint(
            ("starting", "waited")
        )
        if may_be_made and is_complete(job):
            return Ran()
        return self._start(job)

    def _running(self, job: Job) -> Status | None:
        """The batch that the service works on now, as far as it can tell."""
        try:
            status = self._ask_status(job)
        except httpx.HTTPStatusError:
            return None  # it has no such page, or refuses: a start is answered with 409
        is_held = status.batch is Batch.RUNNING or status.is_stalled
        return status if is_held and status.batch_id else None

    def _start(self, job: Job) -> Outcome:
        body: dict[str, Any] = {
            name: fill(value, job.dates, self.spec.chosen(job.values))
            if isinstance(value, str)
            else value
            for name, value in self.spec.body.items()
        }
        if "force" in body:
            body["force"] = job.force
        # Saved before the start, for a takeover should this worker be killed during it.
        if not job.note({**job.checkpoint, "starting": True}):
            return Stopped(why=LEASE_LOST)
        path, timeout = self.spec.start_path, self.spec.start_timeout_seconds
        told = {LABELS_HEADER: labels_text(job.labels)}
        response = self._ask(
            job, timeout, lambda c: c.post(path, json=body, headers=told, timeout=timeout)
        )
        return self._started(job, response)

    def _started(self, job: Job, response: httpx.Response) -> Outcome:
        """What the answer to a start means."""
        path, answer, code = self.spec.start_path, content(response), response.status_code
        told = f"{path} answers {code}: {text_of(answer)}"
        if code == 409:
            return self._wait_for_others(job, told_by(answer))
        if code == 413:
            return TooLarge(error=told)
        if code == 503 and isinstance(answer, dict) and "error" in answer:
            return Refused(error=f"the service says: {text_of(answer)}")
        if code in ADVICE:
            return Failed(error=f"{told}; {ADVICE[code]}", is_permanent=True)
        if not response.is_success or not isinstance(answer, dict):
            return Failed(error=told, is_permanent=code in (400, 405, 422))
        batch = answer.get("batch_id")
        if not batch:
            return Ran(note=f"{path} says {text_of(answer)}")  # the service has nothing to do
        if not is_batch_id(batch):
            return Failed(error=f"{path} gives a batch_id that is not one short line of text")
        checkpoint = {"batch_id": batch, "looks": 0, "started": job.now()}
        if FORGOT in job.checkpoint:
            checkpoint[FORGOT] = job.checkpoint[FORGOT]
        return Park(seconds=FIRST_LOOK_SECONDS, checkpoint=checkpoint)

    def _wait_for_others(self, job: Job, moved: str) -> Outcome:
        """Wait for another caller's batch, without spending a retry, unless it stalls."""
        checkpoint = {**self._moved(job, moved), "waited": True}
        if _still_for(job, checkpoint) > self.spec.stall_seconds:
            return Failed(
                error=f"another batch holds the service, and has not moved for "
                f"{self.spec.stall_seconds:g} s: {moved[:200]}"
            )
        return self._later(checkpoint)

    # -- before a run ------------------------------------------------------------------------

    def absence(self, beside: Path) -> str | None:
        base = expand(self.spec.url).rstrip("/")

        def probe() -> httpx.Response:
            with open_client(base, seconds=PROBE_SECONDS) as client:
                return client.options(self.spec.start_path)  # starts nothing

        try:
            answer = within(PROBE_SECONDS, probe)
        except (httpx.HTTPError, httpx.InvalidURL):
            return None  # it may be there later
        url = f"{masked(base)}{self.spec.start_path}"
        return f"{url} answers 404" if answer.status_code == 404 else None

    def readiness(self) -> Readiness:
        url = expand(self.spec.url)

        def probe() -> tuple[int, int]:
            with self._open() as client:
                client.timeout = PROBE_SECONDS
                code = client.get(self.spec.health_path).status_code
                return code, client.get(self.spec.status_path).status_code

        try:
            code, told = within(PROBE_SECONDS, probe)
        except NoSecret as error:
            advice = "see its token in the pipeline file"
            return Readiness(ok=False, detail=str(error), advice=advice)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = redacted(f"{masked(url)} does not answer: {type(error).__name__}")
            advice = "start it, or correct its address"
            return Readiness(ok=False, detail=detail, advice=advice)
        if told in (401, 403):
            advice = "see where the pipeline file takes its token from"
            return Readiness(ok=False, detail=f"{masked(url)} refuses the token", advice=advice)
        detail = f"{masked(url)}{self.spec.health_path} answers {code}"
        return Readiness(ok=code < 400, detail=detail, advice="see its logs")

    # -- status ------------------------------------------------------------------------------

    def _look(self, job: Job) -> Outcome:
        batch_id, checkpoint = job.checkpoint["batch_id"], job.checkpoint
        try:
            status = self._ask_status(job, batch_id=batch_id)
        except (httpx.HTTPError, NoSecretNow) as error:
            lost = int(checkpoint.get("lost", 0)) + 1
            if SILENCE in checkpoint and not _is_refused(error):
                return self._forgotten(job, printable(str(error)))
            if lost > LOST_LOOKS_MAX or _is_refused(error):
                return Failed(
                    error=f"batch {batch_id}: no status: {error}{_advice(error)}",
                    is_permanent=_is_refused(error),
                )
            return self._later({**checkpoint, "lost": lost})
        match status.batch:
            case Batch.COMPLETE:
                return Ran(settle_seconds=self.spec.settle_seconds)
            case Batch.GONE:
                return self._forgotten(job, status.text)
            case Batch.BROKEN:
                return Failed(error=f"batch {batch_id}: {status.text}")
        checkpoint = {**self._moved(job, status.moved), "lost": 0}
        checkpoint.pop(SILENCE, None)
        if _still_for(job, checkpoint) > self.spec.stall_seconds:
            return Failed(
                error=f"batch {batch_id} stalled: it has not moved for "
                f"{self.spec.stall_seconds:g} s ({status.text})"
            )
        if job.now() - float(checkpoint["started"]) > job.phase.timeout_seconds:
            return Failed(error=f"batch {batch_id} ran for {job.phase.timeout_seconds:g} s")
        return self._later(checkpoint)

    def _forgotten(self, job: Job, text: str) -> Outcome:
        """Start once more when the service was silent, and the tables stood still, for so long.

        A second batch that is forgotten ends the attempt: the next one starts anew.
        """
        batch_id, stall = job.checkpoint["batch_id"], self.spec.stall_seconds
        ran = Ran(
            settle_seconds=self.spec.settle_seconds,
            note=f"the service lost batch {batch_id}: {text}",
        )
        heard = silence(job)
        if heard is None:
            return ran
        now, limit = job.now(), job.phase.timeout_seconds
        if now - heard.since >= stall:
            if FORGOT in job.checkpoint:
                return ran
            return self._again(job, heard.checkpoint)
        is_late = now - float(job.checkpoint["started"]) > limit
        if is_late and heard.has_moved and not heard.is_first:
            return Failed(
                error=f"the service forgot batch {batch_id}, and its tables are still written to "
                f"after {limit:g} s: see what writes them before `planner retry {job.run_id}`",
                is_permanent=True,
            )
        # A batch that is known again is judged by how it moves from then on.
        checkpoint = {k: v for k, v in job.checkpoint.items() if k not in ("moved", "since")}
        return self._later({**checkpoint, **heard.checkpoint, "lost": 0}, seconds=stall / LOOKS)

    def _again(self, job: Job, still: dict[str, Any]) -> Outcome:
        """Start a second batch in this visit: a later one could not know that all is still.

        While another batch holds the service, the forgotten one is looked at as before.
        """
        others = {k: v for k, v in job.checkpoint.items() if k in ("moved", "since")}
        again = {**others, FORGOT: job.checkpoint["batch_id"], "waited": True}
        outcome = self.run(replace(job, checkpoint=again))
        if not isinstance(outcome, Park) or "batch_id" in outcome.checkpoint:
            return outcome
        waits = {k: v for k, v in outcome.checkpoint.items() if k in ("moved", "since")}
        return self._later({**job.checkpoint, **waits, **still})

    # -- checkpoint --------------------------------------------------------------------------

    def _moved(self, job: Job, moved: str) -> dict[str, Any]:
        """The checkpoint with what a batch has come to, and since when."""
        if job.checkpoint.get("moved") == moved and "since" in job.checkpoint:
            return dict(job.checkpoint)
        return {**job.checkpoint, "moved": moved, "since": job.now()}

    def _later(self, checkpoint: dict[str, Any], *, seconds: float = 0) -> Park:
        """Look again after a pause that grows; after `seconds` at least."""
        looks = int(checkpoint.get("looks", 0))
        pause = FIRST_LOOK_SECONDS * LOOK_GROWTH ** min(looks, 50)
        return Park(
            seconds=max(min(self.spec.poll_seconds, pause), seconds),
            checkpoint={**checkpoint, "looks": looks + 1},
        )


def _still_for(job: Job, checkpoint: dict[str, Any]) -> float:
    """Seconds since a batch moved."""
    return job.now() - float(checkpoint["since"])


def _is_refused(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in ADVICE


def _advice(error: Exception) -> str:
    code = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
    return f"; {ADVICE[code]}" if code in ADVICE else ""
