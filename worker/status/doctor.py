"""Whether workers have what they need: broker, clock, scripts, services. For `planner doctor`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import redis

from planner.address import masked
from planner.doctor.tables import Check
from planner.errors import Unreachable
from planner.pipeline.runners import RunnerSpec
from sql.open import identity_of, warehouse_name
from worker.context import Context
from worker.ledger.connection import forgetful, now, require
from worker.ledger.record import run_record
from worker.ledger.slots import members_now, pipeline_version
from worker.processes.embedded_redis import MENDED, version_of
from worker.runners.choose import absence, choose, running
from worker.runners.environment import Unset
from worker.status.no_progress import NO_WORKER, lacking

CLOCK_SECONDS = 5.0  # clocks further apart make times in reports look odd


def check_broker(context: Context) -> Iterator[Check]:
    """Redis answers, and its clock agrees with this machine's."""
    where = masked(context.settings.broker_url)
    try:
        require(context.redis, context.settings)
        clock = now(context.redis)
    except Unreachable as error:
        yield Check(what="broker", ok=False, detail=f"{where} does not answer", advice=str(error))
        return
    yield Check(what="broker", ok=True, detail=where)
    with suppress(redis.ResponseError):  # such as a user who may not ask
        yield _server_check(context.redis.info("server"))
    yield from (
        Check(what="broker keeps what it is given", ok=False, detail=detail, advice=advice)
        for detail, advice in forgetful(context.redis)
    )
    yield from _workers_check(context)
    apart = abs(time.time() - clock)
    yield Check(
        what="clock",
        ok=apart < CLOCK_SECONDS,
        detail=f"{apart:.1f} s from the broker's",
        advice="set both by NTP",
    )


def _workers_check(context: Context) -> Iterator[Check]:
    """Workers that are there and have another pipeline file or warehouse: the others do the work,
    and where there are none, nothing does."""
    what, there = "workers", members_now(context.redis)
    name, checksum = pipeline_version(context.pipeline)
    settings = context.settings
    fields = {
        "pipeline": name,
        "pipeline_checksum": checksum,
        "warehouse": warehouse_name(settings.warehouse),
        "warehouse_id": identity_of(settings.warehouse),
    }
    for why in lacking(context, run_record("any", fields)) if there else ():
        fault, _, advice = why.partition(": ")
        yield Check(what=what, ok=False, detail=fault, advice=advice)
        return
    detail = ", ".join(sorted(there)) if there else "none is there"
    yield Check(what=what, ok=True, detail=detail, warning="" if there else NO_WORKER)


def _server_check(told: Mapping[str, Any]) -> Check:
    """Which server it is: a warning where it has holes that later ones have not."""
    name = str(told.get("server_name", "redis"))
    version = str(told.get(f"{name}_version", told.get("redis_version", "unknown")))
    is_old = version_of(version) < MENDED
    better = ".".join(map(str, MENDED))
    return Check(
        what="broker's version",
        ok=True,
        detail=f"{name} {version}",
        warning=f"below {better} it has known holes (CVE-2025-49844): upgrade it" if is_old else "",
    )


def check_runners(context: Context) -> Iterator[Check]:
    """One check per runner: fallbacks may be absent, as long as one of the phase is there."""
    for phase in context.pipeline.phases:
        if phase.after and phase.is_watched:
            yield Check(
                what=f"{phase.name}: watched", ok=True, detail="it has no runner: others fill it"
            )
        if phase.runners:
            chosen = choose(phase, context.pipeline_dir).number
            for number, spec in enumerate(phase.runners):
                what = f"{phase.name}: {spec.kind} {number + 1}"
                check = _check(context, what, spec, may_be_absent=chosen is not None)
                is_told = number == chosen and spec.note
                yield replace(check, detail=f"{check.detail}; {spec.note}") if is_told else check
    publishing = context.pipeline.publish
    if publishing is not None:
        yield _check(context, "publish: script", publishing.runner)


def _check(context: Context, what: str, spec: RunnerSpec, *, may_be_absent: bool = False) -> Check:
    why = absence(spec, context.pipeline_dir)
    if why is not None:
        advice = "correct the pipeline file, or put it there"
        return Check(what=what, ok=may_be_absent, detail=why, advice=advice)
    try:
        found = running(spec).readiness()
    except Unset as error:
        return Check(what=what, ok=False, detail="cannot be looked for here", advice=str(error))
    return Check(what=what, ok=found.ok, detail=found.detail, advice=found.advice)
