"""What the ledger knows of one run and of one step: the fields of their hashes, read and written.

Redis holds texts: a number or a flag by its digits, an object as JSON, nothing as an empty text or
no field at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import redis
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from planner.errors import BadRecord
from planner.plan.command import Command
from planner.plan.hours import Hours
from planner.plan.states import RUN_ENDED, Priority, RunState, StepState
from planner.text import printable
from worker.ledger.connection import is_wrong_type
from worker.ledger.keys import realm_of

MISMATCHES = "misfits"
"""The field `config_mismatches`: its name before 0.2, so that counting survives an
upgrade."""
MOMENT_MAX = 253_402_300_799  # seconds until the year 10000, which no calendar here has
WHY_CHARS = 200  # of what is wrong with a record, which may be of any size


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _validation(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is not None and not isinstance(found.get("passed"), bool):
        raise ValueError("it does not say whether it passed")
    return found


def _publication(found: dict[str, Any] | None) -> dict[str, Any] | None:
    if found is not None:
        parts = (found.get("ran"), found.get("failed"))
        if not (isinstance(parts[0], list) and isinstance(parts[1], dict)):
            raise ValueError("it does not say what was published")
    return found


JsonObject = Annotated[dict[str, Any] | None, BeforeValidator(_parsed)]
Moment = Annotated[float, Field(ge=0, le=MOMENT_MAX)]
Mismatches = Annotated[
    int, Field(default=0, validation_alias=AliasChoices("config_mismatches", MISMATCHES))
]


class Record(BaseModel):
    """Some fields of a hash. Unknown fields are ignored: another version may have written them."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, found: Any) -> Any:
        if not isinstance(found, Mapping):
            return found
        return {name: value for name, value in found.items() if value != ""}

    def as_hash(self) -> dict[str, str]:
        """The fields as Redis holds them."""
        return {name: as_text(value) for name, value in self}


class RunHeader(Record):
    """The fields that a run is registered with (`register.lua`)."""

    plan_id: str = ""
    pipeline: str = ""
    pipeline_checksum: str = ""
    warehouse: str = ""
    warehouse_id: str = ""
    """What tells the warehouse apart, however it is spelt."""
    realm: str = ""
    """In which it holds its dates (`worker.ledger.keys`); empty for runs of before."""
    reason: str = ""
    asked: Annotated[Command | None, BeforeValidator(_parsed)] = None
    """The command that sent it; None for runs of before."""
    values: Annotated[dict[str, str], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """What the run sets in the place of `{name}`."""
    pinned: Annotated[dict[str, int], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """Phase → the number of the runner that the run chose, from 1."""
    steps_total: int = 0
    force_service: bool = False
    """Whether services may be told to end batches that are not this run's."""
    state: RunState = RunState.INCOMPLETE
    keep: bool = False
    """Whether what tables hold is kept before the run writes it."""
    keep_dataset: str = ""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 1
    max_dollars: float | None = None
    """The run is paused when it was billed more."""
    priority: Priority = Priority.NORMAL
    lane: int = 0
    """Where its messages are, beside those of other runs (`worker.messages.lanes`)."""
    max_slots: int | None = None
    """So many of its steps run at once, at most."""
    hours: Annotated[Hours | None, BeforeValidator(_parsed)] = None
    """When its steps may begin; None: at any time."""


class RunEnding(Record):
    """The fields that a run is concluded with (`conclude.lua`)."""

    validation: Annotated[JsonObject, AfterValidator(_validation)] = None
    publication: Annotated[JsonObject, AfterValidator(_publication)] = None
    """What was published when the run had ended; None without any."""
    note: str = ""
    """What its end waits for, or why it ended without a count; empty as a rule."""


class RunRecord(RunHeader, RunEnding):
    """Every field of a run's hash. Those named here are written by Lua, by Redis' clock."""

    id: str
    """In the key, not in the hash."""
    created: Moment = 0.0
    """Seconds since the epoch, as all times."""
    started: Moment | None = None
    ended: Moment | None = None
    resumed: Moment | None = None
    """When it was last retried."""
    paused: Moment | None = None
    """When it was last paused."""
    paused_seconds: float = 0.0
    """How long it was paused since the last retry, without a pause that goes on."""
    endings: int = 0
    """How often it was finalized: once, and once more for every retry."""
    deadline: Annotated[int, Field(le=MOMENT_MAX)] | None = None
    """When it is to be cancelled, if it still goes on."""
    stopped_by: str = ""
    """`deadline` when that is what cancelled it."""
    config_mismatches: Mismatches
    """How often in a row only workers with another pipeline file came to end it."""
    billed: int = 0
    """Bytes that the warehouse billed for it, as far as its workers came to tell."""
    unbilled: Annotated[dict[str, str], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """Phase → why what its runner's jobs were billed is not in it, since it last ended."""

    @property
    def lease_prefixes(self) -> tuple[str, ...]:
        """What its leases are named after: its pipeline and warehouse, which workers compare with
        their own, and not what Redis calls its realm. A run of before, whose workers may know no
        realm, holds both names."""
        realm = realm_of(self.pipeline, self.warehouse_id)
        return (realm,) if self.realm else tuple(dict.fromkeys([realm, self.pipeline]))

    @property
    def is_ended(self) -> bool:
        """Whether it was finalized, and not retried since."""
        return self.state in RUN_ENDED


class StepRecord(Record):
    """What is read of a step's hash."""

    id: str
    state: StepState
    attempt: int = 0
    """How often it was begun."""
    failures: int = 0
    """Attempts that failed; the others were taken over from a dead worker, or requeued."""
    worker: str = ""
    started: Moment | None = None
    """Seconds since the epoch, by Redis' clock."""
    began: Moment | None = None
    """When the attempt that is under way began."""
    ended: Moment | None = None
    error: str = ""
    token: str = ""
    """Of the lease under which it was started: its fencing token."""
    parked: str = ""
    """The token it was parked under, while a service works for it."""
    waits: int = 0
    """How often it waited in a row, for its upstream phases or for a resource."""
    config_mismatches: Mismatches
    """How often in a row only workers with another pipeline file received it."""
    waiting: str = ""
    """What it waited for at its last delivery, in words."""
    since: float | None = None
    """Since when it has waited for that."""
    hangs: str = ""
    """Of the process that runs it: that it hangs, and what to do."""
    attempts_max: int = 0
    """How many attempts may fail before the step has; 0 while none has."""
    tried: JsonObject = None
    """Date → why its last attempt failed, of dates that are to be tried again."""
    again: float | None = None
    """When they are retried."""
    worked: float = 0.0
    """Seconds at work: all attempts, and batches that a service worked on for it, but no pause
    between attempts."""
    billed: int = 0
    """Bytes that the warehouse billed for it, in all attempts that came to tell."""
    labelled: int = 0
    """Of these, what jobs of its script, service or package's runner were, by their labels."""

    @property
    def moved(self) -> float:
        """When an attempt at it last began, or it ended; 0 before."""
        return max(self.started or 0.0, self.began or 0.0, self.ended or 0.0)

    @property
    def retry_text(self) -> str:
        """`attempt 2 of 4 failed: REASON`, of a step that is to be tried again; else empty."""
        reasons = [f"{day}: {why}" for day, why in (self.tried or {}).items()]
        if not reasons:
            return ""
        return f"attempt {self.failures} of {self.attempts_max} failed: {reasons[0]}"


def run_record(run_id: str, found: Mapping[str, str]) -> RunRecord:
    """Read a run's hash."""
    return RunRecord.model_validate({**found, "id": run_id})


def step_record(step_id: str, state: StepState, found: Mapping[str, str]) -> StepRecord:
    """Read a step's hash."""
    return StepRecord.model_validate({**found, "id": step_id, "state": state})


def as_text(value: Any) -> str:
    """A field's value as Redis holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return json.dumps(value) if isinstance(value, dict) else str(value)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """While the block reads what Redis holds of something. Raises `BadRecord`, and names it."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise _unreadable(what, error) from None
    except redis.ResponseError as error:
        if not is_wrong_type(error):  # such as a Redis that is read-only
            raise
        raise _unreadable(what, error) from None


def _unreadable(what: str, error: Exception) -> BadRecord:
    why = f"{type(error).__name__}: {error}"
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return BadRecord(
        f"What Redis holds of {what} cannot be read ({printable(why)[:WHY_CHARS]}): it is damaged, "
        "or of another version. Other runs go on; read it with the version that wrote it, or "
        "repair its dates by another run when it is gone."
    )
