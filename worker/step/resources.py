"""The resources that a step has to hold: its dates, a slot of its phase, tables, its service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from planner.pipeline.phase import Phase
from planner.plan.plan import Step
from worker.ledger.budget import table_key
from worker.ledger.lease import Resource
from worker.ledger.record import RunRecord


def resources_of(run: RunRecord, step: Step, phase: Phase, dates: Sequence[date]) -> list[Resource]:
    """The lease on each date, slots of run and phase, and a turn to write each limited table."""
    names, limit = [f"{each}:{step.phase}" for each in run.lease_prefixes], phase.concurrency
    full = f"a slot of {phase.name} ({limit} at once)"
    return [
        *_of_run(run),
        *leases_of(run, ((step.phase, day) for day in dates)),
        *(Resource(name=name, capacity=limit, full=full) for name in names),
        *(
            Resource(
                name=f"writers:{table_key(run.warehouse, spec.name)}",
                capacity=spec.writers,
                full=f"a turn to write {spec.name} ({spec.writers} at once)",
            )
            for spec in phase.tables
            if spec.writers is not None
        ),
    ]


def leases_of(run: RunRecord, pairs: Iterable[tuple[str, date]]) -> list[Resource]:
    """The lease on each phase and date."""
    return [
        Resource(name=f"{each}:{phase}:{day}", full="another step of its dates")
        for phase, day in pairs
        for each in run.lease_prefixes
    ]


def _of_run(run: RunRecord) -> list[Resource]:
    """One of the slots that the run may have at once, where it was told how many."""
    if run.max_slots is None:
        return []
    full = f"a slot of its run ({run.max_slots} at once)"
    return [Resource(name=f"run:{run.id}", capacity=run.max_slots, full=full)]


def services_of(phase: Phase, *, parked: bool, which: int | None) -> list[Resource]:
    """The service that works for the step, if its runner has one.

    A parked step holds that of every runner: it was parked for no other reason than a service, and
    which one is in its checkpoint alone.
    """
    runners = phase.runners if parked else phase.runners[which or 0 :][:1]
    urls = [runner.service_url for runner in runners]
    return [
        Resource(name=f"service:{url}", full=f"the service {_shown(url, phase)}")
        for url in urls
        if url
    ]


def _shown(url: str, phase: Phase) -> str:
    """An address that people read: by its phase, where a variable that workers have is in it."""
    return f"of {phase.name}" if "${" in url else url
