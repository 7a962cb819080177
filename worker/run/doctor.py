"""Whether a fleet has what it needs: broker, clock, scripts, services. For `planner doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

from planner.doctor.tables import Check
from planner.errors import Unreachable
from planner.pipeline.runners import HttpBatchRunner, ScriptRunner, SqlRunner
from planner.settings import masked
from worker.ledger.connection import now, require
from worker.processes.secrets import redacted
from worker.runners.choose import absence, choose
from worker.runners.client import open_client
from worker.runners.credentials import Auth, NoSecret
from worker.runners.environment import Unset, expand
from worker.step.context import Context

CLOCK_SECONDS = 5.0  # apart, and times in reports begin to look odd
HEALTH_SECONDS = 10.0  # for a service to say that it is well


def check_broker(context: Context) -> Iterator[Check]:
    """Redis answers, and its clock is ours."""
    where = masked(context.settings.broker_url)
    try:
        require(context.redis, context.settings)
        theirs = now(context.redis)
    except Unreachable as error:
        yield Check(what="broker", ok=False, detail=f"{where} does not answer", advice=str(error))
        return
    yield Check(what="broker", ok=True, detail=where)
    apart = abs(time.time() - theirs)
    yield Check(
        what="clock",
        ok=apart < CLOCK_SECONDS,
        detail=f"{apart:.1f} s from the broker's",
        advice="set both by NTP",
    )


def check_runners(context: Context) -> Iterator[Check]:
    """One check per runner: fallbacks may be absent, as long as one of the phase is there."""
    for phase in context.pipeline.phases:
        if phase.runners:
            is_there = choose(phase, context.pipeline_dir).number is not None
            for number, spec in enumerate(phase.runners):
                what = f"{phase.name}: {spec.kind} {number + 1}"
                why = absence(spec, context.pipeline_dir)
                if why is not None:
                    advice = "correct the pipeline file, or put it there"
                    yield Check(what=what, ok=is_there, detail=why, advice=advice)
                elif isinstance(spec, HttpBatchRunner):
                    yield _service(what, spec)
                else:
                    yield _command(what, spec)
    publishing = context.pipeline.publish
    if publishing is not None:
        why = absence(publishing.runner, context.pipeline_dir)
        advice = "correct the pipeline file, or put it there"
        if why is not None:
            yield Check(what="publish: script", ok=False, detail=why, advice=advice)
        else:
            yield _command("publish: script", publishing.runner)


def _command(what: str, spec: ScriptRunner | SqlRunner) -> Check:
    texts = (*spec.command, spec.cwd or "", *spec.env.values()) if spec.kind == "script" else ()
    try:
        for text in texts:
            expand(text)
    except Unset as error:
        return Check(what=what, ok=False, detail="cannot be looked for here", advice=str(error))
    return Check(what=what, ok=True, detail="is there")


def _service(what: str, spec: HttpBatchRunner) -> Check:
    try:
        url = expand(spec.url)
        auth = Auth(url, token=spec.token, api_key=spec.api_key)
        with open_client(url, auth=auth, seconds=HEALTH_SECONDS) as client:
            code = client.get(spec.health_path).status_code
            refused = client.get(spec.status_path).status_code in (401, 403)
    except Unset as error:
        return Check(what=what, ok=False, detail="cannot be looked for here", advice=str(error))
    except NoSecret as error:
        advice = "see its token in the pipeline file"
        return Check(what=what, ok=False, detail=str(error), advice=advice)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        detail = redacted(f"{masked(url)} does not answer: {type(error).__name__}")
        return Check(what=what, ok=False, detail=detail, advice="start it, or correct its address")
    if refused:
        advice = "see where the pipeline file takes its token from"
        return Check(what=what, ok=False, detail=f"{masked(url)} refuses the token", advice=advice)
    detail = f"{masked(url)}{spec.health_path} answers {code}"
    return Check(what=what, ok=code < 400, detail=detail, advice="see its logs")
