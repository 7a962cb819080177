"""Restores a run: puts back what its dates held before it, table by table.

Each table is one commit, and is counted afterwards. A restore that was interrupted is begun again:
what is as it was needs no writing, and no table is ever half restored. Meanwhile the restore holds
the lease on each of its dates, as a step does. It is noted in the ledger before its first write, so
that one whose process was killed is told.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property

from planner.errors import FleetError, UsageError
from planner.pipeline.lookback import reach
from planner.pipeline.phase import Phase
from planner.pipeline.tables import TableSpec
from planner.plan import owed as owed_files
from planner.plan.command import Command
from planner.plan.cost import cost_of
from planner.plan.owed import Owed
from planner.plan.plan import new_id
from planner.report.advice import restore_command
from planner.report.restored import Restored, RestoreReport
from planner.text import date_runs
from sql import Unsupported, Warehouse, WarehouseError
from sql.keeping import Keeper, Source, are_equal, put_back, whole
from sql.warehouse import Coverage, Table
from worker.context import Context
from worker.finalization.kept import SHOWN, require_kept, require_planned, specs_of
from worker.finalization.made import save_restored
from worker.ledger.kept import Kept, Left, Place
from worker.ledger.lease import Lease
from worker.ledger.record import RunRecord
from worker.ledger.restores import RestoreRecord
from worker.run.restore_note import Follow, noted, tell
from worker.step.keep import marks_of
from worker.step.resources import leases_of

log = logging.getLogger(__name__)

Pair = tuple[str, date]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What is to be put back in one table."""

    phase: Phase
    spec: TableSpec
    table: Table
    kept: Mapping[date, Kept]
    left: Mapping[date, Left]
    sources: tuple[Source, ...]


def restore(
    context: Context,
    run_id: str,
    *,
    phase: str | None = None,
    dates: Collection[date] | None = None,
    over: bool = False,
    asked: Command | None = None,
    follow: Follow = lambda record: None,
) -> RestoreReport:
    """Put back what a run's dates held before it.

    `phase` means that phase alone. `over`: also over rows that were written since the run. `follow`
    is shown how it stands, once it writes. Raises
    `UsageError` where nothing was kept, or something was written since; `FleetError` where
    something holds a date; `WarehouseError`, of which `KeptExpired` says that it is too late.
    Nothing is written before all of that is known, and a restore that was refused is noted nowhere.
    """
    run = _require(context, run_id)
    of = _Restore(context=context, run=run, over=over, asked=asked, follow=follow)
    return of.make(phase, dates)


def _require(context: Context, run_id: str) -> RunRecord:
    run = context.ledger.require(run_id)
    if not run.is_ended:
        raise UsageError(
            f"{run_id} is {run.state}: wait for its end, or end it with `planner cancel {run_id}`, "
            "then restore it."
        )
    require_kept(context, run)
    return run


@dataclass(frozen=True, kw_only=True)
class _Restore:
    context: Context
    run: RunRecord
    over: bool
    asked: Command | None
    follow: Follow

    @cached_property
    def id(self) -> str:
        return new_id("restore", datetime.now(UTC))

    @cached_property
    def _warehouse(self) -> Warehouse:
        return self.context.warehouse.labelled(plan_id=self.run.plan_id, phase="restore")

    @cached_property
    def _keeper(self) -> Keeper:
        return self._warehouse.keeper(dataset=self.run.keep_dataset, days=self.run.keep_days)

    @cached_property
    def _left(self) -> Mapping[Place, Left]:
        return self.context.ledger.left(self.run.id)

    def make(self, phase: str | None, dates: Collection[date] | None) -> RestoreReport:
        known = self._chosen(phase, dates)
        pairs = {(name, day) for name, _, day in known}
        can_be = {place: each for place, each in known.items() if each.is_kept}
        lease = self._lease(pairs)
        try:
            with lease.kept_alive():
                parts = [self._part(*of) for of in specs_of(self.context, self.run, can_be)]
                self._refuse_written_since(parts)
                record = self._record(len(parts), phase, dates)
                with noted(self.context, record, lease, self.follow) as noting:
                    for part in parts:
                        noting.put_back(self._put_back(part, lease))
                    owed = self._note_owed(pairs)
                    self._note_made({(name, day) for name, _, day in can_be})
                    report = self._report(noting.record, _not_kept(known), owed)
                    noting.end(report)
        finally:
            lease.release()
        tell(self.context, self.run, noting.record, report)
        return report

    def _record(
        self, tables: int, phase: str | None, dates: Collection[date] | None
    ) -> RestoreRecord:
        again = restore_command(self.run.id, phase, dates or ())
        return RestoreRecord(
            id=self.id,
            run_id=self.run.id,
            pipeline=self.run.pipeline,
            tables=tables,
            begun=self.context.ledger.now(),
            again=f"{again} --over" if self.over else again,
            asked=self.asked,
        )

    # -- what is to be done ------------------------------------------------------------------

    def _chosen(self, phase: str | None, dates: Collection[date] | None) -> dict[Place, Kept]:
        """What was kept of the phases and dates that are asked for. Raises `UsageError`."""
        known = self.context.ledger.kept(self.run.id)
        if not known:
            raise UsageError(f"{self.run.id} wrote nothing, so there is nothing to put back.")
        names = {name for name, _, _ in known}
        phases = [each.name for each in self.context.pipeline.phases if each.name in names]
        if phase is not None and phase not in phases:
            raise UsageError(
                f"{self.run.id} wrote no phase {phase!r}: it wrote {', '.join(phases)}."
            )
        written = {day for name, _, day in known if phase in (None, name)}
        absent = sorted(set(dates or ()) - written)
        if absent:
            raise UsageError(
                f"{self.run.id} wrote nothing on {date_runs(absent, shown=SHOWN)}: it wrote "
                f"{date_runs(written, shown=SHOWN)}."
            )
        chosen = {
            place: kept
            for place, kept in known.items()
            if phase in (None, place[0]) and (dates is None or place[2] in dates)
        }
        require_planned(self.context, self.run, chosen)
        if not any(kept.is_kept for kept in chosen.values()):
            raise UsageError(f"Nothing can be put back: {'; '.join(_not_kept(chosen))}.")
        return chosen

    def _part(self, phase: Phase, spec: TableSpec, kept: Mapping[date, Kept]) -> _Part:
        """Find what was kept. Raises `KeptExpired`."""
        table = self._warehouse.dated(whole(spec.table))
        places = {day: each.place for day, each in kept.items() if each.place}
        sources = tuple(self._keeper.sources(table, places, self.run.id)) if places else ()
        for source in sources:  # before anything is written: is it what was there?
            cells = self._warehouse.coverage(source.table, min(source.days), max(source.days))
            wrong = [day for day in source.days if not _holds(kept[day], cells, day)]
            if wrong:
                raise FleetError(
                    f"What was kept of {spec.name} on {date_runs(wrong, shown=SHOWN)} is not what "
                    f"{self.run.id} counted before it wrote, so it is not put back. Leave these "
                    "dates out with --dates."
                )
        return _Part(
            phase=phase,
            spec=spec,
            table=table,
            kept=kept,
            left={
                day: self._left[phase.name, spec.name, day]
                for day in kept
                if (phase.name, spec.name, day) in self._left
            },
            sources=sources,
        )

    def _refuse_written_since(self, parts: Iterable[_Part]) -> None:
        """Raises `UsageError` where rows are neither the run's nor those of before."""
        told = []
        for part in parts if not self.over else ():
            since = self._written_since(part)
            if since:
                told.append(f"{part.spec.name} on {date_runs(since, shown=SHOWN)}")
        if told:
            raise UsageError(
                f"Somebody has written since {self.run.id}, or nothing tells who did: "
                f"{'; '.join(told)}. Nothing was put back. Leave these dates out with --dates, or "
                "write over them with --over."
            )

    def _written_since(self, part: _Part) -> frozenset[date]:
        """Dates whose rows are not those that the run left, nor those that it found."""
        try:
            marks = marks_of(self._warehouse, part.spec, part.kept)
        except Unsupported:
            marks = {}
        changed = {
            day
            for day in part.kept
            if day not in part.left
            or self._keeper.is_since(
                part.left[day].mark,
                datetime.fromtimestamp(part.left[day].at, UTC),
                marks.get(day, ""),
            )
        }
        if not changed:
            return frozenset()
        return frozenset(changed) - are_equal(self._warehouse, part.table, part.sources, changed)

    # -- doing it ----------------------------------------------------------------------------

    def _lease(self, pairs: Collection[Pair]) -> Lease:
        """The lease on each date. Raises `FleetError` where another holds one."""
        held = self.context.ledger.held(self.run.pipeline, self.run.warehouse_id)
        busy = sorted({held[pair] for pair in pairs if pair in held})
        if busy:
            raise FleetError(
                f"{busy[0]} is repairing some of these dates: wait for its end with `planner watch "
                f"{busy[0]}`, then restore."
            )
        lease = Lease(
            self.context.redis,
            leases_of(self.run, sorted(pairs)),
            seconds=self.context.settings.lease_seconds,
        )
        if not lease.acquire():
            raise FleetError(
                "A step, or another restore, writes some of these dates now: try again when it has "
                f"ended, or, where it was killed, in {2 * self.context.settings.lease_seconds:g} s."
            )
        return lease

    def _put_back(self, part: _Part, lease: Lease) -> Restored:
        """Put one table back, and count it."""
        days = set(part.kept)
        first, last = min(days), max(days)
        cells = self._warehouse.coverage(part.table, first, last)
        before = sum(cells[day].rows for day in days if day in cells)
        left = days - are_equal(self._warehouse, part.table, part.sources, days)
        if lease.is_lost:
            raise FleetError("Redis did not answer for too long, so the restore stopped: again.")
        if left:
            put_back(self._warehouse, part.table, _only(part.sources, left), left)
            log.info("%s: %s of %s put back", self.id, part.spec.name, self.run.id)
        cells = self._warehouse.coverage(part.table, first, last)
        wrong = [day for day in days if not _holds(part.kept[day], cells, day)]
        if wrong:
            raise FleetError(
                f"{part.spec.name} was put back, and does not hold on "
                f"{date_runs(wrong, shown=SHOWN)} what it held before {self.run.id}: something "
                "writes it. Stop that, then restore again."
            )
        return Restored(
            phase=part.phase.name,
            table=part.spec.name,
            dates=tuple(sorted(days)),
            rows_before=before,
            rows=sum(cells[day].rows for day in days if day in cells),
        )

    def _note_owed(self, pairs: Collection[Pair]) -> dict[str, set[date]]:
        """Note the dates that were computed from what is gone now, and that stay as they are."""
        pipeline = self.context.pipeline
        written = {(name, day) for name, _, day in self.context.ledger.kept(self.run.id)}
        found: dict[str, set[date]] = defaultdict(set)
        changed = set(pairs)
        for phase in pipeline.phases:
            for name, day in sorted(changed):
                if name in phase.after:
                    later = {(phase.name, each) for each in reach([day], phase)}
                    for pair in (later & written) - set(pairs):
                        found[phase.name].add(pair[1])
                        changed.add(pair)
        if found:
            owed_files.save(
                self.context.settings.folder("owed"),
                Owed(
                    run_id=self.id,
                    pipeline=self.run.pipeline,
                    warehouse=self.run.warehouse,
                    warehouse_id=self.run.warehouse_id,
                    dates=dict(found),
                ),
            )
        return dict(found)

    def _note_made(self, pairs: Collection[Pair]) -> None:
        """Note what made the rows that are there again: `--changed` must not take them for the
        run's. A failure is only told."""
        try:
            save_restored(self.context, self.run, self.id, pairs)
        except (OSError, FleetError, WarehouseError) as error:
            log.warning("%s: what made its rows could not be noted: %s", self.id, error)

    def _report(
        self,
        record: RestoreRecord,
        not_kept: tuple[str, ...],
        owed: Mapping[str, Collection[date]],
    ) -> RestoreReport:
        billed = self._warehouse.billed
        return RestoreReport(
            restore_id=self.id,
            run_id=self.run.id,
            pipeline=self.run.pipeline,
            warehouse=self.run.warehouse,
            over=self.over,
            begun=record.begun,
            ended=self.context.ledger.now(),
            tables=record.done,
            not_kept=not_kept,
            to_recompute={name: tuple(sorted(days)) for name, days in owed.items()},
            asked=self.asked,
            billed=cost_of(billed, self.context.settings.dollars_per_tib) if billed else None,
        )


def _holds(kept: Kept, cells: Coverage, day: date) -> bool:
    """Whether a date holds what was kept of it, by count and by ids."""
    cell = cells.get(day)
    if cell is None:
        return kept.rows == 0
    # The file may count other entities now.
    shared = cell.fingerprints.keys() & kept.fingerprints.keys()
    return cell.rows == kept.rows and all(
        cell.fingerprints[name] == kept.fingerprints[name] for name in shared
    )


def _only(sources: Iterable[Source], days: Collection[date]) -> list[Source]:
    chosen = [Source(table=each.table, days=each.days.intersection(days)) for each in sources]
    return [each for each in chosen if each.days]


def _not_kept(known: Mapping[Place, Kept]) -> tuple[str, ...]:
    """What the run wrote and did not keep, one line per table and reason."""
    groups: dict[tuple[str, str], list[date]] = defaultdict(list)
    for (_, table, day), kept in known.items():
        if not kept.is_kept:
            groups[table, kept.not_kept].append(day)
    return tuple(
        f"{table} on {date_runs(days, shown=SHOWN)}: {why}" for (table, why), days in groups.items()
    )
