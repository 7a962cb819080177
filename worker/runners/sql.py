"""Runs GoogleSQL statements in the warehouse, with `@start_date` and `@end_date` bound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planner.files import private
from planner.runners import SqlRunner
from sql import WarehouseError, WarehouseRefused, load
from sql import TooLarge as TooLargeError
from worker.runners.job import Failed, Job, Outcome, Ran, Stopped, TooLarge


@dataclass(frozen=True)
class Sql:
    """The runner of kind `sql`."""

    spec: SqlRunner

    def run(self, job: Job) -> Outcome:
        for name in self.spec.statements:
            why = job.stop()
            if why is not None:
                return Stopped(why=why)
            try:
                added = job.warehouse.run(
                    read_statement(name, job.pipeline_dir),
                    {"start_date": job.start, "end_date": job.end},
                )
            except WarehouseError as error:
                return outcome_of(name, error)
            with open(job.log, "a", encoding="utf-8", opener=private) as log:
                log.write(f"{name} {job.start} {job.end}: {added} rows\n")
        return Ran()


def outcome_of(name: str, error: WarehouseError) -> Outcome:
    """What an error of statement `name` means for its dates: halves of them, later, or never."""
    told = f"{name}: {error}"
    match error:
        case TooLargeError():
            return TooLarge(error=told)
        case WarehouseRefused():
            return Failed(error=told, is_permanent=True)
    return Failed(error=told)


def read_statement(name: str, beside: Path) -> str:
    """The text of a statement: a `.sql` file below the pipeline file's folder, else ours.

    Raises `WarehouseRefused` when there is none.
    """
    own = (beside / f"{name.removesuffix('.sql')}.sql").resolve()
    if own.is_relative_to(beside.resolve()) and own.is_file():
        return own.read_text(encoding="utf-8")
    return load(name.removesuffix(".sql"))
