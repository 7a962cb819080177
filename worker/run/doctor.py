"""Whether a fleet has what it needs: broker, clock, scripts, services. For `planner doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date

import httpx

from planner.doctor.tables import Check
from planner.errors import BadPipeline, Unreachable
from planner.pipeline.runners import HttpBatchRunner, ScriptRunner, SqlRunner
from planner.plan.plan import Plan, PlannedRunner
from planner.settings import masked
from worker.ledger.connection import now, require
from worker.processes.secrets import redacted
from worker.runners.choose import absence, choose
from worker.runners.client import open_client
from worker.runners.credentials import Auth, NoSecret
from worker.runners.environment import Unset, expand
from worker.step.context import Fleet

CLOCK_SECONDS = 5.0  # apart, and times in reports begin to look odd
HEALTH_SECONDS = 10.0  # for a service to say that it is well


def check_broker(fleet: Fleet) -> Iterator[Check]:
    """Redis answers, and its clock is ours."""
    where = masked(fleet.settings.broker_url)
    try:
        require(fleet.redis, fleet.settings)
        theirs = now(fleet.redis)
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


def check_runners(fleet: Fleet) -> Iterator[Check]:
    """One check per runner: fallbacks may be absent, as long as one of the phase is there."""
    for phase in fleet.pipeline.phases:
        if phase.runners:
            is_there = choose(phase, fleet.pipeline_dir).number is not None
            for number, spec in enumerate(phase.runners):
                what = f"{phase.name}: {spec.kind} {number + 1}"
                why = absence(spec, fleet.pipeline_dir)
                if why is not None:
                    advice = "correct the pipeline file, or put it there"
                    yield Check(what=what, ok=is_there, detail=why, advice=advice)
                elif isinstance(spec, HttpBatchRunner):
                    yield _service(what, spec)
                else:
                    yield _command(what, spec)
    publishing = fleet.pipeline.publish
    if publishing is not None:
        why = absence(publishing.runner, fleet.pipeline_dir)
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


def with_runners(fleet: Fleet, plan: Plan) -> Plan:
    """The plan, and which runner each of its phases uses. Raises `BadPipeline` if one has none.

    What only workers can know, such as a variable that is not set here, is taken to be there.
    """
    found = {}
    for name in dict.fromkeys(step.phase for _, step in plan.steps()):
        phase = fleet.pipeline.by_name[name]
        choice = choose(phase, fleet.pipeline_dir)
        if choice.number is None:
            raise BadPipeline(
                f"Nothing can run {name}: {'; '.join(choice.absent)}. "
                "`planner doctor` shows what is missing."
            )
        kind = phase.runners[choice.number].kind
        found[name] = PlannedRunner(number=choice.number + 1, kind=kind, absent=choice.absent)
    publishes = _publishes(fleet, plan)
    return plan.model_copy(update={"runners": found, "publishes": publishes}).sealed()


def _publishes(fleet: Fleet, plan: Plan) -> tuple[date, ...]:
    """The dates that the run is to publish. Raises `BadPipeline` when the script is not there."""
    publishing = fleet.pipeline.publish
    steps = [step for _, step in plan.steps() if publishing and step.phase == publishing.after]
    if publishing is not None and steps:
        why = absence(publishing.runner, fleet.pipeline_dir)
        if why is not None:
            raise BadPipeline(
                f"Nothing can publish: {why}. `planner doctor` shows what is missing."
            )
    return tuple(sorted(day for step in steps for day in step.dates))
